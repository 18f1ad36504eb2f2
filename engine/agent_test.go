package engine

import (
	"slices"
	"strings"
	"testing"

	"quorate/eventlog"
	"quorate/planner"
)

func TestEnrolment(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.ok(&eventlog.TokenCreated{TokenHash: "named", Name: "h0", Role: "agent", ExpiresAt: 5000})
	l.void(&eventlog.TokenCreated{TokenHash: "named", Name: "h1", Role: "agent"})
	l.void(&eventlog.TokenCreated{TokenHash: "odd", Role: "king"})
	l.ok(&eventlog.TokenCreated{TokenHash: "open", Role: "agent"})
	l.ok(&eventlog.TokenCreated{TokenHash: "open-too", Role: "agent", AutoApprove: true})
	l.ok(&eventlog.TokenCreated{TokenHash: "operator", Role: "operator"})
	l.ok(&eventlog.TokenCreated{TokenHash: "short", Role: "agent", ExpiresAt: l.now + 3})

	enrol := func(token, name, key string) *eventlog.AgentEnrolled {
		return &eventlog.AgentEnrolled{TokenHash: token, Name: name, KeyDigest: key, JournalID: "j" + key}
	}
	l.void(enrol("nobody's", "h0", "k0"))
	l.void(enrol("operator", "h0", "k0"))
	l.void(enrol("named", "h1", "k0"))
	l.void(enrol("short", "h9", "k9")) // the clock of the log has passed it by now
	id := l.ok(enrol("named", "h0", "k0"))
	l.void(enrol("named", "h0", "k0"))
	if a, ok := l.s.Enrolled("named", "k0"); !ok || a.ID != id {
		t.Errorf("a repeat finds %v, %v", a, ok)
	}
	if _, ok := l.s.Enrolled("named", "k1"); ok {
		t.Error("another key finds the agent")
	}
	l.void(enrol("open", "h0", "k1")) // name in use
	l.void(enrol("open", "h1", "k0")) // key in use
	pending := l.ok(enrol("open", "h1", "k1"))
	approved := l.ok(enrol("open-too", "h2", "k2"))
	if l.s.Agents[pending].Usable() || !l.s.Agents[approved].Usable() || !l.s.Agents[id].Usable() {
		t.Error("an agent waits for approval exactly if it chose its name and the token does not approve it")
	}
	l.void(&eventlog.AgentConnected{Agent: pending, Session: "s", JournalID: "jk1"})
	l.ok(&eventlog.AgentApproved{Agent: pending, RequestID: "a"})
	l.void(&eventlog.AgentApproved{Agent: pending, RequestID: "a"})
	l.void(&eventlog.AgentApproved{Agent: pending})
	l.ok(&eventlog.AgentRevoked{Agent: pending, RequestID: "b"})
	l.void(&eventlog.AgentRevoked{Agent: pending})
	if l.s.AgentByName("h1") != nil {
		t.Error("a revoked agent keeps its name")
	}
}

// An operator's newest certificate is the one on record, under a name that a
// certificate can carry.
func TestOperatorIssued(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for _, name := range []string{"", "a b", "a/b", "ann\n", "änn", strings.Repeat("a", 65)} {
		l.void(&eventlog.OperatorIssued{Name: name, KeyDigest: "k"})
	}
	l.void(&eventlog.OperatorIssued{Name: "ann"})
	longest := "Ann.B-c_9@" + strings.Repeat("x", 54)
	l.ok(&eventlog.OperatorIssued{Name: longest, KeyDigest: "k0"})
	l.ok(&eventlog.OperatorIssued{Name: "ann", KeyDigest: "k1", By: "local:root", ExpiresAt: 7})
	at := l.ok(&eventlog.OperatorIssued{Name: "ann", KeyDigest: "k2", By: "local:bob", ExpiresAt: 8})
	got := l.s.Operators["ann"]
	if len(l.s.Operators) != 2 || got == nil || got.KeyDigest != "k2" || got.By != "local:bob" || got.ExpiresAt != 8 || got.Index != at {
		t.Errorf("on record is %+v of %d", got, len(l.s.Operators))
	}
}

func TestConnections(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	id := l.agent("h0")
	a := l.s.Agents[id]
	connect := func(session string, seq uint64) *eventlog.AgentConnected {
		return &eventlog.AgentConnected{Agent: id, Session: session, JournalID: a.JournalID, JournalSeq: seq}
	}
	l.ok(connect("one", 0))
	l.void(connect("one", 0))
	l.ok(connect("two", 0))
	l.void(&eventlog.AgentDisconnected{Agent: id, Session: "one"})
	l.ok(&eventlog.AgentDisconnected{Agent: id, Session: "two"})
	l.void(&eventlog.AgentDisconnected{Agent: id, Session: "two"})

	r := l.run(plan(1, eventlog.PlanTask{Jobs: 2}))
	l.decide()
	attempt := l.attempt(r, 0, 0).ID
	l.ok(&eventlog.JobEnded{Attempt: attempt, Outcome: eventlog.Succeeded, Seq: 1})
	if a.JournalFault(a.JournalID, 1) != "" || a.JournalFault(a.JournalID, 0) == "" || a.JournalFault("other", 1) == "" {
		t.Error("a journal is at fault exactly if it is another one or an older copy")
	}
	l.void(connect("three", 0))
	l.void(&eventlog.AgentQuarantined{Agent: id, Reason: "sound", JournalID: a.JournalID, JournalSeq: 1})
	l.ok(&eventlog.AgentQuarantined{Agent: id, Reason: "rolled back", JournalID: a.JournalID, JournalSeq: 0})
	l.void(&eventlog.AgentQuarantined{Agent: id, Reason: "again"})
	if why := l.void(&eventlog.AgentApproved{Agent: id}); !strings.Contains(why, "revoke it") {
		t.Errorf("who approves an agent in quarantine is told: %s", why)
	}
	l.void(connect("three", 1))
	l.void(&eventlog.JobEnded{Attempt: attempt, Job: 1, Outcome: eventlog.Succeeded, Seq: 2})
	if got := l.attempt(r, 0, 0); got.Outcome != eventlog.Unknown || r.Step(0, 0).Status != Waiting || len(a.Open) != 0 {
		t.Errorf("after the quarantine the attempt is %d, the step %s", got.Outcome, r.Step(0, 0).Status)
	}
	// A new agent under the name takes over.
	l.ok(&eventlog.StepResolved{Attempt: attempt, As: "retry"})
	wantDecided(t, l, "")
	l.ok(&eventlog.AgentRevoked{Agent: id})
	l.agent("h0")
	wantDecided(t, l, "schedule 0@0 from 1")
}

func TestCheckRun(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h1")
	l.ok(plan(3, eventlog.PlanTask{HostSet: 2}, eventlog.PlanTask{HostSet: 3},
		eventlog.PlanTask{HostSet: 4, Driver: string(planner.DriverPrint)}, eventlog.PlanTask{Driver: string(planner.DriverLocal)}))
	if got := l.s.CheckRun(l.s.Plans["plan"]); !slices.Equal(got, []string{"h0", "controller"}) {
		t.Errorf("missing %v", got)
	}
	l.agent("h0")
	l.agent("ctl", "controller")
	if got := l.s.CheckRun(l.s.Plans["plan"]); got != nil {
		t.Errorf("missing %v", got)
	}
}

func TestRunCreated(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.void(&eventlog.RunCreated{PlanID: "plan"})
	l.ok(plan(1, eventlog.PlanTask{HostSet: 1}))
	l.void(plan(1))
	l.ok(&eventlog.RunCreated{PlanID: "plan", RequestID: "r"})
	l.void(&eventlog.RunCreated{PlanID: "plan", RequestID: "r"})
	if r, ok := l.s.RunByRequest("r"); !ok || r.ID != 1 {
		t.Errorf("the request finds %v, %v", r, ok)
	}
	l.void(&eventlog.RunEnded{Run: 1, Outcome: eventlog.Succeeded})
	wantDecided(t, l, "record 0; end 1")
	l.void(&eventlog.RunEnded{Run: 1, Outcome: eventlog.Succeeded})
	empty := plan(0)
	empty.PlanID = "empty"
	l.run(empty)
	l.void(&eventlog.RunEnded{Run: 2, Outcome: eventlog.Failed})
	wantDecided(t, l, "end 1")

	playbook := plan(1, eventlog.PlanTask{Driver: string(planner.DriverAnsible)})
	playbook.PlanID = "playbook"
	l.ok(playbook)
	l.void(&eventlog.RunCreated{PlanID: "playbook"})
}

func TestMalformedPlans(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*eventlog.PlanRecorded){
		"no id":                func(p *eventlog.PlanRecorded) { p.PlanID = "" },
		"host out of range":    func(p *eventlog.PlanRecorded) { p.HostSets[0] = []uint32{0, 2} },
		"hosts not ascending":  func(p *eventlog.PlanRecorded) { p.HostSets[0] = []uint32{1, 0} },
		"set out of range":     func(p *eventlog.PlanRecorded) { p.Tasks[1].HostSet = 4 },
		"job set out of range": func(p *eventlog.PlanRecorded) { p.Tasks[1].JobHostSets = []uint32{4} },
		"job sets missing":     func(p *eventlog.PlanRecorded) { p.Tasks[1].JobHostSets = []uint32{0, 0} },
		"requires itself":      func(p *eventlog.PlanRecorded) { p.Tasks[1].Requires = all(1) },
		"requires a later one": func(p *eventlog.PlanRecorded) { p.Tasks[0].Requires = all(1) },
		"unknown scope":        func(p *eventlog.PlanRecorded) { p.Tasks[1].Requires[0].Scope = 3 },
	}
	for name, spoil := range cases {
		l := newLab(t)
		p := plan(2, eventlog.PlanTask{}, eventlog.PlanTask{Requires: all(0)})
		spoil(p)
		if void := l.add(p); void == "" {
			t.Errorf("%s: the plan is on record", name)
		}
	}
}

// TestTwoScopesOfOneEdge: an edge given twice waits for the whole task.
func TestTwoScopesOfOneEdge(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	r := l.run(plan(2, eventlog.PlanTask{}, eventlog.PlanTask{Requires: append(sameHost(0), all(0)...)}))
	l.decide()
	l.end(r, 0, 0, eventlog.Succeeded)
	wantDecided(t, l, "")
	l.end(r, 0, 1, eventlog.Succeeded)
	wantDecided(t, l, "schedule 1@0 from 0; schedule 1@1 from 0")
}

func TestWaitingForAgents(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	id := l.agent("h0")
	r := l.run(plan(2, eventlog.PlanTask{}))
	l.decide()
	want := []string{"agent h0: not connected", "agent h1: none is enrolled"}
	if got := r.WaitingFor(l.s); !slices.Equal(got, want) {
		t.Errorf("waits for %q, want %q", got, want)
	}
	l.ok(&eventlog.AgentConnected{Agent: id, Session: "s", JournalID: l.s.Agents[id].JournalID})
	if got := r.WaitingFor(l.s); !slices.Equal(got, want[1:]) {
		t.Errorf("waits for %q, want %q", got, want[1:])
	}
}
