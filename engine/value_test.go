package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quorate/eventlog"
)

func published(attempt uint64, job uint32, texts ...string) *eventlog.ValuesPublished {
	e := &eventlog.ValuesPublished{Attempt: attempt, Job: job}
	for _, text := range texts {
		key, value, there := strings.Cut(text, "=")
		e.Values = append(e.Values, eventlog.PublishedValue{Key: key, Value: []byte(value), Absent: !there})
	}
	return e
}

// asked is what a QUERY that waits for others publishes.
func asked(attempt uint64, job uint32, text string) *eventlog.ValuesPublished {
	e := published(attempt, job, text)
	e.Waits = true
	return e
}

// What a host publishes is there with the job that did it, whatever became of that.
func TestValuesPublished(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{Jobs: 3}))
	l.decide()
	at := l.attempt(r, 0, 0).ID
	l.void(published(99, 0, "a=1"))
	l.void(published(at, 0))
	l.void(published(at, 0, "=1"))
	l.ok(published(at, 1, "a=1", "b"))
	agent := l.s.AgentByName("h0")
	if v := agent.Value("a"); v == nil || string(v.Value) != "1" || v.Run != r.ID || v.Task != 0 || v.Job != 1 || v.Attempt != at || v.Index != l.s.Index {
		t.Errorf("a is %+v", v)
	}
	if v := agent.Value("b"); v == nil || !v.Absent {
		t.Errorf("b is %+v", v)
	}
	l.end(r, 0, 0, eventlog.Failed)
	e := published(at, 2, "a=2")
	e.Seq = 1
	l.ok(e)
	l.void(e) // the report is committed
	if v := agent.Value("a"); string(v.Value) != "2" || agent.JournalSeq != 1 {
		t.Errorf("after the attempt was settled a is %+v", v)
	}
	l.ok(&eventlog.AgentRevoked{Agent: agent.ID})
	if len(agent.Values()) != 0 || len(l.s.changes) != 0 {
		t.Errorf("a revoked agent has %v", agent.Values())
	}
}

// Who has seen the values up to an index learns each later one, and no repeats.
func TestChangesSince(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{Jobs: 1}))
	l.decide()
	at := l.attempt(r, 0, 0).ID
	since := func(index uint64, keys ...string) string {
		known := map[string]uint64{}
		for _, k := range keys {
			known[k] = index
		}
		var out []string
		l.s.ChangesSince(known, func(a *Agent, v *Published) { out = append(out, fmt.Sprintf("%s.%s=%s", a.Name, v.Key, v.Value)) })
		return strings.Join(slices.Compact(out), " ")
	}
	l.ok(published(at, 0, "a=1", "b=1", "c"))
	before := l.s.Index
	l.ok(published(at, 0, "a=1")) // nothing new
	l.ok(published(at, 0, "a=2"))
	if got := since(0, "a", "b", "c"); got != "h0.a=2 h0.b=1 h0.a=2" {
		t.Errorf("from the beginning %q", got)
	}
	if got := since(before, "a", "b"); got != "h0.a=2" {
		t.Errorf("since then %q", got)
	}
	if got := since(l.s.Index, "a"); got != "" {
		t.Errorf("since now %q", got)
	}
	for i := range 3 * changesSpareMin {
		l.ok(published(at, 0, fmt.Sprintf("a=%d", i)))
	}
	if n := len(l.s.changes); n > 2*changesSpareMin {
		t.Errorf("%d changes are kept of two values", n)
	}
	if got := since(before, "a", "b"); got != fmt.Sprintf("h0.a=%d", 3*changesSpareMin-1) {
		t.Errorf("after trimming %q", got)
	}
	if got := since(0, "b"); got != "h0.b=1" {
		t.Errorf("trimming lost a value: %q", got)
	}
}

// Of too many values those go that were published longest ago.
func TestValuesAreBounded(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	r := l.run(plan(1, eventlog.PlanTask{Jobs: 1}))
	l.decide()
	at := l.attempt(r, 0, 0).ID
	for i := range ValuesPerAgentMax + 10 {
		l.ok(published(at, 0, fmt.Sprintf("k%d=v", i)))
	}
	agent := l.s.AgentByName("h0")
	if n := len(agent.Values()); n != ValuesPerAgentMax || agent.Value("k9") != nil || agent.Value("k10") == nil {
		t.Errorf("%d values, k9 %+v, k10 %+v", n, agent.Value("k9"), agent.Value("k10"))
	}
}

// A step that waits for other hosts takes no room: those may need its place.
func TestWaitingStepsTakeNoRoom(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	l.agent("h1")
	r := l.run(plan(2, eventlog.PlanTask{Jobs: 2}), func(e *eventlog.RunCreated) { e.StepsMax = 1 })
	l.decide()
	if len(l.s.Decide()) != 0 {
		t.Fatal("a second step has room")
	}
	e := published(l.attempt(r, 0, 0).ID, 0, "k=1")
	e.Waits = true
	l.ok(e)
	l.void(&eventlog.ValuesPublished{Attempt: e.Attempt, Waits: true}) // it waits already
	l.decide()
	second := l.attempt(r, 0, 1)
	if second == nil {
		t.Fatal("the step that is waited for was not scheduled")
	}
	l.end(r, 0, 0, eventlog.Succeeded)
	l.end(r, 0, 1, eventlog.Succeeded)
	if err := recount(l.s); err != nil {
		t.Error(err)
	}
}

// A QUERY is answered when each of its hosts has published for it, is behind it, or
// will never come to it.
func TestUnanswered(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for i := range 4 {
		l.agent(fmt.Sprintf("h%d", i))
	}
	r := l.run(plan(4, eventlog.PlanTask{Jobs: 4}))
	l.decide()
	want := func(host string) {
		t.Helper()
		if got, _ := l.s.Unanswered(r, 0, 1, 0); got != host {
			t.Errorf("%q is waited for, want %q", got, host)
		}
	}
	want("h0")
	l.ok(published(l.attempt(r, 0, 0).ID, 0, "k=early")) // of the job before the QUERY
	want("h0")
	l.ok(asked(l.attempt(r, 0, 0).ID, 1, "k"))
	want("h1")
	l.end(r, 0, 1, eventlog.Failed)
	want("h2")
	for job := range uint32(2) {
		l.ok(&eventlog.JobEnded{Attempt: l.attempt(r, 0, 2).ID, Job: job, Outcome: eventlog.Succeeded})
	}
	want("h3")
	l.ok(published(l.attempt(r, 0, 3).ID, 1, "other=1"))
	want("h3")
	l.ok(published(l.attempt(r, 0, 3).ID, 2, "k=later"))
	want("")
}

// Tasks that ask for the same key at the same time do not keep each other from being
// answered, in whatever order their hosts come to it.
func TestUnansweredByTwo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for i := range 2 {
		l.agent(fmt.Sprintf("h%d", i))
	}
	r := l.run(plan(2, eventlog.PlanTask{ID: "a", Jobs: 2}, eventlog.PlanTask{ID: "b", Jobs: 2}))
	l.decide()
	for _, at := range [][2]int{{0, 0}, {1, 0}, {1, 1}, {0, 1}} { // the last on h0 is b's, on h1 it is a's
		l.ok(asked(l.attempt(r, uint32(at[0]), at[1]).ID, 1, "k=1"))
	}
	for task := range uint32(2) {
		if host, _ := l.s.Unanswered(r, task, 1, 0); host != "" {
			t.Errorf("task %d waits for %s, which has answered", task, host)
		}
	}
}

// Also a host that the QUERY is not for has to be behind the jobs before it.
func TestUnansweredElsewhere(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for i := range 3 {
		l.agent(fmt.Sprintf("h%d", i))
	}
	p := plan(3, eventlog.PlanTask{Jobs: 3})
	p.HostSets = append(p.HostSets, []uint32{0}, []uint32{1}, []uint32{2})
	n := uint32(len(p.HostSets))
	p.Tasks[0].JobHostSets = []uint32{n - 3, n - 2, n - 1} // h0 sets, h1 asks, h2 comes later
	r := l.run(p)
	l.decide()
	l.ok(asked(l.attempt(r, 0, 1).ID, 1, "k"))
	if got, _ := l.s.Unanswered(r, 0, 1, 0); got != "h0" {
		t.Errorf("%q is waited for", got)
	}
	l.ok(&eventlog.JobEnded{Attempt: l.attempt(r, 0, 0).ID, Job: 0, Outcome: eventlog.Succeeded})
	if got, _ := l.s.Unanswered(r, 0, 1, 0); got != "" {
		t.Errorf("%q is waited for, whose jobs come behind the QUERY", got)
	}
}
