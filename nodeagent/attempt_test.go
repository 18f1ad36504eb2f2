package nodeagent

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/runner"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// TestNothingOutlivesItsAttempt: where an attempt is over as soon as an agent takes it
// up again, the process that the agent before has left is ended first. Otherwise a
// successor could run beside it.
func TestNothingOutlivesItsAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		lost bool
		want uint8
	}{"cancelled": {false, journal.OutcomeCancelled}, "in doubt": {true, journal.OutcomeUnknown}} {
		t.Run(name, func(t *testing.T) {
			a, j, _ := chained(t, nil)
			a.execute = verb.Execute
			script := "while :; do sleep 0.02; done"
			p := leaveRunning(t, a, runner.Command{Ref: runner.Ref{Attempt: 1, Job: 1}, Script: script})
			spec, err := wire.EncodeStep(&wire.Step{Run: 1, Task: "t", Host: "n", Jobs: []job.Job{sh("true"), {Index: 1, Verb: "RUN", Text: script}}})
			if err != nil {
				t.Fatal(err)
			}
			hash := wire.SpecHash(spec)
			err = j.Append(func(s *journal.State, add func(journal.Record)) error {
				add(&journal.Intended{Attempt: 1, Hash: hash[:], Spec: spec, Jobs: 2, Window: 2, Seq: s.Seq + 1})
				add(&journal.JobStarted{Attempt: 1})
				add(&journal.JobEnded{Report: wire.Report{Seq: s.Seq + 1, Attempt: 1, Outcome: journal.OutcomeSucceeded}})
				add(&journal.JobStarted{Attempt: 1, Position: 1})
				add(&journal.ProcessSeen{Attempt: 1, Position: 1, Process: journal.Process{Pid: p.Pid, StartTicks: p.StartTicks}})
				if c.lost {
					add(&journal.Doubted{Attempt: 1})
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errCancelled)
			if err := a.runAttempt(ctx, 1); err != nil {
				t.Fatal(err)
			}
			if stat, err := os.ReadFile("/proc/" + strconv.Itoa(int(p.Pid)) + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
				t.Errorf("process %d is alive behind the end of the attempt", p.Pid)
				a.runner.Kill(runner.Ref{Attempt: 1, Job: 1}, p)
			}
			reports := j.ReportsAfter(0, 1<<20)
			if end := reports[len(reports)-1]; !end.End || end.Outcome != c.want {
				t.Errorf("the end is %+v, want outcome %d", end, c.want)
			}
		})
	}
}

// leaveRunning starts a command and leaves it, as an agent does that stops.
func leaveRunning(t *testing.T, a *agent, c runner.Command) runner.Process {
	t.Helper()
	seen := make(chan runner.Process, 1)
	c.Started = func(p runner.Process) { seen <- p }
	ctx, cancel := context.WithCancelCause(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := a.runner.Run(ctx, c)
		left <- err
	}()
	select {
	case p := <-seen:
		cancel(runner.ErrLeave)
		<-left
		return p
	case err := <-left:
		t.Fatalf("the command has ended: %v", err)
	case <-time.After(waitMax):
		t.Fatal("the command does not start")
	}
	return runner.Process{}
}
