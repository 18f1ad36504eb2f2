package nodeagent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// A bootable is an agent on a host that a test restarts.
type bootable struct {
	t *testing.T
	// nowhere, where it is set, is what the agent is given for the orchestrator's address.
	nowhere string
	o       *orchestrator
	dir     string
	stop    func()
	log     logBuffer
	// patience is the agent's with a link that is away.
	patience time.Duration
}

func newBootable(t *testing.T, systemctl string) *bootable {
	t.Helper()
	b := &bootable{t: t, o: newOrchestrator(t), dir: t.TempDir(), stop: func() {}}
	bin := filepath.Join(b.dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho \"$*\" >> '" + filepath.Join(b.dir, "called") + "'\n" + systemctl + "\n"
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Cleanup(func() { b.stop() })
	return b
}

// boot runs the agent under a boot of the host, until the next.
func (b *bootable) boot(id string) {
	b.stop()
	b.o.mu.Lock()
	welcomed := b.o.welcomed
	b.o.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	out := &b.log
	address := b.o.address
	if b.nowhere != "" {
		address = b.nowhere
	}
	go func() {
		done <- run(ctx, Config{
			Servers: []string{address}, OfflineAfterReboot: b.patience, Token: b.o.token, DataDir: b.dir, WorkDir: filepath.Join(b.dir, "root"), Name: "n", Version: "test",
			Logger: slog.New(slog.NewTextHandler(out, nil)), bootID: func() (string, error) { return id, nil },
		}, verb.Execute)
	}()
	b.stop = func() {
		b.stop = func() {}
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("agent: %v", err)
		}
		if b.t.Failed() {
			b.t.Log(out.String())
		}
	}
	if b.nowhere != "" {
		return
	}
	b.o.until("a connection under "+id, func() bool { return b.o.welcomed > welcomed }) // which it may refuse by now
}

func (b *bootable) read(name string) string {
	data, _ := os.ReadFile(filepath.Join(b.dir, name))
	return strings.ReplaceAll(strings.TrimSpace(string(data)), "\n", " ")
}

func (b *bootable) dispatch(attempt uint64, jobs ...job.Job) {
	b.t.Helper()
	for i := range jobs {
		jobs[i].Index = uint32(i)
	}
	d := b.o.dispatch(attempt, 0)
	var err error
	if d.Spec, err = wire.EncodeStep(&wire.Step{Run: attempt, Task: "task", Host: "host", Jobs: jobs}); err != nil {
		b.t.Fatal(err)
	}
	b.o.send(d)
}

func (b *bootable) called() {
	eventually(b.t, "the call of systemctl", func() bool { return b.read("called") != "" })
}

func sh(text string) job.Job { return job.Job{Verb: "RUN", Text: text} }

// A step goes on behind the restart that it asked for, which is not asked for again
// by an agent that comes back before. What else ran then is unknown.
func TestReboot(t *testing.T) {
	b := newBootable(t, "")
	b.boot("first")
	b.dispatch(10, sh("echo a >>../log"), job.Job{Verb: "REBOOT", Text: "0"}, sh("echo b >>../log"))
	b.dispatch(11, sh("echo c >>../log; sleep 30"), sh("echo d >>../log"))
	b.called()
	eventually(t, "the other step", func() bool { return strings.Contains(b.read("log"), "c") })
	b.boot("first")
	if got := b.read("called"); got != "reboot" {
		t.Errorf("systemctl was called for %q", got)
	}
	b.boot("second")
	end, jobs := b.o.ended(10)
	if end.Outcome != journal.OutcomeSucceeded || len(jobs) != 3 {
		t.Fatalf("end %+v, jobs %+v", end, jobs)
	}
	if r := jobs[1]; r.Outcome != verb.Succeeded || !r.Changed || r.Info != "the host has restarted: its boot was first and is second" {
		t.Errorf("the restart: %+v", r)
	}
	if end, _ := b.o.ended(11); end.Outcome != journal.OutcomeUnknown {
		t.Errorf("what else ran ended %+v", end)
	}
	if got := b.read("log"); b.read("called") != "reboot" || !strings.Contains(got, "a") || !strings.Contains(got, "b") || strings.Contains(got, "d") {
		t.Errorf("systemctl %q, effects %q", b.read("called"), got)
	}
}

// A restart that does not come is a failure, and one that comes later is none of
// the job's.
func TestRebootThatDoesNotCome(t *testing.T) {
	for name, tc := range map[string]struct {
		systemctl, info string
		timeout         uint32
	}{
		"systemctl fails":      {"echo no >&2; exit 4", "systemctl reboot: exit status 4", 60},
		"the host stays as is": {"", "the host has not restarted", 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBootable(t, tc.systemctl)
			b.boot("first")
			b.dispatch(10, job.Job{Verb: "REBOOT", Text: "0", TimeoutSeconds: tc.timeout}, sh("echo b >>../log"))
			end, jobs := b.o.ended(10)
			if end.Outcome != journal.OutcomeFailed || len(jobs) != 1 || jobs[0].Info != tc.info {
				t.Errorf("end %+v, jobs %+v", end, jobs)
			}
			b.boot("second")
			if got := b.read("log"); got != "" {
				t.Errorf("effects %q", got)
			}
		})
	}
}

// A cancel while the host is about to restart ends the step, also behind the restart.
func TestCancelOfAReboot(t *testing.T) {
	b := newBootable(t, "")
	b.boot("first")
	b.dispatch(10, job.Job{Verb: "REBOOT", Text: "0"}, sh("echo b >>../log"))
	b.called()
	b.o.send(b.o.cancel(10))
	end, _ := b.o.ended(10)
	b.boot("second")
	if end.Outcome != journal.OutcomeCancelled || b.read("log") != "" {
		t.Errorf("end %+v, effects %q", end, b.read("log"))
	}
}
