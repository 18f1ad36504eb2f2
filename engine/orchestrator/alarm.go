package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"quorate/engine"
)

// An Alarm is something wrong that an operator has to look after.
type Alarm struct {
	// Code is one of [AlarmCodes].
	Code string
	// Text says what is wrong and what helps.
	Text string
}

// String is the alarm in one line.
func (a Alarm) String() string { return a.Code + ": " + a.Text }

// Codes of alarms. The first three are of the replica, see [Cluster].
const (
	AlarmLowSpace = "low-space"
	AlarmReadOnly = "read-only" // nothing can be recorded through it
	AlarmSlowDisk = "slow-disk"
	// AlarmSink: a sink lacks the newest checkpoint.
	AlarmSink = "checkpoint-sink"
	// AlarmLostRecords: agents know of more than is on record, and no recovery says why.
	AlarmLostRecords = "lost-records"
)

// AlarmCodes are those that there are.
func AlarmCodes() []string {
	return []string{AlarmLowSpace, AlarmReadOnly, AlarmSlowDisk, AlarmSink, AlarmLostRecords}
}

// Alarms are what an operator has to look after at this orchestrator.
func (o *Orchestrator) Alarms() (all []Alarm) {
	if o.cfg.Cluster != nil {
		all = o.cfg.Cluster.Alarms()
	}
	for _, s := range o.notary.sinks {
		s.mu.Lock()
		if s.behind != 0 {
			all = append(all, Alarm{AlarmSink, fmt.Sprintf("%s lacks the checkpoint of %d records: %s", s.sink.Name(), s.behind, s.reason)})
		}
		s.mu.Unlock()
	}
	if text := o.lostRecords(); text != "" {
		all = append(all, Alarm{AlarmLostRecords, text})
	}
	return all
}

// agentsNamedMax bounds the agents that an alarm names.
const agentsNamedMax = 3

// lostRecords says which agents know of more than is on record, by their journals or
// by the checkpoints that they have seen, or nothing. Raft cannot tell: behind disks
// that were set back a majority agrees on what is left.
func (o *Orchestrator) lostRecords() string {
	var names []string
	distrusting := o.notary.distrust.all()
	o.View(func(s *engine.State) {
		for _, a := range s.Beyond() {
			names = append(names, a.Name)
		}
		for _, id := range distrusting {
			if a := s.Agent(id); a != nil && !a.Revoked && !slices.Contains(names, a.Name) {
				names = append(names, a.Name)
			}
		}
	})
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	list := strings.Join(names[:min(len(names), agentsNamedMax)], ", ")
	if more := len(names) - agentsNamedMax; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("agents know of more than is on record here (%s): acknowledged work is lost, as behind disks that were set back, "+
		`or this log was changed. Keep all disks, compare the histories, look at the hosts; "quorate agent revoke NAME" of each ends this alarm`, list)
}

// alarmPeriod is how often the alarms are looked at for the program's own log.
const alarmPeriod = 5 * time.Second

// tellAlarms logs when an alarm begins and when it is over.
func (o *Orchestrator) tellAlarms(ctx context.Context) error {
	told := map[string]bool{}
	for wait(ctx, alarmPeriod, nil) {
		now := map[string]bool{}
		for _, a := range o.Alarms() {
			if !told[a.Code] && !now[a.Code] {
				o.logger.Error("ALARM", "code", a.Code, "text", a.Text)
			}
			now[a.Code] = true
		}
		for code := range told {
			if !now[code] {
				o.logger.Info("an alarm is over", "code", code)
			}
		}
		told = now
	}
	return nil
}
