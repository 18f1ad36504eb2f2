package nodeagent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// TestCancelOfTheUnknown: the tombstone of an attempt that never arrived is
// reported at once, also where the agent has nothing else to say.
func TestCancelOfTheUnknown(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	startAgent(t, o, t.TempDir())
	o.send(o.cancel(10))
	if end, _ := o.ended(10); end.Outcome != journal.OutcomeNotStarted {
		t.Errorf("%+v", end)
	}
}

// TestOutcast: an agent that the cluster has given up ends what it runs. Otherwise
// the same step could run again beside it, on another agent of the host. Its log says
// what to do.
func TestOutcast(t *testing.T) {
	for code, todo := range map[string]string{"revoked": "quorate token create --name n", "quarantined": "quorate agent revoke n"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			o := newOrchestrator(t)
			dir := t.TempDir()
			log := filepath.Join(dir, "root", "log")
			a := startAgent(t, o, dir)
			o.send(o.dispatch(10, 0, "trap 'echo ended >>log; exit 1' TERM; echo begun >>log; while :; do sleep 0.02; done", "echo next >>log"))
			eventually(t, "the job", func() bool { return effects(log) == 1 })
			o.update(func() { o.refuse = &wire.Refuse{Code: code, Reason: "given up"} })
			o.drop()
			eventually(t, "the end of the job", func() bool { return effects(log) == 2 })
			eventually(t, "what to do", func() bool { return strings.Contains(a.log.String(), todo) })
			o.update(func() { o.refuse = nil })
			if b, _ := os.ReadFile(log); string(b) != "begun\nended\n" {
				t.Errorf("effects %q", b)
			}
		})
	}
}

// TestOutcastStartsNothing: what waits behind a step that ends because the cluster has
// given up on the agent does not start, nor after a restart of the agent.
func TestOutcastStartsNothing(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "root", "log")
	first := startAgent(t, o, dir)
	next := o.dispatch(11, 0)
	next.After = []wire.Predecessor{{Attempt: 10, Any: true}}
	var err error
	if next.Spec, err = wire.EncodeStep(&wire.Step{Run: 1, Task: "next", Host: "host", Jobs: []job.Job{sh("echo next >>log")}}); err != nil {
		t.Fatal(err)
	}
	o.send(o.dispatch(10, 0, "echo begun >>log; while :; do sleep 0.02; done"), next)
	eventually(t, "the job", func() bool { return effects(log) == 1 })
	o.update(func() { o.refuse = &wire.Refuse{Code: "revoked", Reason: "given up"} })
	o.drop()
	eventually(t, "what to do", func() bool { return strings.Contains(first.log.String(), "quorate token create") })
	first.stop()
	o.update(func() { o.refuse = nil })
	startAgent(t, o, dir)
	for attempt, want := range map[uint64]uint8{10: journal.OutcomeCancelled, 11: journal.OutcomeNotStarted} {
		if end, _ := o.ended(attempt); end.Outcome != want {
			t.Errorf("attempt %d ended %+v, want outcome %d", attempt, end, want)
		}
	}
	if n := effects(log); n != 1 {
		t.Errorf("%d effects, want 1", n)
	}
}

// TestFilesOfJobsGone: what an agent had running is unknown to the next where the
// files of jobs were taken away, also to the one after it, and nothing runs twice.
func TestFilesOfJobsGone(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "root", "log")
	first := agentProcess(t, o, dir)
	o.send(o.dispatch(10, 0, "echo a >>log", "echo b >>log; sleep 1000", "echo c >>log"))
	eventually(t, "the second job", func() bool { return effects(log) == 2 })
	_ = first.Process.Kill()
	_ = first.Wait()
	if err := os.RemoveAll(filepath.Join(dir, "jobs")); err != nil {
		t.Fatal(err)
	}
	startAgent(t, o, dir)
	if end, _ := o.ended(10); end.Outcome != journal.OutcomeUnknown {
		t.Errorf("%+v", end)
	}
	if n := effects(log); n != 2 {
		t.Errorf("%d effects, want 2", n)
	}
	o.send(o.dispatch(11, 0, "echo d >>log"))
	if end, _ := o.ended(11); end.Outcome != journal.OutcomeSucceeded {
		t.Errorf("%+v", end)
	}
}

// TestSaysWhatItBegan: the cluster is told of an attempt before there is anything
// else to report of it, so that a copy of the agent's files can be told from them.
func TestSaysWhatItBegan(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	startAgent(t, o, t.TempDir())
	o.send(o.dispatch(10, 0, "until test -e gate; do sleep 0.02; done"))
	o.until("the report of the beginning", func() bool { return len(o.reports) == 1 && o.reports[0].Began && o.reports[0].Attempt == 10 })
	o.send(o.cancel(10))
	o.ended(10)
}

// TestBeginningsTravelWithResults: what ends at once is told in one frame with its
// beginning.
func TestBeginningsTravelWithResults(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	startAgent(t, o, t.TempDir())
	// A slow machine may part one: never all of them.
	for attempt := uint64(10); attempt < 20; attempt++ {
		o.send(o.dispatch(attempt, 0, "true"))
		o.ended(attempt)
		o.mu.Lock()
		together := slices.Contains(o.frames, 3)
		o.mu.Unlock()
		if together {
			return
		}
	}
	t.Errorf("frames of %v reports, want one of 3", o.frames)
}

// TestSaysWhatItForbids: an agent introduces itself with what it holds, and with what of
// that never starts.
func TestSaysWhatItForbids(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	startAgent(t, o, t.TempDir())
	o.send(o.dispatch(10, 0, "until test -e gate; do sleep 0.02; done"), o.cancel(11))
	o.ended(11)
	o.drop()
	o.until("an introduction with both", func() bool {
		h := o.hellos[len(o.hellos)-1]
		return slices.Equal(h.Attempts, []uint64{10, 11}) && slices.Equal(h.Forbidden, []uint64{11})
	})
	o.send(o.cancel(10))
	o.ended(10)
}
