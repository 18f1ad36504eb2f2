package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/conformance"
	"quorate/nodeagent"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// A node is a real agent that a test stops and starts.
type node struct {
	t       testing.TB
	cfg     nodeagent.Config
	workDir string
	stop    func()
}

func newNode(t testing.TB, rig *gatewaytest.Rig, name string) *node {
	t.Helper()
	token, _, err := rig.O.CreateToken(t.Context(), orchestrator.TokenRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n := &node{t: t, workDir: filepath.Join(dir, "root"), stop: func() {}}
	if err := os.MkdirAll(n.workDir, 0o700); err != nil {
		t.Fatal(err)
	}
	n.cfg = nodeagent.Config{Servers: []string{rig.Address}, Token: token, DataDir: dir, WorkDir: n.workDir, Name: name, Version: "test"}
	t.Cleanup(func() { n.stop() })
	n.start()
	rig.Until(t, name, func(s *engine.State) bool { a := s.AgentByName(name); return a != nil && a.Connected })
	return n
}

func (n *node) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- nodeagent.Run(ctx, n.cfg) }()
	n.stop = func() {
		n.stop = func() {}
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			n.t.Errorf("agent %s: %v", n.cfg.Name, err)
		}
	}
}

// read returns a file of the node's directory, without the blanks around it.
func (n *node) read(name string) string {
	data, err := os.ReadFile(filepath.Join(n.workDir, name))
	if err != nil {
		return "absent"
	}
	return strings.TrimSpace(string(data))
}

// compile makes a plan of an orchestration file over hosts, and uploads it.
func compile(t testing.TB, rig *gatewaytest.Rig, text string, hosts ...string) *planner.Plan {
	t.Helper()
	opt := planner.Options{Hosts: hosts, Verbs: verb.Lookup}
	in, diagnostics := planner.Load(planner.Sources{Texts: []planner.Text{{Name: "test.yaml", Content: []byte(text)}}}, opt)
	plan, more := planner.Compile(in, opt)
	if plan == nil {
		t.Fatalf("%v %v", diagnostics, more)
	}
	for _, b := range in.Blobs() {
		if _, err := rig.O.Blobs().PutBytes(b.Content); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rig.O.Blobs().PutBytes(plan.Encode()); err != nil {
		t.Fatal(err)
	}
	return plan
}

// apply runs an orchestration to its end and wants it to end so.
func apply(t testing.TB, rig *gatewaytest.Rig, want, text string, hosts ...string) *engine.State {
	t.Helper()
	run := rig.Run(t, compile(t, rig, text, hosts...))
	status := rig.UntilEnded(t, run)
	s := rig.Replay(t)
	if status != want {
		t.Fatalf("run %d is %s, want %s\n%s", run, status, want, results(t, rig, run))
	}
	return s
}

// results are the ends of a run's jobs, for people.
func results(t testing.TB, rig *gatewaytest.Rig, run uint64) string {
	t.Helper()
	var b strings.Builder
	for _, e := range endsOf(t, rig, run) {
		fmt.Fprintf(&b, "%s job %d: %s %s %s\n", e.host, e.Job, e.Outcome, e.Info, e.Stderr.Head)
	}
	return b.String()
}

// An end is the end of a job with its host.
type end struct {
	*eventlog.JobEnded
	host string
}

// endsOf reads the ends of a run's jobs from the log.
func endsOf(t testing.TB, rig *gatewaytest.Rig, run uint64) (out []end) {
	t.Helper()
	s := rig.Replay(t)
	records, err := rig.Log.Read(t.Context(), 1, int(s.Index))
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		event, err := eventlog.Decode(rec.Kind, rec.Data)
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := event.(*eventlog.JobEnded); ok && s.Attempts[e.Attempt].Run == run {
			out = append(out, end{e, s.Agents[s.Attempts[e.Attempt].Agent].Name})
		}
	}
	return out
}

func waitForFile(t testing.TB, path string) {
	t.Helper()
	deadline := time.After(gatewaytest.Patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for %s", path)
		}
	}
}

// Case 43: what one host has is seen by another, and None for who has nothing.
func TestCase43Query(t *testing.T) {
	conformance.Case(t, conformance.Directord, "43")
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	_, n2 := newNode(t, rig, "n1"), newNode(t, rig, "n2")
	s := apply(t, rig, "succeeded", `
- jobs:
  - RUN: sleep 0.3
    assign: [n1]
  - ARG: only 7
    assign: [n1]
  - QUERY: only
    assign: [n2]
  - RUN: echo {{ query['n1']['only'] }} {{ query['n2']['only'] }} > seen
    assign: [n2]
`, "n1", "n2")
	if got := n2.read("seen"); got != "7 None" {
		t.Errorf("n2 saw %q", got)
	}
	if v := s.AgentByName("n1").Value("only"); v == nil || v.Run != 1 || v.Job != 1 || string(v.Value) != "i\x0e" {
		t.Errorf("on record is %+v", v)
	}
}

// What the corpus does: hosts of one task set an argument and ask for everybody's,
// and a task on other hosts, behind it, uses what it finds.
func TestQueryAmongTargets(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	nodes := map[string]*node{}
	for _, name := range []string{"a", "b", "c"} {
		nodes[name] = newNode(t, rig, name)
	}
	const idiom = `{% for h in query.values() | map(attribute='ip') | select('defined') | reject('==', None) | list %}{{ h }};{% endfor %}`
	plan := compile(t, rig, `
- targets: [a, b]
  jobs:
  - RUN: --stdout-arg ip echo "$QUORATE_HOST-ip"; test $QUORATE_HOST = a || sleep 0.3
  - QUERY: ip
  - RUN: echo "`+idiom+`" > seen
`, "a", "b", "c")
	later := compile(t, rig, `
- targets: [c]
  jobs:
  - RUN: echo "`+idiom+`" > seen
  - QUERY: ip
`, "a", "b", "c")
	// One step at a time: who waits for the others must not keep them from starting.
	rig.Record(t, plan)
	run, err := rig.O.CreateRun(t.Context(), orchestrator.RunRequest{PlanID: plan.ID(), RequestID: rig.RequestID(), By: "test", StepsMax: 1})
	if err != nil {
		t.Fatal(err)
	}
	if status := rig.UntilEnded(t, run); status != "succeeded" {
		t.Fatalf("%s\n%s", status, results(t, rig, run))
	}
	run = rig.Run(t, later)
	if status := rig.UntilEnded(t, run); status != "succeeded" {
		t.Fatalf("%s\n%s", status, results(t, rig, run))
	}
	for name, n := range nodes {
		if got := n.read("seen"); got != "a-ip;b-ip;" {
			t.Errorf("%s saw %q", name, got)
		}
	}
}

// A host that fails before it can answer is not waited for, and said so.
func TestQueryOfAFailedHost(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	n1 := newNode(t, rig, "n1")
	newNode(t, rig, "n2")
	run := rig.Run(t, compile(t, rig, `
- jobs:
  - RUN: test $QUORATE_HOST = n1
  - ARG: k v
  - QUERY: k
  - RUN: echo {{ query['n1']['k'] }} {{ query['n2']['k'] }} > seen
`, "n1", "n2"))
	if status := rig.UntilEnded(t, run); status != "failed" {
		t.Fatalf("run is %s\n%s", status, results(t, rig, run))
	}
	if got := n1.read("seen"); got != "v None" {
		t.Errorf("n1 saw %q", got)
	}
	for _, e := range endsOf(t, rig, run) {
		if e.host == "n1" && e.Job == 2 && e.Info != "k: ended without an answer: n2" {
			t.Errorf("the QUERY says %q", e.Info)
		}
	}
}

// A wait goes on across a restart of the agent, and its bound says what is missing.
func TestWaits(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	n1 := newNode(t, rig, "n1")
	newNode(t, rig, "n2")
	run := rig.Run(t, compile(t, rig, `
- targets: [n1]
  jobs:
  - QUERY_WAIT: k --identity n2
  - RUN: echo {{ query['n2']['k'] }} > seen
`, "n1", "n2"))
	begun := func(run uint64) {
		t.Helper()
		rig.Until(t, "the wait", func(s *engine.State) bool {
			for _, a := range s.Attempts {
				if a.Run == run && a.Began {
					return s.Run(run).Counts.Running == 1
				}
			}
			return false
		})
	}
	begun(run)
	n1.stop()
	n1.start()
	rig.Until(t, "n1 is back", func(s *engine.State) bool { return s.AgentByName("n1").Connected })
	apply(t, rig, "succeeded", `
- targets: [n2]
  jobs: [{ARG: k there}, {QUERY: k --no-wait}]
`, "n2")
	if status := rig.UntilEnded(t, run); status != "succeeded" || n1.read("seen") != "there" {
		t.Errorf("run is %s, n1 saw %q\n%s", status, n1.read("seen"), results(t, rig, run))
	}
	run = rig.Run(t, compile(t, rig, `
- targets: [n1]
  jobs: [{QUERY_WAIT: never --query-timeout 1 --identity n2}]
`, "n1", "n2"))
	if status := rig.UntilEnded(t, run); status != "failed" || !strings.Contains(results(t, rig, run), "QUERY_WAIT never: n2 has published no never: agent n2 is connected") {
		t.Errorf("run is %s\n%s", status, results(t, rig, run))
	}
}

// JOB_WAIT ends when the hosts have done the job, with success or without.
func TestJobWait(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	n1, n2 := newNode(t, rig, "n1"), newNode(t, rig, "n2")
	work := compile(t, rig, `
- targets: [n2]
  jobs: [{RUN: 'sleep 0.5; touch done; exit 1'}]
`, "n1", "n2")
	fingerprint := work.Tasks[0].Jobs[0].Spec.Fingerprint
	wait := rig.Run(t, compile(t, rig, `
- targets: [n1]
  jobs: [{JOB_WAIT: `+fingerprint+` --identity n2}, {RUN: touch after}]
`, "n1", "n2"))
	rig.UntilEnded(t, rig.Run(t, work))
	if status := rig.UntilEnded(t, wait); status != "succeeded" || n1.read("after") != "" || n2.read("done") != "" {
		t.Errorf("run is %s, after %q\n%s", status, n1.read("after"), results(t, rig, wait))
	}
}

// Case 37: what waits on the host fails, and what runs finishes.
func TestCase37Sentinel(t *testing.T) {
	conformance.Case(t, conformance.Directord, "37")
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	n1 := newNode(t, rig, "n1")
	run := rig.Run(t, compile(t, rig, `
- async: true
  targets: [n1]
  jobs: [{RUN: 'touch started; while ! test -e go; do sleep 0.05; done; touch finished'}, {RUN: touch second}]
`, "n1"))
	waitForFile(t, filepath.Join(n1.workDir, "started"))
	apply(t, rig, "succeeded", "- targets: [n1]\n  jobs: [{QUEUESENTINEL: now}]\n", "n1")
	if err := os.WriteFile(filepath.Join(n1.workDir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status := rig.UntilEnded(t, run); status != "failed" || n1.read("finished") != "" || n1.read("second") != "absent" {
		t.Errorf("run is %s, finished %q, second %q", status, n1.read("finished"), n1.read("second"))
	}
	if got := results(t, rig, run); !strings.Contains(got, "job 1: failed Omitted due to sentinel from ") {
		t.Errorf("%s", got)
	}
	apply(t, rig, "succeeded", "- targets: [n1]\n  jobs: [{RUN: touch afterwards}]\n", "n1")
}

// What a job waits for reaches it by whichever gateway the agent has by then.
func TestWaitMovesToAnotherGateway(t *testing.T) {
	rigs := gatewaytest.Cluster(t, 3, gatewaytest.Options{Verbs: verb.Lookup})
	n1, _ := newNode(t, rigs[1], "n1"), newNode(t, rigs[2], "n2")
	run := rigs[0].Run(t, compile(t, rigs[0], `
- targets: [n1]
  jobs: [{QUERY_WAIT: k}, {RUN: "echo {{ query['n2']['k'] }} > seen"}]
`, "n1", "n2"))
	rigs[0].Until(t, "the wait", func(s *engine.State) bool { return s.Run(run).Counts.Running == 1 })
	rigs[1].Stop()
	apply(t, rigs[0], "succeeded", "- targets: [n2]\n  jobs: [{ARG: k there}, {QUERY: k}]\n", "n2")
	if status := rigs[0].UntilEnded(t, run); status != "succeeded" || n1.read("seen") != "there" {
		t.Errorf("run is %s, n1 saw %q\n%s", status, n1.read("seen"), results(t, rigs[0], run))
	}
}

// What is too large to be told fails the job that brings it about: others would go
// on without it.
func TestTooLargeToTell(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	n1 := newNode(t, rig, "n1")
	if err := os.WriteFile(filepath.Join(n1.workDir, "much.yaml"), []byte("much: "+strings.Repeat("x", wire.ValueBytesMax)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := rig.Run(t, compile(t, rig, "- jobs: [{CACHEFILE: much.yaml}, {RUN: touch after}]\n- jobs: [{QUERY: much}]\n", "n1"))
	status := rig.UntilEnded(t, run)
	if got := results(t, rig, run); status != "failed" || n1.read("after") != "absent" || !strings.Contains(got, "job 0: failed the argument much has 65540 bytes") {
		t.Errorf("run is %s\n%s", status, got)
	}
}

// Values, and questions, beyond their bounds end an agent's service or connection.
func TestHostileValues(t *testing.T) {
	many := make([]wire.Value, wire.ValuesMax+1)
	for i := range many {
		many[i].Key = "k"
	}
	for name, r := range map[string]wire.Report{
		"too many":            {Published: true, Values: many},
		"too large":           {Published: true, Values: []wire.Value{{Key: "k", Value: make([]byte, wire.ValueBytesMax+1)}}},
		"without a name":      {Published: true, Values: []wire.Value{{}}},
		"beside an end":       {Published: true, End: true, Outcome: 1},
		"in a job's end":      {Outcome: 1, Values: []wire.Value{{Key: "k"}}},
		"waiting at an end":   {Outcome: 1, Waits: true},
		"of another's doings": {Published: true, Attempt: 1, Values: []wire.Value{{Key: "k"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig := gatewaytest.Start(t, gatewaytest.Options{})
			agent := rig.Enrol(t, "n1")
			link := agent.MustConnect(t)
			run := rig.Run(t, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}))
			d := until[*wire.Dispatch](t, link)
			if r.Attempt == 0 {
				r.Attempt = d.Attempt
			}
			r.Seq = 1
			if err := wire.WriteMessage(link.Control, &wire.Results{Reports: []wire.Report{r}}); err != nil {
				t.Fatal(err)
			}
			rig.Until(t, "quarantine", func(s *engine.State) bool { return s.AgentByName("n1").Quarantined != "" && s.Run(run) != nil })
		})
	}
}

// An agent learns of what its plan asks for, and asks for its own attempts alone.
func TestQuestionsOfOthers(t *testing.T) {
	rig := gatewaytest.Start(t, gatewaytest.Options{Verbs: verb.Lookup})
	link := rig.Enrol(t, "n1").MustConnect(t)
	rig.Run(t, compile(t, rig, "- targets: [n1]\n  jobs: [{QUERY: k}]\n", "n1"))
	d := until[*wire.Dispatch](t, link)
	for _, tc := range []struct {
		ask  wire.Ask
		want string
	}{
		{wire.Ask{ID: 1, Want: wire.WantValue, Attempt: d.Attempt, Key: "other"}, `the plan does not ask for "other"`},
		{wire.Ask{ID: 2, Want: wire.WantQuery, Attempt: d.Attempt, Job: 7, Key: "k"}, "has no job 7"},
		{wire.Ask{ID: 3, Want: wire.WantQuery, Attempt: d.Attempt + 1, Key: "k"}, "is not under way"},
	} {
		if err := wire.WriteMessage(link.Control, &tc.ask); err != nil {
			t.Fatal(err)
		}
		if a := until[*wire.Answer](t, link); a.ID != tc.ask.ID || !strings.Contains(a.Error, tc.want) {
			t.Errorf("%+v is answered with %+v, want %q", tc.ask, a, tc.want)
		}
	}
	if err := wire.WriteMessage(link.Control, &wire.Ask{ID: 4, Want: wire.WantValue, Key: strings.Repeat("k", wire.KeyBytesMax+1)}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-link.Quic.Context().Done():
	case <-time.After(gatewaytest.Patience):
		t.Error("a question beyond its bounds is endured")
	}
}
