package soak

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/soak/lab"
)

// A replica is what a stopped orchestrator's directory holds.
type replica struct {
	name    string
	records []eventlog.Record
	sealed  uint64 // how many of them are in segment files
}

// judge stops the orchestrators and compares everything with everything.
func (s *soak) judge(ctx context.Context) {
	var wg sync.WaitGroup
	for _, o := range s.lab.Servers() {
		wg.Go(func() {
			if err := o.Stop(); err != nil {
				s.broken("%v", err)
			}
		})
	}
	wg.Wait()
	var replicas []replica
	for _, o := range s.lab.Servers() {
		if out, err := s.lab.Run(ctx, o, "replay", "--verify", "--data-dir", o.Dir); err != nil {
			s.broken("G6: %s: %v: %s", o.Name(), err, out)
			continue
		}
		r, err := readReplica(o)
		if err != nil {
			s.broken("G6: %s: %v", o.Name(), err)
			continue
		}
		replicas = append(replicas, r)
	}
	if len(replicas) == 0 {
		return
	}
	state, err := s.sameState(replicas)
	if err != nil {
		s.broken("G6: %v", err)
		return
	}
	for _, r := range replicas {
		for _, fault := range s.witness.Check(r.name, r.records) {
			s.broken("G1: %s", fault)
		}
	}
	effects, err := s.effects.Count()
	if err != nil {
		s.broken("effects: %v", err)
	}
	for _, fault := range (&Judge{State: state, Effects: effects}).Faults() {
		s.broken("%s", fault)
	}
	for _, fault := range s.acked.Missing(state) {
		s.broken("G1: %s", fault)
	}
	if err := s.history.Check(filepath.Join(s.cfg.Keep, "history.html")); err != nil {
		s.broken("G1: %v", err)
	}
	for _, err := range s.injector.broken {
		s.broken("the soak itself: %v", err)
	}
	s.fill(state, replicas[0].records, effects)
	s.report.Sealed = map[string]int{}
	for _, r := range replicas {
		s.report.Sealed[r.name] = int(r.sealed)
	}
}

// readReplica reads the log of a stopped orchestrator.
func readReplica(o *lab.Server) (r replica, err error) {
	store, err := eventlog.OpenStore(filepath.Join(o.Dir, eventlog.StoreFile), eventlog.StoreOptions{ReadOnly: true, VerifyAll: true})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	r.name, r.sealed = o.Name(), store.Sealed()
	for {
		page, err := store.Read(uint64(len(r.records))+1, 4096)
		if err != nil || len(page) == 0 {
			return r, err
		}
		r.records = append(r.records, page...)
	}
}

// sameState folds each replica's log as far as all of them reach, wants the same
// chain and the same state everywhere, and returns it. They end at different
// places only by what their own stopping put on record.
func (s *soak) sameState(replicas []replica) (*engine.State, error) {
	const stopRecordsMax = 64
	shortest, longest := len(replicas[0].records), 0
	for _, r := range replicas {
		shortest, longest = min(shortest, len(r.records)), max(longest, len(r.records))
	}
	if longest-shortest > stopRecordsMax {
		return nil, fmt.Errorf("replicas end at %d and at %d", shortest, longest)
	}
	var first *engine.State
	for _, r := range replicas {
		state := engine.NewState()
		for _, rec := range r.records[:shortest] {
			if _, err := state.Fold(rec); err != nil {
				return nil, fmt.Errorf("%s: record %d: %w", r.name, rec.Index, err)
			}
		}
		if first == nil {
			first = state
		}
		if state.Head != first.Head {
			return nil, fmt.Errorf("%s and %s have different logs at %d", replicas[0].name, r.name, shortest)
		}
		if state.Hash() != first.Hash() {
			return nil, fmt.Errorf("%s and %s have different states at %d", replicas[0].name, r.name, shortest)
		}
	}
	return first, nil
}

// Missing returns the acknowledged commands that are not on record as they were
// acknowledged.
func (a *Acknowledged) Missing(state *engine.State) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var faults []string
	for request, run := range a.Runs {
		if r, ok := state.RunByRequest(request); !ok || r.ID != run {
			faults = append(faults, fmt.Sprintf("request %s was answered with run %d, which is not on record as its own", request, run))
		}
	}
	for _, list := range []map[string]uint64{a.Cancels, a.Resolves} {
		for request, run := range list {
			if _, ok := state.RequestIndex(request); !ok {
				faults = append(faults, fmt.Sprintf("request %s for run %d was acknowledged and is not on record", request, run))
			}
		}
	}
	return faults
}

// fill completes the report from the log.
func (s *soak) fill(state *engine.State, records []eventlog.Record, effects map[Place]int) {
	r := &s.report
	r.Faults, r.Missed, r.Crashes = s.injector.done, s.injector.missed, s.crashes
	r.Records, r.Runs, r.Outcomes = int(state.Index), len(state.Runs), map[string]int{}
	names := map[eventlog.Outcome]string{eventlog.Succeeded: "succeeded", eventlog.Failed: "failed", eventlog.Cancelled: "cancelled", 0: "unfinished"}
	for _, run := range state.Runs {
		r.Outcomes[names[run.Outcome]]++
		r.Steps += run.Counts.Steps
	}
	for _, a := range state.Attempts {
		r.Jobs += a.Jobs.Len()
		if a.Outcome == eventlog.Unknown {
			r.Unknown++
		}
	}
	r.LeaderChanges = -1 // the first one is none
	for _, rec := range records {
		if rec.Kind == eventlog.KindLeaderEstablished {
			r.LeaderChanges++
		}
	}
	for _, n := range effects {
		r.Effects += n
	}
	r.Acknowledged, r.History = s.acked.Len(), s.history.Len()
	r.Stale, r.Repeated = int(s.counts.stale.Load()), int(s.counts.ambiguous.Load())
	r.Resolved, r.Decisions = int(s.counts.resolved.Load()), s.operator.report()
}
