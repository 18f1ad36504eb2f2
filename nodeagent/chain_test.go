package nodeagent

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/runner"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// chained is an agent of a journal, and how attempts are put into that: of one job
// each, behind others.
func chained(t *testing.T, execute func(*journal.Journal, *verb.Env) verb.Result) (a *agent, j *journal.Journal, accept func(id uint64, after ...wire.Predecessor)) {
	t.Helper()
	dir := t.TempDir()
	j, err := journal.Open(dir+"/journal", "boot")
	if err != nil {
		t.Fatal(err)
	}
	a, err = newAgent(Config{DataDir: dir, WorkDir: dir, Logger: slog.New(slog.DiscardHandler)}, &identity{}, j, "boot",
		func(_ context.Context, env *verb.Env, _ *job.Job) verb.Result { return execute(j, env) })
	if err != nil {
		t.Fatal(err)
	}
	a.jobsCtx, a.stopJobs = context.WithCancelCause(t.Context())
	_, a.fatal = context.WithCancelCause(t.Context())
	t.Cleanup(func() {
		a.jobs.Wait()
		j.Close()
		a.facts.Close()
	})
	spec, err := wire.EncodeStep(&wire.Step{Run: 1, Task: "t", Host: "n", Jobs: []job.Job{{Verb: "NONE"}}})
	if err != nil {
		t.Fatal(err)
	}
	hash := wire.SpecHash(spec)
	return a, j, func(id uint64, after ...wire.Predecessor) {
		t.Helper()
		err := j.Append(func(s *journal.State, add func(journal.Record)) error {
			if len(after) > 0 {
				add(&journal.Awaits{Attempt: id, After: after})
			}
			add(&journal.Intended{Attempt: id, Hash: hash[:], Spec: spec, Jobs: 1, Window: 1, Seq: s.Seq + 1})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestChainWaitsForTheDisk: an attempt whose predecessor ends while its own records
// are not on disk yet starts no job before they are. A machine that went down in
// between would have forgotten the attempt, and run it once more.
func TestChainWaitsForTheDisk(t *testing.T) {
	early := make(chan uint64, 3)
	ran := make(chan uint64, 3)
	a, j, accept := chained(t, func(j *journal.Journal, env *verb.Env) verb.Result {
		if !j.Permitted(env.Attempt) {
			early <- env.Attempt
		}
		ran <- env.Attempt
		return verb.Result{Outcome: verb.Succeeded}
	})
	accept(1)
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	accept(2, wire.Predecessor{Attempt: 1}) // and the session waits for the disk
	accept(3, wire.Predecessor{Attempt: 2})
	a.start(1)
	for want := uint64(1); want <= 3; want++ {
		select {
		case got := <-ran:
			if got != want {
				t.Errorf("attempt %d ran, want %d", got, want)
			}
		case <-time.After(waitMax):
			t.Fatalf("attempt %d does not run", want)
		}
	}
	select {
	case id := <-early:
		t.Errorf("attempt %d started a job before the disk held that it is intended", id)
	default:
	}
}

// TestSentinelSparesWhatComesAfterIt: QUEUESENTINEL drops what waits on the host, and
// not what was sent ahead of the sentinel's own end, which comes after it.
func TestSentinelSparesWhatComesAfterIt(t *testing.T) {
	a, _, accept := chained(t, nil)
	accept(1)
	accept(2)
	accept(3, wire.Predecessor{Attempt: 2})
	accept(4, wire.Predecessor{Attempt: 1, Any: true})
	accept(5, wire.Predecessor{Attempt: 4}, wire.Predecessor{Attempt: 2})
	f := &fleet{run: &jobRun{agent: a, ref: runner.Ref{Attempt: 1}}}
	if n, err := f.Omit(); n != 2 || err != nil {
		t.Errorf("omitted %d, %v, want 2", n, err)
	}
	for id, want := range map[uint64]bool{1: false, 2: true, 3: true, 4: false, 5: false} {
		if _, got, err := a.facts.Omitted(id); got != want || err != nil {
			t.Errorf("attempt %d: omitted %t, %v", id, got, err)
		}
	}
}
