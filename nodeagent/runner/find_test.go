package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// leftBehind starts a script as an agent does that dies at once.
func leftBehind(t *testing.T, r *Runner, script string) Process {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	started := make(chan Process, 1)
	done := make(chan error, 1)
	go func() {
		_, err := r.Run(ctx, Command{Ref: Ref{Attempt: 5, Job: 2}, Script: script, Started: func(p Process) { started <- p }})
		done <- err
	}()
	p := <-started
	cancel(ErrLeave)
	if err := <-done; !errors.Is(err, ErrLeave) {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Kill(Ref{5, 2}, p) })
	return p
}

// TestFindEndedBesideDaemon: a job that has ended is not taken for one that runs
// because it left a process behind that leads a session and bears its marks.
func TestFindEndedBesideDaemon(t *testing.T) {
	r := newRunner(t)
	pids := filepath.Join(t.TempDir(), "pids")
	gate := filepath.Join(t.TempDir(), "gate")
	leftBehind(t, r, "setsid sleep 1000 & echo $! >"+quote(pids)+"; "+waitFor(gate)+"exit 3")
	open(t, gate)
	t.Cleanup(func() {
		for _, pid := range readPids(pids) {
			_ = syscall.Kill(int(pid), syscall.SIGKILL)
		}
	})
	eventually(t, "the status", func() bool { _, ok := statusOf(r, Ref{5, 2}); return ok })
	if f, _ := again(t, r).Find(Ref{5, 2}, Process{}); f != Ended {
		t.Errorf("finding %d, want Ended", f)
	}
}

// TestFindLaterTry: the process on record may be one of an earlier try of the job.
func TestFindLaterTry(t *testing.T) {
	r := newRunner(t)
	p := leftBehind(t, r, "sleep 1000")
	earlier := Process{Pid: p.Pid, StartTicks: p.StartTicks - 1}
	if f, q := again(t, r).Find(Ref{5, 2}, earlier); f != Alive || q != p {
		t.Errorf("finding %d of %+v, want Alive of %+v", f, q, p)
	}
}

// TestFindAfterTornLine: what a full disk cut off does not hide the start that
// comes after it, which would let the job run twice.
func TestFindAfterTornLine(t *testing.T) {
	for _, torn := range []string{"S", "\nS 2 5", "E 1"} {
		r := newRunner(t)
		if _, err := r.Run(t.Context(), Command{Ref: Ref{Attempt: 5, Job: 1}, Script: "true"}); err != nil {
			t.Fatal(err)
		}
		s, _ := r.slotOf(Ref{5, 1})
		if _, err := s.status.WriteString(torn); err != nil {
			t.Fatal(err)
		}
		p := leftBehind(t, r, "sleep 1000")
		if f, _ := again(t, r).Find(Ref{5, 2}, Process{}); f != Alive {
			t.Errorf("after %q: finding %d, want Alive", torn, f)
		}
		r.Kill(Ref{5, 2}, p)
		if f, _ := again(t, r).Find(Ref{5, 2}, Process{}); f != Lost {
			t.Errorf("after %q and its end: finding %d, want Lost", torn, f)
		}
	}
}

// TestFindWithoutFiles: nothing says that a job has not started whose process was
// seen, or whose files were taken away, and adopting ends what runs.
func TestFindWithoutFiles(t *testing.T) {
	r := newRunner(t)
	if !r.Blank() {
		t.Error("a new directory is not blank")
	}
	if err := r.Keep(); err != nil {
		t.Fatal(err)
	}
	p := leftBehind(t, r, "sleep 1000")
	if again(t, r).Blank() {
		t.Error("a directory in use is blank")
	}
	if err := os.RemoveAll(r.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	r = again(t, r)
	if !r.Blank() {
		t.Error("a directory made again is not blank")
	}
	if f, _ := r.Find(Ref{5, 2}, p); f != Lost {
		t.Errorf("finding %d, want Lost", f)
	}
	if _, lost, err := r.Adopt(t.Context(), Ref{5, 2}, p); !lost || err != nil {
		t.Errorf("lost=%v err=%v", lost, err)
	}
	if s, ok := readStat(p.Pid); ok && s.live() && s.startTicks == p.StartTicks {
		t.Error("the process is alive")
	}
}
