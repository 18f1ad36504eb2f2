package orchestrator

import (
	"context"
	"fmt"
	"maps"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// followRecordsMax bounds the records read from the log at once, and
// foldRecordsMax those folded while the state's lock is held.
const (
	followRecordsMax = 1024
	foldRecordsMax   = 128
)

// follow folds the log's records in order as they are committed.
func (o *Orchestrator) follow(ctx context.Context) error {
	folded, _ := o.folded.watch()
	for next := folded + 1; ; {
		records, err := o.cfg.Log.Read(ctx, next, followRecordsMax)
		if err != nil {
			return fmt.Errorf("read of record %d: %w", next, err)
		}
		if len(records) == 0 {
			if err := o.cfg.Log.Wait(ctx, next); err != nil {
				return fmt.Errorf("wait for record %d: %w", next, err)
			}
			continue
		}
		if err := o.foldAll(records); err != nil {
			return err
		}
		o.book()
		next += uint64(len(records))
	}
}

// foldAll decodes records and folds them, some at a time.
func (o *Orchestrator) foldAll(records []eventlog.Record) error {
	var events [foldRecordsMax]eventlog.Event
	for len(records) > 0 {
		n := min(len(records), foldRecordsMax)
		for i := range n {
			event, err := eventlog.Decode(records[i].Kind, records[i].Data)
			if err != nil {
				return fmt.Errorf("record %d: %w", records[i].Index, err)
			}
			events[i] = event
		}
		if err := o.fold(records[:n], events[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// fold folds records and tells observers and watchers.
func (o *Orchestrator) fold(records []eventlog.Record, events []eventlog.Event) error {
	why, err := o.foldLocked(records, events)
	if err == nil && why != "" {
		err = o.halt(why)
	}
	return err
}

// foldLocked is fold under the lock. It stops and says why where this replica
// turns out to differ from the others.
func (o *Orchestrator) foldLocked(records []eventlog.Record, events []eventlog.Event) (why string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range records {
		void, err := o.state.Apply(records[i], events[i])
		if err != nil {
			return "", err
		}
		o.notary.heed(o.state, events[i])
		if void != "" {
			o.voids.Add(records[i].Index, void)
		}
		for _, observe := range o.observers {
			observe(o.state, &records[i], events[i], void)
		}
		if why := o.compare(events[i], void); why != "" {
			return why, nil
		}
		if void == "" {
			o.notice(records[i].Index, events[i])
		}
	}
	if id := o.cfg.CA.ClusterID(); o.state.ClusterID != "" && o.state.ClusterID != id {
		return "", fmt.Errorf("the log is of cluster %s and the certificate authority of cluster %s: they are of different data directories", o.state.ClusterID, id)
	}
	o.folded.publish(o.state.Index)
	return "", nil
}

// notice tells those who wait for news of a kind.
func (o *Orchestrator) notice(index uint64, event eventlog.Event) {
	switch event.(type) {
	case *eventlog.PlanRecorded:
		o.recorded.publish(index)
	case *eventlog.OrchestratorJoined, *eventlog.OrchestratorMoved, *eventlog.OrchestratorRemoved, *eventlog.ClusterRecovered:
		o.membership.publish(index)
		if me := o.self(o.state); me != nil && me.Removed != "" {
			select {
			case <-o.dismissed:
			default:
				close(o.dismissed)
			}
		}
	}
}

// book tells the members' Raft addresses to who dials them. What was before this
// orchestrator joined, and what it reads again of its own log, is older than what
// the book holds.
func (o *Orchestrator) book() {
	if o.cfg.Book == nil {
		return
	}
	if changed, _ := o.membership.watch(); changed == 0 {
		return
	}
	var addresses map[uint64]string
	o.View(func(s *engine.State) {
		if s.Index >= o.headAtUp && s.IsMember(o.cfg.Replica) {
			addresses = raftAddresses(s)
		}
	})
	if addresses == nil || maps.Equal(addresses, o.booked) {
		return
	}
	if err := o.cfg.Book(addresses); err != nil {
		o.logger.Error("the members' addresses were not stored; trying again with the next record", "error", err)
		return
	}
	o.booked = addresses
}

// leaveGrace is how long an orchestrator that was removed goes on, so that what
// it was asked is answered.
const leaveGrace = time.Second

// leave ends an orchestrator that is no member any more.
func (o *Orchestrator) leave(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-o.dismissed:
	}
	var why string
	o.View(func(s *engine.State) { why = o.self(s).Removed })
	o.logger.Warn("this orchestrator is no member of the cluster any more", "replica", o.cfg.Replica, "reason", why)
	wait(ctx, leaveGrace, nil)
	return fmt.Errorf("orchestrator %d was %w: %s", o.cfg.Replica, ErrRemoved, why)
}
