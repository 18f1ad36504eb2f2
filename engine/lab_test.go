package engine

import (
	"fmt"

	"quorate/eventlog"
	"quorate/planner"
)

// A reporter is what testing.T and rapid.T have in common.
type reporter interface {
	Helper()
	Error(...any)
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
	Failed() bool
}

// A lab is a log with the state that it folds to.
type lab struct {
	t    reporter
	s    *State
	recs []eventlog.Record
	now  int64
}

func newLab(t reporter) *lab {
	l := &lab{t: t, s: NewState(), now: 1000}
	l.ok(&eventlog.ClusterCreated{ClusterID: "c1"})
	l.ok(&eventlog.LeaderEstablished{Replica: 1})
	return l
}

// add appends the event and returns why it is void.
func (l *lab) add(e eventlog.Event) string {
	l.t.Helper()
	l.now++
	entry, err := eventlog.NewEntry(l.now, e)
	if err != nil {
		l.t.Fatal(err)
	}
	rec := eventlog.Record{Index: uint64(len(l.recs)) + 1, Time: l.now, Kind: entry.Kind, Data: entry.Data}
	l.recs = append(l.recs, rec)
	void, err := l.s.Fold(rec)
	if err != nil {
		l.t.Fatal(err)
	}
	return void
}

// ok appends an event that has to take effect, and returns its index.
func (l *lab) ok(e eventlog.Event) uint64 {
	l.t.Helper()
	if void := l.add(e); void != "" {
		l.t.Fatalf("%T at %d is void: %s", e, len(l.recs), void)
	}
	return l.s.Index
}

// void appends an event that must not take effect, and checks that it changed nothing.
func (l *lab) void(e eventlog.Event) string {
	l.t.Helper()
	before := bare(l.s)
	void := l.add(e)
	if void == "" {
		l.t.Fatalf("%T %+v took effect", e, e)
	}
	if bare(l.s) != before {
		l.t.Fatalf("void %T changed the state: %s", e, void)
	}
	return void
}

// bare is the hash of a state without its place in the log.
func bare(s *State) eventlog.Hash {
	c := *s
	c.Index, c.Time, c.Head, c.voided = 0, 0, eventlog.Hash{}, eventlog.Hash{}
	return c.Hash()
}

// agent enrols an agent of that name.
func (l *lab) agent(name string, labels ...string) uint64 {
	l.t.Helper()
	hash := fmt.Sprintf("token-%d", len(l.recs))
	l.ok(&eventlog.TokenCreated{TokenHash: hash, Name: name, Role: "agent", Labels: labels})
	return l.ok(&eventlog.AgentEnrolled{
		TokenHash: hash, Name: name, KeyDigest: "key-" + hash, JournalID: "journal-" + hash,
	})
}

// relay enrols a relay of that name, and has agents connect through it.
func (l *lab) relay(name string, agents ...string) uint64 {
	l.t.Helper()
	hash := fmt.Sprintf("token-%d", len(l.recs))
	l.ok(&eventlog.TokenCreated{TokenHash: hash, Name: name, Role: RelayRole})
	relay := l.ok(&eventlog.AgentEnrolled{TokenHash: hash, Name: name, KeyDigest: "key-" + hash, JournalID: "journal-" + hash})
	for _, a := range agents {
		l.connect(a, relay)
	}
	return relay
}

// connect has the agent connect anew, through the relay or, where that is 0, by itself.
func (l *lab) connect(name string, relay uint64) {
	l.t.Helper()
	a := l.s.AgentByName(name)
	l.ok(&eventlog.AgentConnected{Agent: a.ID, Session: fmt.Sprintf("session-%d", len(l.recs)), JournalID: a.JournalID, JournalSeq: a.JournalSeq, Relay: relay})
}

// run records the plan and starts a run of it.
func (l *lab) run(p *eventlog.PlanRecorded, with ...func(*eventlog.RunCreated)) *Run {
	l.t.Helper()
	if l.s.Plans[p.PlanID] == nil {
		l.ok(p)
	}
	e := &eventlog.RunCreated{PlanID: p.PlanID}
	for _, f := range with {
		f(e)
	}
	l.ok(e)
	return l.s.Runs[len(l.s.Runs)-1]
}

// decide folds decisions until there are none, and fails where one is void.
func (l *lab) decide() (events []eventlog.Event) {
	l.t.Helper()
	for {
		es := l.s.Decide()
		if len(es) == 0 {
			return events
		}
		for _, e := range es {
			l.ok(e)
		}
		events = append(events, es...)
	}
}

// attempt returns the newest attempt of a step.
func (l *lab) attempt(r *Run, task uint32, pos int) *Attempt {
	l.t.Helper()
	a := l.s.Attempts[r.Step(task, pos).Attempt]
	if a == nil {
		l.t.Fatalf("step %d of task %d has no attempt: it is %s", pos, task, r.Step(task, pos).Status)
	}
	return a
}

// end settles the newest attempt of a step.
func (l *lab) end(r *Run, task uint32, pos int, o eventlog.Outcome) {
	l.t.Helper()
	l.ok(&eventlog.AttemptEnded{Attempt: l.attempt(r, task, pos).ID, Outcome: o, Reason: "told"})
}

func (l *lab) statuses(r *Run) (out []string) {
	for i := range r.Tasks {
		out = append(out, r.Tasks[i].Status.String())
	}
	return out
}

// plan makes a plan of the tasks over hosts h0, h1, ...; host set 0 is all of
// them, 1 is empty, and 2+i is host i alone.
func plan(hosts int, tasks ...eventlog.PlanTask) *eventlog.PlanRecorded {
	p := &eventlog.PlanRecorded{PlanID: "plan", HostSets: [][]uint32{nil, {}}, Tasks: tasks}
	for h := range uint32(hosts) {
		p.Hosts = append(p.Hosts, fmt.Sprintf("h%d", h))
		p.HostSets[0] = append(p.HostSets[0], h)
		p.HostSets = append(p.HostSets, []uint32{h})
	}
	for i := range p.Tasks {
		p.Tasks[i].ID = fmt.Sprintf("t%d", i)
		if p.Tasks[i].Driver == "" {
			p.Tasks[i].Driver = string(planner.DriverDirectord)
		}
		if p.Tasks[i].Jobs == 0 {
			p.Tasks[i].Jobs = 1
		}
	}
	return p
}

func all(tasks ...uint32) (deps []eventlog.PlanDep) {
	for _, t := range tasks {
		deps = append(deps, eventlog.PlanDep{Task: t, Scope: uint8(planner.ScopeAll)})
	}
	return deps
}

func sameHost(tasks ...uint32) (deps []eventlog.PlanDep) {
	for _, t := range tasks {
		deps = append(deps, eventlog.PlanDep{Task: t, Scope: uint8(planner.ScopeSameHost)})
	}
	return deps
}

// after is no more than an order on the same host.
func after(tasks ...uint32) (deps []eventlog.PlanDep) {
	for _, t := range tasks {
		deps = append(deps, eventlog.PlanDep{Task: t, Scope: uint8(planner.ScopeAfterSameHost)})
	}
	return deps
}
