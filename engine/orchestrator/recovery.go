package orchestrator

import (
	"context"

	"quorate/engine"
	"quorate/eventlog"
)

// Serial is [engine.State.Serial] of a record that is folded.
func (o *Orchestrator) Serial(index uint64) (serial uint64) {
	o.View(func(s *engine.State) { serial = s.Serial(index) })
	return serial
}

// recovering reports whether the directory was made by a recovery that is not on
// record yet.
func (o *Orchestrator) recovering() (yes bool) {
	if o.cfg.Recovered == nil || !o.joins() {
		return false
	}
	o.View(func(s *engine.State) { yes = o.self(s) == nil })
	return yes
}

// awaitRecovery waits until the recovery is on record, where there was one. It is
// the first record behind what was recovered: what others make before it would be
// known by numbers that the lost log may have given away.
func (o *Orchestrator) awaitRecovery(ctx context.Context) error {
	for {
		_, news := o.folded.watch()
		if !o.recovering() {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// recovery is the event that puts the recovery on record.
func (o *Orchestrator) recovery() *eventlog.ClusterRecovered {
	e, me := *o.cfg.Recovered, o.cfg.Self
	e.Replica, e.Name, e.RaftAddress, e.AgentAddress, e.APIAddress = o.cfg.Replica, me.Name, me.RaftAddress, me.AgentAddress, me.APIAddress
	e.Generation = uint64(max(o.cfg.Now().Unix(), 1))
	return &e
}
