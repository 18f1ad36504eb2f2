// Package biglog makes logs of any length in seconds: the engine decides what is
// scheduled, and agents that answer at once and never fail are made up. Benchmarks
// and tests measure with it what a long life of a cluster costs.
package biglog

import (
	"fmt"
	"path/filepath"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/planner"
)

// A Shape says what the runs of a log are like. The zero value is [Usual].
type Shape struct {
	Hosts, Tasks, Jobs int // of each run; jobs are of each task
}

// Usual are runs of 50 tasks of four jobs on each of 60 hosts: a step takes seven
// records, as with real agents.
var Usual = Shape{Hosts: 60, Tasks: 50, Jobs: 4}

// commitRecords are written in one transaction.
const commitRecords = 20_000

// Write makes an orchestrator's log of at least so many records in a directory, with
// the id of a cluster, and returns the state that it folds to.
func Write(dir, cluster string, shape Shape, records uint64) (*engine.State, error) {
	if shape == (Shape{}) {
		shape = Usual
	}
	store, err := eventlog.OpenStore(filepath.Join(dir, eventlog.StoreFile), eventlog.StoreOptions{Unsynced: true})
	if err != nil {
		return nil, err
	}
	w := &writer{store: store, state: engine.NewState(), now: 1_700_000_000_000_000_000}
	w.set(cluster, shape)
	for w.err == nil && w.state.Index < records {
		w.add(&eventlog.RunCreated{PlanID: planID, RequestID: fmt.Sprint("run-", len(w.state.Runs)+1), By: "operator:ann"})
		w.run(shape)
	}
	w.flush()
	if err := store.Close(); w.err == nil {
		w.err = err
	}
	return w.state, w.err
}

const planID = "0b5e5f5ad4ad4aa6c8fdbd5b8f1a0f43f7a3b6c5f43d3b1b38a3a6b5a8a1c9d2"

type writer struct {
	store *eventlog.Store
	state *engine.State
	head  eventlog.Head
	batch []eventlog.Record
	now   int64
	seq   map[uint64]uint64 // by agent, the newest report
	err   error
}

// add appends an event, a tenth of a millisecond after the one before. It has to
// take effect.
func (w *writer) add(e eventlog.Event) {
	if w.err != nil {
		return
	}
	w.now += 100_000
	entry, err := eventlog.NewEntry(w.now, e)
	if err != nil {
		w.err = err
		return
	}
	rec := w.head.Next(entry)
	w.batch = append(w.batch, rec)
	void, err := w.state.Apply(rec, e)
	if err == nil && void != "" {
		err = fmt.Errorf("record %d, %T: %s", rec.Index, e, void)
	}
	if w.err = err; len(w.batch) == commitRecords {
		w.flush()
	}
}

func (w *writer) flush() {
	if w.err == nil && len(w.batch) > 0 {
		w.err = w.store.Commit(eventlog.Commit{Records: w.batch})
		w.batch = w.batch[:0]
	}
}

// set puts a cluster of one with its agents and its plan on record.
func (w *writer) set(cluster string, shape Shape) {
	w.seq = map[uint64]uint64{}
	w.add(&eventlog.ClusterCreated{ClusterID: cluster})
	w.add(&eventlog.LeaderEstablished{Replica: 1, Version: "biglog"})
	plan := &eventlog.PlanRecorded{PlanID: planID, PlannerVersion: "biglog", By: "operator:ann", HostSets: [][]uint32{nil}}
	for h := range shape.Hosts {
		name := fmt.Sprintf("host-%03d", h)
		plan.Hosts = append(plan.Hosts, name)
		plan.HostSets[0] = append(plan.HostSets[0], uint32(h))
		token := fmt.Sprintf("%064x", h)
		w.add(&eventlog.TokenCreated{TokenHash: token, Name: name, Role: "agent", By: "operator:ann"})
		w.add(&eventlog.AgentEnrolled{TokenHash: token, Name: name, KeyDigest: "k" + token, JournalID: "j" + token, Hostname: name})
		if a := w.state.AgentByName(name); a != nil {
			w.add(&eventlog.AgentConnected{Agent: a.ID, Gateway: 1, Session: "s" + token, Version: "biglog", BootID: "b" + token, JournalID: a.JournalID})
		}
	}
	for i := range shape.Tasks {
		t := eventlog.PlanTask{ID: fmt.Sprintf("task-%02d", i), Driver: string(planner.DriverDirectord), Jobs: uint32(shape.Jobs)}
		if i > 0 {
			t.Requires = []eventlog.PlanDep{{Task: uint32(i) - 1, Scope: uint8(planner.ScopeSameHost)}}
		}
		plan.Tasks = append(plan.Tasks, t)
	}
	w.add(plan)
}

// run takes the newest run to its end.
func (w *writer) run(shape Shape) {
	r := w.state.Runs[len(w.state.Runs)-1]
	for w.err == nil && r.Outcome == 0 {
		for _, e := range w.state.Decide() {
			w.add(e)
		}
		for _, a := range w.state.Agents {
			w.seq[a.ID] = a.JournalSeq
		}
		// Agents answer in turn: the results of hosts come mixed.
		for job := range shape.Jobs + 2 {
			for _, name := range r.Graph.Hosts {
				a := w.state.AgentByName(name)
				if a == nil || len(a.Open) == 0 {
					continue
				}
				w.add(w.report(a, job, shape.Jobs))
			}
		}
	}
}

// report is what an agent says of its oldest attempt at a stage: that it began, the
// result of a job, or the end.
func (w *writer) report(a *engine.Agent, stage, jobs int) eventlog.Event {
	w.seq[a.ID]++
	attempt, seq := a.Open[0], w.seq[a.ID]
	switch stage {
	case 0:
		return &eventlog.AttemptBegan{Attempt: attempt, Seq: seq, Connection: a.Connection}
	case jobs + 1:
		return &eventlog.AttemptEnded{Attempt: attempt, Outcome: eventlog.Succeeded, Seq: seq, Connection: a.Connection}
	}
	return &eventlog.JobEnded{
		Attempt: attempt, Job: uint32(stage - 1), Outcome: eventlog.Succeeded, Changed: true, StartedAt: w.now - 3_000_000, Duration: 2_000_000 + int64(attempt%977)*1000,
		Stdout: eventlog.Output{Head: []byte("hello world\n"), Size: 12}, Seq: seq, Connection: a.Connection,
	}
}
