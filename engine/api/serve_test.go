package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a rig with its API on a unix socket.
func serve(t *testing.T) (*gatewaytest.Rig, *api.Client, *api.Handler) {
	t.Helper()
	var h *api.Handler
	rig := gatewaytest.Start(t, gatewaytest.Options{
		BeforeRun: func(o *orchestrator.Orchestrator) { h = api.NewHandler(o) },
	})
	path := filepath.Join(t.TempDir(), "quorate.sock")
	ln := gatewaytest.Must(api.ListenUnix(path))
	run(t, func(ctx context.Context) error { return api.ServeListener(ctx, h, ln) })
	c := gatewaytest.Must(api.Dial("unix://" + path))
	t.Cleanup(func() { c.Close(); h.Close() })
	return rig, c, h
}

// run runs a server until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
}

// submit uploads a plan through the API and starts a run of it.
func submit(t *testing.T, c *api.Client, p *planner.Plan, requestID string) *api.Run {
	t.Helper()
	data := p.Encode()
	blob := api.Blob{Digest: p.ID(), Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
	if _, err := c.UploadBlobs(t.Context(), []api.Blob{blob, blob}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SubmitPlan(t.Context(), p.ID()); err != nil {
		t.Fatal(err)
	}
	r, err := c.CreateRun(t.Context(), api.RunSubmit{PlanID: p.ID(), RequestID: requestID})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func collect(t *testing.T, c *api.Client, id string, since uint64) (events []api.RunEvent) {
	t.Helper()
	for e, err := range c.Watch(t.Context(), id, since) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func brief(events []api.RunEvent) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s@%s %s", e.Type, e.Task, e.Host, e.Outcome)
		if e.Job != nil {
			fmt.Fprintf(&b, " job %d %s", e.Job.Job, e.Job.Outcome)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// The way of a run through the API, from upload to output.
func TestRunOverTheSocket(t *testing.T) {
	rig, c, _ := serve(t)
	rig.Enrol(t, "n1").Work(t)
	p := rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 2},
		gatewaytest.Task{ID: "svc-b", Driver: planner.DriverPrint, Messages: []string{"hello"}, After: []uint32{0}})
	r := submit(t, c, p, "one")
	events := collect(t, c, "latest", 0)
	want := `run-started @ 
step-started svc-a@n1 
job-ended svc-a@n1  job 0 succeeded
job-ended svc-a@n1  job 1 succeeded
step-ended svc-a@n1 succeeded
task-ended svc-a@ succeeded
task-ended svc-b@ succeeded
run-ended @ succeeded
`
	if got := brief(events); got != want {
		t.Errorf("events:\n%swant:\n%s", got, want)
	}
	if again := submit(t, c, p, "one"); again.ID != r.ID {
		t.Errorf("a repeat of the request made run %d", again.ID)
	}
	got, err := c.Run(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if !got.Done() || len(got.Tasks) != 2 || got.Tasks[1].Messages[0] != "hello" || got.Tasks[0].Steps[0].ID != "svc-a@n1" {
		t.Errorf("run %+v", got)
	}
	if !strings.HasPrefix(got.By, "local:") {
		t.Errorf("the run was started by %q", got.By)
	}
	n := 0
	for out, err := range c.Output(t.Context(), "1", "svc-a", "n1") {
		if err != nil {
			t.Fatal(err)
		}
		if out.Stdout != "done\n" || out.Verb != "RUN" || out.Job != uint32(n) {
			t.Errorf("output %+v", out)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d outputs", n)
	}
}

// A watch that starts behind any record of the run tells exactly the rest, from
// memory and from a log that is folded again.
func TestWatchSince(t *testing.T) {
	rig, c, h := serve(t)
	rig.Enrol(t, "n1").Work(t)
	rig.Enrol(t, "n2").Work(t)
	p := rig.Plan(t, []string{"n1", "n2"}, gatewaytest.Task{ID: "svc-a", Jobs: 3}, gatewaytest.Task{ID: "svc-b", Jobs: 1, After: []uint32{0}})
	submit(t, c, p, "one")
	all := collect(t, c, "1", 0)
	for _, from := range []string{"memory", "the log"} {
		for since := all[0].Seq - 1; since <= all[len(all)-1].Seq; since++ {
			var want []api.RunEvent
			for _, e := range all {
				if e.Seq > since {
					want = append(want, e)
				}
			}
			if len(want) == 0 {
				continue
			}
			if got := collect(t, c, "1", since); brief(got) != brief(want) {
				t.Errorf("from %s since %d:\n%swant:\n%s", from, since, brief(got), brief(want))
			}
		}
		api.Forget(h, 1)
	}
}

// A watcher sees a run come to wait for an operator, and go on.
func TestWaitingAndResolve(t *testing.T) {
	rig, c, _ := serve(t)
	agent := rig.Enrol(t, "n1")
	link := agent.MustConnect(t)
	tries := 0
	link.ServeOn(t, func(d *wire.Dispatch, step *wire.Step) []wire.Report {
		if tries++; tries == 1 {
			return []wire.Report{{Attempt: d.Attempt, End: true, Outcome: uint8(eventlog.Unknown), Reason: "power cut"}}
		}
		return gatewaytest.Succeed(d.Attempt, step)
	})
	submit(t, c, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}), "one")
	var seen []string
	for e, err := range c.Watch(t.Context(), "1", 0) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, e.Type)
		if e.Type != "run-waiting" {
			continue
		}
		if !strings.Contains(e.Reason, "svc-a@n1") || e.Summary.Unknown != 1 {
			t.Errorf("waits for %q, summary %+v", e.Reason, e.Summary)
		}
		_, err := c.Resolve(t.Context(), "1", api.Resolve{RequestID: "r", Step: "svc-a@nowhere", As: "retry", Reason: "x"})
		if code(err) != "not-found" {
			t.Errorf("another step: %v", err)
		}
		if _, err := c.Resolve(t.Context(), "1", api.Resolve{RequestID: "r", Step: "svc-a@n1", As: "retry", Reason: "looked at it"}); err != nil {
			t.Fatal(err)
		}
		_, err = c.Resolve(t.Context(), "1", api.Resolve{RequestID: "r2", Step: "svc-a@n1", As: "retry", Reason: "again"})
		if code(err) != "conflict" {
			t.Errorf("a second resolution: %v", err)
		}
	}
	want := "run-started step-started step-ended run-waiting run-resumed step-started job-ended step-ended task-ended run-ended"
	if got := strings.Join(seen, " "); got != want {
		t.Errorf("events %s\n  want %s", got, want)
	}
}

func code(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return fmt.Sprint(err)
}

// What is refused is refused with its code, before anything is on record.
func TestRefusals(t *testing.T) {
	rig, c, _ := serve(t)
	p := rig.Plan(t, []string{"n1", "n2"}, gatewaytest.Task{ID: "svc-a", Jobs: 1})
	rig.Record(t, p)
	before, _ := rig.O.Watch()
	ctx := t.Context()
	_, absentHosts := c.CreateRun(ctx, api.RunSubmit{PlanID: p.ID(), RequestID: "a"})
	_, noPlan := c.CreateRun(ctx, api.RunSubmit{PlanID: strings.Repeat("0", 64), RequestID: "b"})
	_, noRequest := c.CreateRun(ctx, api.RunSubmit{PlanID: p.ID()})
	_, noBlob := c.SubmitPlan(ctx, strings.Repeat("0", 64))
	_, noRun := c.Run(ctx, "7")
	_, noLatest := c.Run(ctx, "latest")
	_, noAgent := c.Agent(ctx, "n9")
	_, longLife := c.CreateToken(ctx, api.TokenCreate{Role: "agent", TTLSeconds: 1 << 40})
	wrongBlob := c.PutBlob(ctx, strings.Repeat("0", 64), strings.NewReader("x"), 1)
	for name, tc := range map[string]struct {
		err  error
		code string
	}{
		"hosts without agents": {absentHosts, "conflict"}, "no plan": {noPlan, "not-found"}, "no request id": {noRequest, "invalid"},
		"no blob": {noBlob, "not-found"}, "no run": {noRun, "not-found"}, "no latest run": {noLatest, "not-found"},
		"no agent": {noAgent, "not-found"}, "a token for ages": {longLife, "invalid"}, "another content": {wrongBlob, "invalid"},
	} {
		if code(tc.err) != tc.code {
			t.Errorf("%s: %v, want code %s", name, tc.err, tc.code)
		}
	}
	if !strings.Contains(fmt.Sprint(absentHosts), "n1, n2") {
		t.Errorf("the hosts are not named: %v", absentHosts)
	}
	if after, _ := rig.O.Watch(); after != before {
		t.Errorf("%d records were written", after-before)
	}
}

// The log shows every record once, with what became of it.
func TestLog(t *testing.T) {
	rig, c, _ := serve(t)
	agent := rig.Enrol(t, "n1")
	agent.Work(t)
	submit(t, c, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}), "one")
	collect(t, c, "1", 0)
	if _, err := c.CancelRun(t.Context(), "1", api.Cancel{RequestID: "late"}); code(err) != "conflict" {
		t.Errorf("cancel of an ended run: %v", err)
	}
	// Two events for one precondition: the second is void.
	for range 2 {
		if _, _, err := rig.O.Propose(t.Context(), &eventlog.AgentApproved{Agent: agent.ID}); err != nil {
			t.Fatal(err)
		}
	}
	folded, _ := rig.O.Watch() // others may follow while the log is read
	next := uint64(1)
	voids := 0
	for e, err := range c.Log(t.Context(), api.LogQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq != next {
			t.Fatalf("record %d, want %d", e.Seq, next)
		}
		next++
		if e.Void {
			voids++
		}
	}
	if next <= folded {
		t.Errorf("%d records of %d", next-1, folded)
	}
	if voids != 2 {
		t.Errorf("%d void records, want 2", voids)
	}
	var kinds []string
	for e, err := range c.Log(t.Context(), api.LogQuery{Run: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Kind)
	}
	if got, want := strings.Join(kinds, " "), "run_created step_scheduled job_ended attempt_ended run_ended"; got != want {
		t.Errorf("records of the run: %s, want %s", got, want)
	}
	var from []api.LogEvent
	for e, err := range c.Log(t.Context(), api.LogQuery{Limit: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		from = append(from, e)
	}
	for e, err := range c.Log(t.Context(), api.LogQuery{From: from[2].Time, Limit: 1}) {
		if err != nil || e.Seq > 3 || !e.Time.Equal(from[2].Time) {
			t.Errorf("from the time of record 3: record %d, %v", e.Seq, err)
		}
	}
	n := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for e, err := range c.Log(ctx, api.LogQuery{Kind: "token_created", Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			if e.Seq < next {
				t.Errorf("record %d came twice", e.Seq)
			}
			break
		}
		if _, err := c.CreateToken(t.Context(), api.TokenCreate{Role: "agent"}); err != nil {
			t.Fatal(err)
		}
	}
}

// Agents without a name of the cluster's choosing wait for approval.
func TestAgents(t *testing.T) {
	rig, c, _ := serve(t)
	token, err := c.CreateToken(t.Context(), api.TokenCreate{Role: "agent", TTLSeconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	parsed := gatewaytest.Must(pki.ParseToken(token.Token))
	gatewaytest.Must(rig.EnrolWith(t.Context(), parsed, &wire.Enrol{
		Token: parsed.Secret, PublicKey: gatewaytest.PublicKey(), Name: "edge-1", JournalID: "j",
	}))
	status := func() string {
		t.Helper()
		a, err := c.Agent(t.Context(), "edge-1")
		if err != nil {
			t.Fatal(err)
		}
		return a.Status
	}
	if got := status(); got != "pending" {
		t.Errorf("status %s", got)
	}
	for range 2 { // a repeat is harmless
		if _, err := c.Approve(t.Context(), "edge-1", api.AgentChange{RequestID: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := status(); got != "disconnected" {
		t.Errorf("status %s", got)
	}
	if _, err := c.Revoke(t.Context(), "edge-1", api.AgentChange{RequestID: "r"}); code(err) != "invalid" {
		t.Errorf("revoked without a reason: %v", err)
	}
	if _, err := c.Revoke(t.Context(), "edge-1", api.AgentChange{RequestID: "r", Reason: "sold"}); err != nil {
		t.Fatal(err)
	}
	agents, err := c.Agents(t.Context())
	if err != nil || len(agents) != 1 || agents[0].Status != "revoked" {
		t.Errorf("agents %+v, %v", agents, err)
	}
	for e, err := range c.Log(t.Context(), api.LogQuery{Kind: "token_created"}) {
		if err != nil || strings.Contains(fmt.Sprint(e.Event), parsed.Secret) {
			t.Errorf("the token's secret is in the log: %v %v", e.Event, err)
		}
	}
}

// Blobs travel whole, and only where they are missing.
func TestBlobs(t *testing.T) {
	_, c, _ := serve(t)
	content := bytes.Repeat([]byte("quorate"), 300_000)
	sum := sha256.Sum256(content)
	opened := 0
	blob := api.Blob{Digest: hex.EncodeToString(sum[:]), Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		opened++
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
	for range 2 {
		if _, err := c.UploadBlobs(t.Context(), []api.Blob{blob}); err != nil {
			t.Fatal(err)
		}
	}
	if opened != 1 {
		t.Errorf("uploaded %d times", opened)
	}
	r, err := c.Blob(t.Context(), blob.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// The socket is its owner's alone, a dead one is replaced and a live one is not.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "quorate.sock")
	dead := gatewaytest.Must(net.Listen("unix", path))
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	ln := gatewaytest.Must(api.ListenUnix(path))
	defer ln.Close()
	if mode := gatewaytest.Must(os.Stat(path)).Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %o", mode)
	}
	if _, err := api.ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another orchestrator") {
		t.Errorf("a second listener: %v", err)
	}
	c := gatewaytest.Must(api.Dial("unix://" + filepath.Join(t.TempDir(), "none.sock")))
	_, err := c.Status(t.Context())
	var un *api.Unreachable
	if !errors.As(err, &un) || !strings.Contains(un.Hint, "quorate server") || strings.Contains(err.Error(), "http://") {
		t.Errorf("no orchestrator: %v, hint %q", err, un.Hint)
	}
}

// Over HTTPS an operator's certificate is all it takes, and nothing less will do.
func TestHTTPS(t *testing.T) {
	rig, _, h := serve(t)
	server := gatewaytest.Must(rig.CA.IssueServer([]string{"127.0.0.1"}))
	ln := gatewaytest.Must(net.Listen("tcp", "127.0.0.1:0"))
	address := "https://" + ln.Addr().String()
	run(t, func(ctx context.Context) error {
		return api.ServeTLS(ctx, h, ln, pki.OperatorServerTLS(server, rig.CA.Certificate()))
	})
	bundle := gatewaytest.Must(pki.ParseBundle(gatewaytest.Must(rig.CA.IssueOperator("alice", 0))))
	c := gatewaytest.Must(api.Dial(address, api.WithTLS(pki.OperatorTLS(bundle))))
	defer c.Close()
	status, err := c.Status(t.Context())
	if err != nil || status.ClusterID != rig.CA.ClusterID() || !status.Leader {
		t.Errorf("status %+v, %v", status, err)
	}
	if _, err := c.CreateToken(t.Context(), api.TokenCreate{Role: "agent"}); err != nil {
		t.Fatal(err)
	}
	rig.O.View(func(s *engine.State) {
		for _, token := range s.Tokens {
			if token.By != "operator:alice" {
				t.Errorf("the token is by %q", token.By)
			}
		}
	})
	agent := rig.Enrol(t, "n1")
	impostor := pki.OperatorTLS(bundle)
	impostor.Certificates[0] = agent.Identity
	bad := gatewaytest.Must(api.Dial(address, api.WithTLS(impostor)))
	defer bad.Close()
	if _, err := bad.Status(t.Context()); err == nil {
		t.Error("an agent's certificate was accepted")
	}
}

// Metrics show the state as it is.
func TestMetrics(t *testing.T) {
	rig, c, _ := serve(t)
	rig.Enrol(t, "n1").Work(t)
	submit(t, c, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}), "one")
	collect(t, c, "1", 0)
	text, err := api.Fetch(t.Context(), c, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`quorate_runs{status="succeeded"} 1`, `quorate_agents{status="connected"} 1`, "quorate_append_seconds_count", "quorate_leading 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if text, err := api.Fetch(t.Context(), c, "/readyz"); err != nil || text != "ok\n" {
		t.Errorf("readyz: %q, %v", text, err)
	}
}
