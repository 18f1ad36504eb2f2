package orchestrator

import (
	"context"
	"fmt"

	"quorate/engine"
	"quorate/eventlog"
)

// hashesQueuedMax bounds what this replica has yet to say of itself; what exceeds
// it is left out.
const hashesQueuedMax = 8

// dissent compares what this replica folded with what the others say that they
// did. Its methods run under the state's lock.
type dissent struct {
	// own are the newest hashes of this replica, as it folded them now.
	own   []eventlog.StateHashed
	queue chan eventlog.StateHashed
}

// compare notes this replica's hash where one is due, and says why it must not go
// on where it is the one that differs.
func (o *Orchestrator) compare(event eventlog.Event, void string) (why string) {
	if o.cfg.Cluster == nil {
		return ""
	}
	s := o.state
	if s.HashDue() && s.Index+engine.HashEvery > o.headAtUp && len(s.Members()) > 1 {
		h := s.Hashed(o.cfg.Replica, o.cfg.Version)
		o.dissent.own = append(o.dissent.own, h)
		if n := len(o.dissent.own) - hashesQueuedMax; n > 0 {
			o.dissent.own = o.dissent.own[n:]
		}
		o.report(h)
	}
	said, ok := event.(*eventlog.StateHashed)
	if !ok || void != "" {
		return ""
	}
	if _, why := s.OddHash(o.cfg.Replica); why != "" {
		return why
	}
	for _, h := range o.dissent.own {
		if h.At != said.At {
			continue
		}
		if said.Replica == o.cfg.Replica && engine.Contradict(h, *said) {
			return fmt.Sprintf("what it holds up to record %d is not what it held when it said so itself", h.At)
		}
		if why := s.Outvoted(h); why != "" {
			return why
		}
	}
	return ""
}

// report queues a hash to be said, unless it was said before.
func (o *Orchestrator) report(h eventlog.StateHashed) {
	me := o.self(o.state)
	if me == nil || me.Removed != "" || h.At <= me.Hashed.At {
		return
	}
	select {
	case o.dissent.queue <- h:
	default: // the next one says as much
	}
}

// sayHashes puts this replica's hashes on record.
func (o *Orchestrator) sayHashes(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-o.dissent.queue:
			if _, err := o.propose(ctx, &h); err != nil && !isVoid(err) && ctx.Err() == nil {
				o.logger.Warn("this replica's hash is not on record; the next one will say as much", "at", h.At, "error", err)
			}
		}
	}
}

// halt stops this replica for good.
func (o *Orchestrator) halt(why string) error {
	reason := fmt.Sprintf("orchestrator %d differs from the others: %s; compare both histories before you replace it, since which of them holds more acknowledged work is not known here", o.cfg.Replica, why)
	o.logger.Error("HALTED: what this replica holds cannot be trusted; compare both histories, and replace it", "replica", o.cfg.Replica, "reason", why,
		"hint", fmt.Sprintf(`start another one with "quorate server --join ADDR --token TOKEN --replace %d"`, o.cfg.Replica))
	if err := o.cfg.Cluster.Halt(reason); err != nil {
		return fmt.Errorf("%w: %s; and it could not be marked as halted: %w", ErrDiffers, why, err)
	}
	return fmt.Errorf("%w: %s: replace it: start another one with \"quorate server --join ADDR --token TOKEN --replace %d\"", ErrDiffers, why, o.cfg.Replica)
}
