package orchestrator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// retryPause is how long the leader waits after the log did not take its events.
const retryPause = 200 * time.Millisecond

// overtakenPause is how long a leader whose epoch was overtaken waits to be told
// that it leads no more, before it takes it that it still does.
const overtakenPause = 50 * time.Millisecond

// electionWait bounds how long a request waits for a majority and its leader.
const electionWait = 10 * time.Second

// lead waits for terms in which this replica leads and schedules in them.
func (o *Orchestrator) lead(ctx context.Context) error {
	for {
		term, leading, changed := o.cfg.Log.Leading()
		if leading {
			o.leadTerm(ctx, term, changed)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// leadTerm schedules until the term ends. The only loop that decides runs here,
// one batch at a time, and not before this term's own epoch is folded: by then
// so is everything that an earlier leader had committed.
func (o *Orchestrator) leadTerm(ctx context.Context, term uint64, changed <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with ctx, which this function cancels on its way out
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	var side sync.WaitGroup
	defer side.Wait()
	defer cancel()
	before := o.leaderBefore(term)
	for first := true; ; first = false {
		epoch, ok := o.establish(ctx)
		if !ok {
			return
		}
		if first {
			side.Go(func() { o.reconcile(ctx) })
			side.Go(func() { o.keepVigil(ctx) })
			side.Go(func() { o.excuseDeposed(ctx, before) })
			side.Go(func() { o.keepCalm(ctx) })
			side.Go(func() { o.keepSigning(ctx) })
			side.Go(func() { o.deliverAll(ctx) })
		}
		o.logger.Info("leading", "term", term, "epoch", epoch)
		o.leadEpoch(ctx, epoch)
		o.logger.Info("no longer leading", "term", term, "epoch", epoch)
		// Either another one leads and this one has yet to be told, or the late
		// proposal of one that led before has landed.
		if !wait(ctx, overtakenPause, nil) {
			return
		}
	}
}

// leadEpoch schedules until ctx ends or a later epoch is folded.
func (o *Orchestrator) leadEpoch(ctx context.Context, epoch uint64) {
	for ctx.Err() == nil {
		_, news := o.folded.watch()
		events, at, current := o.decide(epoch)
		if !current {
			return
		}
		if len(events) > 0 {
			first, acted := o.schedule(ctx, events)
			if acted || first != at+1 {
				continue
			}
			// The reducer refused every event though nothing came between: deciding
			// again makes sense only in another state.
			o.logger.Error("every scheduled event was void", "first", first, "events", len(events))
			var folded uint64
			if folded, news = o.folded.watch(); folded >= first+uint64(len(events)) {
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-news:
		}
	}
}

// establish commits this term's epoch, behind the cluster's recovery and its id
// where they are not on record, and waits until it is folded. The log need not be empty then: what
// else begins with the process may be on record first.
func (o *Orchestrator) establish(ctx context.Context) (epoch uint64, ok bool) {
	head, _ := o.cfg.Log.Head()
	if o.folded.wait(ctx, head) != nil {
		return 0, false
	}
	for {
		events := []eventlog.Event{&eventlog.LeaderEstablished{Replica: o.cfg.Replica, Version: o.cfg.Version}}
		nameless := false
		o.View(func(s *engine.State) { nameless = s.ClusterID == "" })
		if nameless {
			events = append([]eventlog.Event{&eventlog.ClusterCreated{ClusterID: o.cfg.CA.ClusterID()}}, events...)
		}
		if o.recovering() {
			events = append([]eventlog.Event{o.recovery()}, events...)
		}
		indexes, reasons, err := o.append(ctx, events...)
		if err == nil && o.recovering() {
			err = errors.New("the recovery did not get on record: " + reasons[0])
		}
		if err == nil && reasons[len(reasons)-1] == "" {
			return o.Serial(indexes[len(indexes)-1]), true
		}
		if err == nil {
			err = errors.New(reasons[len(reasons)-1])
		}
		if !o.pause(ctx, "establishing leadership", err) {
			return 0, false
		}
	}
}

// decide asks the engine what to do next, in the state at an index. current is
// false where a later leader has established itself.
func (o *Orchestrator) decide(epoch uint64) (events []eventlog.Event, at uint64, current bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state.Epoch != epoch {
		return nil, 0, false
	}
	return o.state.Decide(), o.state.Index, true
}

// schedule proposes a batch. acted is false where the reducer refused every
// event of it, from the index first on. A failed proposal may land later: deciding
// again is safe all the same, since of two events for one step the reducer takes
// the first.
func (o *Orchestrator) schedule(ctx context.Context, events []eventlog.Event) (first uint64, acted bool) {
	indexes, reasons, err := o.Propose(ctx, events...)
	if err != nil {
		o.pause(ctx, "scheduling", err)
		return 0, true // decide again, in the state as it is by then
	}
	return indexes[0], slices.Contains(reasons, "")
}

// pause waits before a retry and reports whether there is to be one.
func (o *Orchestrator) pause(ctx context.Context, what string, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	o.logger.Warn("the log did not take the leader's events; trying again", "while", what, "error", err)
	return wait(ctx, retryPause, nil)
}
