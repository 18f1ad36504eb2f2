package nodeagent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quorate/internal/conformance"
	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// TestMain lets the test binary be an agent, so that one can be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TEST_AGENT_DIR"); dir != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		cfg := Config{Servers: []string{os.Getenv("TEST_AGENT_SERVER")}, Token: os.Getenv("TEST_AGENT_TOKEN"),
			DataDir: dir, WorkDir: filepath.Join(dir, "root"), Name: "n", Version: "test",
			Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
		if err := run(ctx, cfg, withFetch); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// withFetch runs the verbs, and FETCH, which tells the digest of a blob.
func withFetch(ctx context.Context, env *verb.Env, j *job.Job) verb.Result {
	if j.Verb == "FETCH" {
		path, err := env.Blob(ctx, j.Text)
		if err != nil {
			return verb.Result{Outcome: verb.Failed, Info: err.Error()}
		}
		b, _ := os.ReadFile(path)
		return verb.Result{Outcome: verb.Succeeded, Info: digestOf(sha256.Sum256(b))}
	}
	return verb.Execute(ctx, env, j)
}

// agentRun is an agent in this process.
type agentRun struct {
	dir  string
	stop func()
	done chan error
	log  *logBuffer
}

// roomy is the disk of a machine that has room for whatever a test ships.
func roomy() (free, all int64, err error) { return 1 << 40, 1 << 41, nil }

func startAgent(t testing.TB, o *orchestrator, dir string) *agentRun {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &agentRun{dir: dir, done: make(chan error, 1), log: new(logBuffer)}
	go func() {
		r.done <- run(ctx, Config{Servers: []string{o.address}, Token: o.token, DataDir: dir, WorkDir: filepath.Join(dir, "root"),
			Name: "n", Version: "test", DiskFree: roomy, Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, withFetch)
	}()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-r.done:
				if err != nil {
					t.Errorf("agent: %v", err)
				}
			case <-time.After(waitMax):
				t.Error("the agent does not stop")
			}
		})
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// agentProcess is an agent in a process of its own.
func agentProcess(t testing.TB, o *orchestrator, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TEST_AGENT_DIR="+dir, "TEST_AGENT_SERVER="+o.address, "TEST_AGENT_TOKEN="+o.token)
	log := new(logBuffer)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return cmd
}

// effects counts the lines of a file.
func effects(path string) int {
	b, _ := os.ReadFile(path)
	return bytes.Count(b, []byte("\n"))
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitMax); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestDispatchResultsAck(t *testing.T) {
	o := newOrchestrator(t)
	a := startAgent(t, o, t.TempDir())
	o.send(o.dispatch(10, 0, "echo one $QUORATE_ATTEMPT $QUORATE_JOB $QUORATE_TASK", "echo two >&2; exit 3", "echo not reached"))
	end, jobs := o.ended(10)
	if end.Outcome != journal.OutcomeFailed || end.OutputDigest == "" || len(jobs) != 2 {
		t.Fatalf("end %+v, jobs %+v", end, jobs)
	}
	if string(jobs[0].Stdout.Head) != "one 10 0 task\n" || jobs[0].Outcome != 1 || jobs[0].StartedAt == 0 || jobs[0].Duration <= 0 {
		t.Errorf("job 0: %+v", jobs[0])
	}
	if string(jobs[1].Stderr.Head) != "two\n" || jobs[1].Exit != 3 || jobs[1].Outcome != 2 {
		t.Errorf("job 1: %+v", jobs[1])
	}
	a.stop()
	startAgent(t, o, a.dir)
	eventually(t, "the removal of the job's files", func() bool {
		left, _ := filepath.Glob(filepath.Join(a.dir, "jobs", "*", "*"))
		return len(left) == 0
	})
}

func TestManyJobsCrossTheWindow(t *testing.T) {
	o := newOrchestrator(t)
	dir := t.TempDir()
	startAgent(t, o, dir)
	var scripts []string
	for i := range 3*journal.WindowJobs + 5 {
		scripts = append(scripts, "echo "+strconv.Itoa(i)+" >>log")
	}
	o.send(o.dispatch(10, 0, scripts...))
	end, jobs := o.ended(10)
	if end.Outcome != 1 || len(jobs) != len(scripts) {
		t.Fatalf("%+v after %d jobs", end, len(jobs))
	}
	b, _ := os.ReadFile(filepath.Join(dir, "root", "log"))
	for i, line := range strings.Fields(string(b)) {
		if line != strconv.Itoa(i) {
			t.Fatalf("line %d is %s", i, line)
		}
	}
}

// TestRepeats: a command that comes again, on this connection or the next, starts
// nothing; the result comes again as often as it is not acknowledged.
func TestRepeats(t *testing.T) {
	o := newOrchestrator(t)
	o.muteAcks = true
	dir := t.TempDir()
	startAgent(t, o, dir)
	log := filepath.Join(dir, "root", "log")
	d := o.dispatch(10, 0, "echo x >>log; until test -e gate; do sleep 0.02; done")
	o.send(d, d, d)
	if r := o.reply(10); r.Status != wire.StatusRunning {
		t.Errorf("reply %+v", r)
	}
	o.drop()
	o.until("a second connection", func() bool { return o.sessions == 2 && o.control != nil })
	o.send(o.dispatch(10, 0, "echo x >>log; until test -e gate; do sleep 0.02; done"))
	_ = os.WriteFile(filepath.Join(dir, "root", "gate"), nil, 0o600)
	if end, _ := o.ended(10); end.Outcome != 1 {
		t.Errorf("end %+v", end)
	}
	o.update(func() { o.reports = o.reports[:1] }) // the beginning, which was acknowledged by the second welcome
	o.drop()
	if end, jobs := o.ended(10); end.Outcome != 1 || end.Seq != 3 || len(jobs) != 1 {
		t.Errorf("after a reconnect: %+v %+v", end, jobs)
	}
	if n := effects(log); n != 1 {
		t.Errorf("%d effects, want 1", n)
	}
}

func TestCancel(t *testing.T) {
	o := newOrchestrator(t)
	dir := t.TempDir()
	startAgent(t, o, dir)
	o.send(o.dispatch(10, 0, "setsid sleep 100 & echo $! $$ >pids; sleep 100", "echo x >>log"))
	eventually(t, "the job's start", func() bool { return effects(filepath.Join(dir, "root", "pids")) == 1 })
	o.send(o.cancel(10), o.cancel(11))
	end, jobs := o.ended(10)
	if end.Outcome != journal.OutcomeCancelled || len(jobs) != 1 || jobs[0].Outcome != journal.OutcomeCancelled {
		t.Errorf("%+v %+v", end, jobs)
	}
	b, _ := os.ReadFile(filepath.Join(dir, "root", "pids"))
	for _, pid := range strings.Fields(string(b)) {
		if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
			t.Errorf("process %s is alive after the result", pid)
		}
	}
	if end, _ := o.ended(11); end.Outcome != journal.OutcomeNotStarted {
		t.Errorf("%+v", end)
	}
	// Forbidden for ever.
	o.send(o.dispatch(11, 0, "echo x >>log"), o.dispatch(12, 0, "true"))
	o.ended(12)
	if n := effects(filepath.Join(dir, "root", "log")); n != 0 {
		t.Errorf("%d effects of what was cancelled", n)
	}
}

func TestSupersedeAndFloor(t *testing.T) {
	o := newOrchestrator(t)
	dir := t.TempDir()
	startAgent(t, o, dir)
	o.send(o.dispatch(10, 0, "until test -e gate; do sleep 0.02; done"), o.dispatch(11, 10, "echo x >>log"))
	if r := o.reply(11); r.Status != wire.StatusBusy {
		t.Errorf("reply %+v", r)
	}
	_ = os.WriteFile(filepath.Join(dir, "root", "gate"), nil, 0o600)
	o.ended(10)
	o.send(o.dispatch(11, 10, "echo x >>log"))
	o.ended(11)
	// A successor forbids what the agent has not seen.
	o.send(o.dispatch(21, 20, "true"), o.dispatch(20, 0, "echo x >>log"))
	o.ended(21)
	if end, _ := o.ended(20); end.Outcome != journal.OutcomeNotStarted {
		t.Errorf("%+v", end)
	}
	o.update(func() { o.floor = 21 })
	o.send(o.dispatch(22, 0, "true"))
	o.ended(22)
	o.send(&wire.Ack{Seq: uint64(len(o.reports)), Floor: 21}, o.dispatch(19, 0, "echo x >>log"))
	if r := o.reply(19); r.Status != wire.StatusGone {
		t.Errorf("reply %+v", r)
	}
	if n := effects(filepath.Join(dir, "root", "log")); n != 1 {
		t.Errorf("%d effects, want 1", n)
	}
}

func TestFences(t *testing.T) {
	o := newOrchestrator(t)
	dir := t.TempDir()
	startAgent(t, o, dir)
	for i, change := range []func(*wire.Fence){
		func(f *wire.Fence) { f.ClusterID = strings.Repeat("0", 32) },
		func(f *wire.Fence) { f.Session = "another" },
		func(f *wire.Fence) { f.JournalID = "another" },
	} {
		d := o.dispatch(uint64(10+i), 0, "echo x >>log")
		change(&d.Fence)
		o.send(d)
		if r := o.reply(d.Attempt); r.Status != wire.StatusRejected || r.Reason == "" {
			t.Errorf("reply %+v", r)
		}
	}
	newer := o.dispatch(20, 0, "true")
	newer.Fence.Epoch++
	o.send(newer)
	o.ended(20)
	o.send(o.dispatch(21, 0, "echo x >>log"))
	if r := o.reply(21); r.Status != wire.StatusRejected {
		t.Errorf("an old epoch: %+v", r)
	}
	if n := effects(filepath.Join(dir, "root", "log")); n != 0 {
		t.Errorf("%d effects of rejected commands", n)
	}
}

// TestKilledAgent kills the agent in the middle of a job. The job goes on, ends
// while no agent is there or after the next has come, and counts once.
func TestKilledAgent(t *testing.T) {
	conformance.Case(t, conformance.Directord, "47")
	for name, endsFirst := range map[string]bool{"adopted": false, "ended meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrchestrator(t)
			dir := t.TempDir()
			root := filepath.Join(dir, "root")
			first := agentProcess(t, o, dir)
			o.send(o.dispatch(10, 0, "echo a >>log", "echo b >>log; until test -e gate; do sleep 0.02; done; echo c >>log; echo out; exit 0", "echo d >>log"))
			eventually(t, "the second job", func() bool { return effects(filepath.Join(root, "log")) == 2 })
			_ = first.Process.Kill()
			_ = first.Wait()
			if endsFirst {
				_ = os.WriteFile(filepath.Join(root, "gate"), nil, 0o600)
				eventually(t, "the job's end", func() bool { return effects(filepath.Join(root, "log")) == 3 })
			}
			agentProcess(t, o, dir)
			o.until("a second connection", func() bool { return o.sessions >= 2 && o.control != nil })
			_ = os.WriteFile(filepath.Join(root, "gate"), nil, 0o600)
			end, jobs := o.ended(10)
			if end.Outcome != 1 || len(jobs) != 3 || string(jobs[1].Stdout.Head) != "out\n" {
				t.Errorf("%+v %+v", end, jobs)
			}
			if b, _ := os.ReadFile(filepath.Join(root, "log")); string(b) != "a\nb\nc\nd\n" {
				t.Errorf("effects %q", b)
			}
		})
	}
}

// TestKilledAgentAndJob: nobody can say how the job ended, and nobody does.
func TestKilledAgentAndJob(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			o := newOrchestrator(t)
			dir := t.TempDir()
			root := filepath.Join(dir, "root")
			first := agentProcess(t, o, dir)
			d := o.dispatch(10, 0)
			d.Spec, _ = wire.EncodeStep(&wire.Step{Run: 1, Jobs: []job.Job{{Verb: "RUN", Text: "echo $$ >>log; while :; do sleep 0.05; done",
				Options: []job.Option{{Name: "retry", Value: "3"}}}, {Index: 1, Verb: "RUN", Text: "echo x >>log"}}})
			o.send(d)
			eventually(t, "the job", func() bool { return effects(filepath.Join(root, "log")) == 1 })
			_ = first.Process.Kill()
			_ = first.Wait()
			b, _ := os.ReadFile(filepath.Join(root, "log"))
			pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
			_ = syscall.Kill(-pid, sig)
			agentProcess(t, o, dir)
			end, jobs := o.ended(10)
			if end.Outcome != journal.OutcomeUnknown || len(jobs) != 1 || jobs[0].Outcome != journal.OutcomeUnknown || jobs[0].Job != 0 {
				t.Errorf("%+v %+v", end, jobs)
			}
			if n := effects(filepath.Join(root, "log")); n != 1 {
				t.Errorf("%d effects, want 1", n)
			}
		})
	}
}

// TestStop: an agent that is told to stop leaves its jobs running, and the next
// one in the same process takes them over.
func TestStop(t *testing.T) {
	o := newOrchestrator(t)
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	a := startAgent(t, o, dir)
	o.send(o.dispatch(10, 0, "echo a >>log; until test -e gate; do sleep 0.02; done; echo b >>log", "echo c >>log"))
	eventually(t, "the job", func() bool { return effects(filepath.Join(root, "log")) == 1 })
	a.stop()
	startAgent(t, o, dir)
	_ = os.WriteFile(filepath.Join(root, "gate"), nil, 0o600)
	if end, jobs := o.ended(10); end.Outcome != 1 || len(jobs) != 2 {
		t.Errorf("%+v %+v", end, jobs)
	}
	if n := effects(filepath.Join(root, "log")); n != 3 {
		t.Errorf("%d effects, want 3", n)
	}
}

func TestBlobs(t *testing.T) {
	o := newOrchestrator(t)
	content := bytes.Repeat([]byte("0123456789abcdef"), 40000)
	digest := digestOf(sha256.Sum256(content))
	o.blobs[digest] = content
	o.cutBlobs = 1
	dir := t.TempDir()
	startAgent(t, o, dir)
	d := o.dispatch(10, 0)
	step := &wire.Step{Jobs: []job.Job{{Index: 0, Verb: "FETCH", Text: digest}, {Index: 1, Verb: "FETCH", Text: digest}}}
	d.Spec, _ = wire.EncodeStep(step)
	o.send(d)
	end, jobs := o.ended(10)
	if end.Outcome != 1 || jobs[0].Info != digest || jobs[1].Info != digest {
		t.Fatalf("%+v %+v", end, jobs)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.asked) != 2 || o.asked[0].Offset != 0 || o.asked[1].Offset == 0 {
		t.Errorf("requests %+v: want one from the beginning and one that goes on", o.asked)
	}
}

func TestUnreadableStep(t *testing.T) {
	o := newOrchestrator(t)
	startAgent(t, o, t.TempDir())
	d := o.dispatch(10, 0)
	d.Spec = []byte("nonsense")
	o.send(d)
	if end, jobs := o.ended(10); end.Outcome != journal.OutcomeFailed || end.Reason == "" || len(jobs) != 0 {
		t.Errorf("%+v", end)
	}
}
