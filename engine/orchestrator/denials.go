package orchestrator

import (
	"context"
	"time"

	"quorate/engine/denial"
	"quorate/eventlog"
)

const (
	// denialsEvery is how often it is looked for refusals that may be told by now.
	denialsEvery = time.Second
	// denialsApart is the least time between two looks, however many are refused.
	denialsApart = 100 * time.Millisecond
	// denialsWait bounds putting them on record.
	denialsWait = 10 * time.Second
)

// Denied counts a refusal, and has it put on record. It does not wait for that.
func (o *Orchestrator) Denied(d denial.Denial) {
	o.cfg.Denials.Note(d)
	o.logger.Debug("denied", "entry", d.Entry, "caller", d.Caller, "reason", d.Reason, "address", d.Address)
}

// tellDenials puts refusals on record. Where no leader is known they are kept: what is
// proposed then could land much later, and others that are proposed would wait for it.
func (o *Orchestrator) tellDenials(ctx context.Context) error {
	if err := o.CaughtUp(ctx); err != nil {
		return err
	}
	for {
		pause := time.Hour
		if o.cfg.Denials.Waiting() {
			pause = denialsEvery
		}
		if !wait(ctx, pause, o.cfg.Denials.News()) {
			return ctx.Err()
		}
		if o.led() {
			o.recordDenials(ctx)
		}
		if !wait(ctx, denialsApart, nil) {
			return ctx.Err()
		}
	}
}

// led reports whether the cluster has a leader as far as is known here.
func (o *Orchestrator) led() bool {
	if o.cfg.Cluster == nil {
		return o.Leading()
	}
	_, _, known := o.cfg.Cluster.Leader()
	return known
}

// recordDenials proposes what is due, and keeps it where that fails. One whose append was
// ambiguous may be on record twice then, with the same beginning.
func (o *Orchestrator) recordDenials(ctx context.Context) {
	taken := o.cfg.Denials.Take(o.cfg.Replica)
	if len(taken) == 0 {
		return
	}
	events := make([]eventlog.Event, len(taken))
	for i, e := range taken {
		events[i] = e
	}
	limited, cancel := context.WithTimeout(ctx, denialsWait)
	defer cancel()
	if _, _, err := o.Propose(limited, events...); err != nil {
		o.cfg.Denials.Return(taken)
		if ctx.Err() == nil {
			o.logger.Warn("refusals were not recorded; trying again", "events", len(taken), "error", err)
		}
		return
	}
	for _, e := range taken { // as bounded as on record; each by itself is for debugging
		o.logger.Warn("refused", "entry", e.Entry, "caller", e.Caller, "reason", e.Reason, "count", e.Count, "addresses", e.Addresses)
	}
}
