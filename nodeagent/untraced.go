package nodeagent

import (
	"quorate/nodeagent/journal"
	"quorate/nodeagent/runner"
	"quorate/nodeagent/wire"
)

// settleUntraced ends the attempts, as unknown, whose running job has left no trace
// because the directory of jobs was taken away. Nothing of them runs any more then.
func (a *agent) settleUntraced() error {
	var lost []journal.Attempt
	a.journal.View(func(s *journal.State) {
		for _, id := range s.Open() {
			if at, _ := s.Attempt(id); at.Running {
				lost = append(lost, *at)
			}
		}
	})
	for i := range lost {
		at := &lost[i]
		if step, err := wire.DecodeStep(at.Spec); err == nil && int(at.Ended) < len(step.Jobs) {
			ref := runner.Ref{Attempt: at.ID, Job: step.Jobs[at.Ended].Index}
			a.runner.Kill(ref, runner.Process{Pid: at.Process.Pid, StartTicks: at.Process.StartTicks})
		}
		a.log.Error("the files of a running job are gone, and with them its outcome", "attempt", at.ID)
		if err := a.endAttempt(at.ID, journal.OutcomeUnknown, "the files of the running job are gone from the host"); err != nil {
			return err
		}
	}
	return a.runner.Keep()
}
