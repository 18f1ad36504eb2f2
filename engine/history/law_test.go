package history_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/history"
	"quorate/eventlog"
	"quorate/planner"
)

// A world is a log that an orchestrator and agents made up by chance have written.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	s      *engine.State
	recs   []eventlog.Record
	now    int64
	clocks map[uint64]int64 // by agent, how far its clock is ahead
}

// add appends an event a random time after the one before, and tells whether it counted.
func (w *world) add(e eventlog.Event) bool {
	w.now += int64(w.rng.ExpFloat64() * float64(5*time.Millisecond))
	entry, err := eventlog.NewEntry(w.now, e)
	if err != nil {
		w.t.Fatal(err)
	}
	rec := eventlog.Record{Index: uint64(len(w.recs)) + 1, Time: w.now, Kind: entry.Kind, Data: entry.Data}
	w.recs = append(w.recs, rec)
	void, err := w.s.Fold(rec)
	if err != nil {
		w.t.Fatal(err)
	}
	return void == ""
}

// newWorld has hosts and a plan with all kinds of tasks and edges.
func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), s: engine.NewState(), now: 1_700_000_000_000_000_000, clocks: map[uint64]int64{}}
	w.add(&eventlog.ClusterCreated{ClusterID: "c"})
	w.add(&eventlog.LeaderEstablished{Replica: 1})
	p := &eventlog.PlanRecorded{PlanID: "plan", HostSets: [][]uint32{{}, nil}}
	for h := range 1 + w.rng.IntN(4) {
		name := fmt.Sprintf("h%d", h)
		p.Hosts = append(p.Hosts, name)
		p.HostSets[1] = append(p.HostSets[1], uint32(h))
		p.HostSets = append(p.HostSets, []uint32{uint32(h)})
		var labels []string
		if h == 0 {
			labels = []string{engine.ControllerLabel}
		}
		w.add(&eventlog.TokenCreated{TokenHash: name, Name: name, Role: "agent", Labels: labels})
		w.add(&eventlog.AgentEnrolled{TokenHash: name, Name: name, KeyDigest: name, JournalID: name})
		w.clocks[w.s.AgentByName(name).ID] = []int64{0, 0, int64(time.Hour), -int64(time.Hour), math.MaxInt64 / 2, math.MinInt64 / 2}[w.rng.IntN(6)]
	}
	if w.rng.IntN(2) == 0 { // they are of one site
		w.add(&eventlog.TokenCreated{TokenHash: "relay", Name: "relay", Role: engine.RelayRole})
		w.add(&eventlog.AgentEnrolled{TokenHash: "relay", Name: "relay", KeyDigest: "relay", JournalID: "relay"})
		for _, name := range p.Hosts {
			w.add(&eventlog.AgentConnected{Agent: w.s.AgentByName(name).ID, Session: name, JournalID: name, Relay: w.s.AgentByName("relay").ID})
		}
	}
	for i := range 2 + w.rng.IntN(7) {
		task := eventlog.PlanTask{
			ID: fmt.Sprintf("t%d", i), Driver: string(planner.DriverDirectord), HostSet: uint32(1 + w.rng.IntN(len(p.HostSets)-1)),
			Jobs: uint32(1 + w.rng.IntN(3)), Idempotent: w.rng.IntN(2) == 0, KeepGoing: w.rng.IntN(4) == 0,
		}
		switch w.rng.IntN(8) {
		case 0:
			task.Driver, task.HostSet, task.Jobs, task.Messages = string(planner.DriverPrint), 0, 0, []string{"hello"}
		case 1:
			task.Driver, task.HostSet, task.Jobs = string(planner.DriverLocal), 0, 1
		}
		for d := range i {
			if w.rng.IntN(3) == 0 {
				task.Requires = append(task.Requires, eventlog.PlanDep{Task: uint32(d), Scope: uint8(w.rng.IntN(3))})
			}
		}
		p.Tasks = append(p.Tasks, task)
	}
	if !w.add(p) {
		t.Fatal("the plan is void")
	}
	return w
}

// run takes a run to its end, or for a while.
func (w *world) run() {
	w.add(&eventlog.RunCreated{
		PlanID: "plan", RequestID: fmt.Sprint("r", len(w.recs)), By: "ann", StepsMax: uint32(w.rng.IntN(4)), StepsPerHostMax: uint32(w.rng.IntN(3)),
		FailFast: w.rng.IntN(4) == 0, AheadMax: uint32(w.rng.IntN(6)), Check: w.rng.IntN(6) == 0,
	})
	r := w.s.Runs[len(w.s.Runs)-1]
	for range 600 {
		if r.Outcome != 0 {
			return
		}
		w.act(r)
	}
}

func (w *world) act(r *engine.Run) {
	var open, waiting []uint64
	for id, a := range w.s.Attempts {
		if a.Run != r.ID {
			continue
		}
		if a.Outcome == 0 {
			open = append(open, id)
		} else if a.Outcome == eventlog.Unknown {
			waiting = append(waiting, id)
		}
	}
	slices.Sort(open)
	slices.Sort(waiting)
	switch n := w.rng.IntN(100); {
	case n < 40:
		for _, e := range w.s.Decide() {
			w.add(e)
		}
	case n < 90 && len(open) > 0:
		w.work(open[w.rng.IntN(len(open))])
	case n < 94 && len(waiting) > 0:
		as := []string{"succeeded", "failed", "retry"}[w.rng.IntN(3)]
		w.add(&eventlog.StepResolved{Attempt: waiting[w.rng.IntN(len(waiting))], As: as, Reason: "looked", By: "bob", RequestID: fmt.Sprint(w.now)})
	case n < 96 && len(waiting) > 0: // late evidence
		w.add(&eventlog.AttemptEnded{Attempt: waiting[w.rng.IntN(len(waiting))], Outcome: eventlog.Outcome(1 + w.rng.IntN(5))})
	case n == 96:
		w.add(&eventlog.LeaderEstablished{Replica: uint64(1 + w.rng.IntN(3))})
	case n == 97 && w.rng.IntN(6) == 0:
		w.add(&eventlog.RunCancelled{Run: r.ID, By: "bob", Reason: "wrong day", RequestID: fmt.Sprint(w.now)})
	case n == 98 && w.rng.IntN(6) == 0:
		a := w.s.AgentByName(r.Graph.Hosts[w.rng.IntN(len(r.Graph.Hosts))])
		if a != nil {
			w.add(&eventlog.AgentQuarantined{Agent: a.ID, Reason: "cloned", Disproved: w.s.Disproved(a, slices.Sorted(maps.Keys(w.s.Attempts)), nil)})
		}
	}
}

// work has an agent say the next thing of an attempt, by its own clock.
func (w *world) work(id uint64) {
	a := w.s.Attempts[id]
	g := w.s.Run(a.Run).Graph
	next := a.FromJob
	failed := false
	for j := range a.Jobs.All() {
		next, failed = j.Job+1, failed || j.Outcome == eventlog.Failed
	}
	if w.rng.IntN(20) == 0 {
		w.clocks[a.Agent] = w.rng.Int64() - w.rng.Int64() // it jumps
	}
	o := []eventlog.Outcome{eventlog.Succeeded, eventlog.Failed, eventlog.Unknown, eventlog.NotStarted, eventlog.Cancelled}[max(0, w.rng.IntN(40)-35)]
	switch {
	case !a.Began && w.rng.IntN(3) > 0:
		w.add(&eventlog.AttemptBegan{Attempt: id})
	case next < g.Tasks[a.Task].Jobs && !failed && w.rng.IntN(12) > 0:
		o = min(o, eventlog.Failed)
		length := int64(w.rng.ExpFloat64() * float64(4*time.Millisecond))
		if w.rng.IntN(20) == 0 {
			length = w.rng.Int64() - w.rng.Int64()
		}
		w.add(&eventlog.JobEnded{
			Attempt: id, Job: next, Outcome: o, Changed: w.rng.IntN(2) == 0, Exit: int32(o) - 1, Info: "info",
			StartedAt: w.now + w.clocks[a.Agent] - length, Duration: length, Stderr: eventlog.Output{Head: []byte("oops\n"), Size: 5},
		})
	case failed:
		w.add(&eventlog.AttemptEnded{Attempt: id, Outcome: eventlog.Failed, Reason: "a job failed"})
	default:
		w.add(&eventlog.AttemptEnded{Attempt: id, Outcome: o, Reason: "told"})
	}
}

// told is the history of a run up to a record, with the state there.
func (w *world) told(run, to uint64) (*history.Run, *engine.State) {
	s := engine.NewState()
	rec := history.NewRecorder(s, run)
	for i := range w.recs[:to] {
		e, err := eventlog.Decode(w.recs[i].Kind, w.recs[i].Data)
		if err != nil {
			w.t.Fatal(err)
		}
		folded := rec.Seen(s, &w.recs[i], e)
		void, err := s.Apply(w.recs[i], e)
		if err != nil {
			w.t.Fatal(err)
		}
		if folded != nil {
			folded(void)
		}
	}
	return rec.Run(), s
}

// TestLaws holds histories of runs by chance, with agents whose clocks are wrong and
// jump, against what has to be true of each.
func TestLaws(t *testing.T) {
	t.Parallel()
	for seed := range uint64(120) {
		w := newWorld(t, seed)
		w.run()
		w.run()
		for _, run := range w.s.Runs {
			for _, to := range []uint64{uint64(len(w.recs)), run.Index + w.rng.Uint64N(uint64(len(w.recs))-run.Index+1)} {
				h, s := w.told(run.ID, to)
				if h == nil {
					t.Fatalf("seed %d: run %d is not told at %d", seed, run.ID, to)
				}
				checkTimeline(t, h, s)
				checkExplanations(t, &history.Explainer{Run: h, State: s}, w.recs[:to])
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// checkTimeline holds a timeline against the state and against itself.
func checkTimeline(t *testing.T, h *history.Run, s *engine.State) {
	t.Helper()
	tl := h.Timeline()
	r := s.Run(h.ID)
	i := 0
	var totals history.Span
	for task := range r.Tasks {
		for pos := range r.Graph.StepCount(uint32(task)) {
			st := &tl.Steps[i]
			i++
			if want := r.Step(uint32(task), pos).Status.String(); st.Status != want && h.Ended.Index == 0 {
				t.Errorf("at %d %s is %s, and the history says %s", s.Index, st.Step, want, st.Status)
			}
			checkStep(t, tl, st)
			totals += st.Span
		}
	}
	if tl.Totals.Sum() != totals {
		t.Errorf("the totals are %d, and the steps' times %d", tl.Totals.Sum(), totals)
	}
	var length, hosts history.Span
	at := tl.CreatedAt
	for _, l := range tl.Critical {
		if !l.From.Equal(at) || l.Parts.Sum() != l.Span {
			t.Errorf("link %s begins at %s behind %s, and its parts are %d of %d", l.Step, l.From, at, l.Parts.Sum(), l.Span)
		}
		at, length = l.To, length+l.Span
	}
	if length+tl.Tail != tl.Elapsed || tl.Tail < 0 {
		t.Errorf("the critical path takes %d and the end %d of %d", length, tl.Tail, tl.Elapsed)
	}
	for i := range tl.Hosts {
		hosts += tl.Hosts[i].Parts.Sum()
	}
	if hosts != totals {
		t.Errorf("the hosts' times are %d of %d", hosts, totals)
	}
	var again history.Timeline
	text, err := json.Marshal(tl)
	if err == nil {
		err = json.Unmarshal(bytes.ReplaceAll(text, []byte(`"class":`), []byte(`"c":`)), &again)
	}
	if err != nil || again.Elapsed != tl.Elapsed || again.Totals != tl.Totals {
		t.Errorf("as JSON it is another one: %v", err)
	}
}

// checkStep: the parts follow each other without holes, from the run's beginning until
// the step was settled, and so do its jobs within them.
func checkStep(t *testing.T, tl *history.Timeline, st *history.StepTime) {
	t.Helper()
	at := tl.CreatedAt
	for i := range st.Segments {
		g := &st.Segments[i]
		if !g.From.Equal(at) || !g.To.After(g.From) {
			t.Errorf("%s: part %d, %s, is %s to %s behind %s", st.Step, i, g.Class, g.From, g.To, at)
		}
		at = g.To
	}
	end := tl.Until
	if st.Committed != nil {
		end = st.Committed.Time
	}
	if !at.Equal(end) || st.Parts.Sum() != st.Span || st.Span != history.Span(end.Sub(tl.CreatedAt)) {
		t.Errorf("%s: its parts end at %s and make %d of %d, it ended at %s", st.Step, at, st.Parts.Sum(), st.Span, end)
	}
	if st.Parts.Network != st.Parts.Dispatch+st.Parts.Report {
		t.Errorf("%s: the network's halves make %d of %d", st.Step, st.Parts.Dispatch+st.Parts.Report, st.Parts.Network)
	}
	for _, a := range st.Attempts {
		from := a.ScheduledAt.Time
		for _, j := range a.Jobs {
			to := j.StartedAt.Add(j.Duration.Duration())
			if j.StartedAt.Before(from) || j.Duration < 0 || to.After(end) {
				t.Errorf("%s: job %d is %s to %s, after %s and before %s", st.Step, j.Job, j.StartedAt, to, from, end)
			}
			from = to
		}
	}
}

// checkExplanations: everything has an answer, which rests on records that are there.
func checkExplanations(t *testing.T, x *history.Explainer, recs []eventlog.Record) {
	t.Helper()
	check := func(e *history.Explanation) {
		if e.Answer == "" || len(e.Evidence) == 0 {
			t.Errorf("%s %s has no answer or no evidence: %+v", e.What, e.Which, e)
		}
		for _, ev := range e.Evidence {
			if ev.Seq > uint64(len(recs)) || ev.Text == "" {
				t.Errorf("%s %s rests on record %d of %d: %q", e.What, e.Which, ev.Seq, len(recs), ev.Text)
			} else if ev.Seq != 0 && ev.Time != nil && recs[ev.Seq-1].Index != 0 && // a bundle lacks others
				ev.Time.UnixNano() != recs[ev.Seq-1].Time {
				t.Errorf("%s %s: record %d is not of %s", e.What, e.Which, ev.Seq, ev.Time)
			}
		}
	}
	g := x.Run.Graph
	for i := range g.Tasks {
		check(x.Task(g.Tasks[i].ID))
		for pos := range g.StepCount(uint32(i)) {
			host := g.HostName(uint32(i), engine.NoHost)
			if !g.IsEngine(uint32(i)) && !g.IsLocal(uint32(i)) {
				host = g.Hosts[g.HostSets[g.Tasks[i].HostSet][pos]]
			}
			check(x.Step(history.StepName(g, uint32(i), host)))
		}
	}
	for _, h := range g.Hosts {
		check(x.Host(h))
	}
}
