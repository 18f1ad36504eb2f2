package nodeagent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"quorate/nodeagent/journal"
)

// namedMax is how many attempts a line of the log names.
const namedMax = 20

// awaitCluster goes on without a connection with what an earlier boot of the host has
// left, once none could be had for long enough. Until then the cluster may say that the
// disk was put back to an earlier state, which nobody on the host can tell.
func (a *agent) awaitCluster(ctx context.Context) {
	if a.cfg.OfflineAfterReboot <= 0 {
		return
	}
	due := time.NewTimer(a.cfg.OfflineAfterReboot)
	defer due.Stop()
	select {
	case <-due.C:
	case <-a.resumed:
		return
	case <-ctx.Done():
		return
	}
	a.mu.Lock()
	over := a.outcast
	a.alone = !over
	a.mu.Unlock()
	if over {
		return
	}
	a.log.Warn("the host has restarted, and no orchestrator can be reached: going on alone with what is known not to have begun", "after", a.cfg.OfflineAfterReboot)
	a.resume()
}

// held reports whether nothing may go on before a connection has told what the
// cluster has.
func (a *agent) held(s *journal.State) bool {
	if s.Certain() {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.alone
}

// doubted reports whether the cluster has put in doubt what the agent did alone of the
// attempt.
func (a *agent) doubted(id uint64) (lost bool) {
	a.journal.View(func(s *journal.State) {
		at, ok := s.Attempt(id)
		lost = ok && at.Lost
	})
	return lost
}

// ranAlone names what was started without a connection since the host has restarted:
// that may have run twice where the journal was an earlier copy. It is empty where
// nothing was.
func (a *agent) ranAlone() string {
	var names []string
	more := 0
	a.journal.View(func(s *journal.State) {
		ids := s.Alone()
		more = max(0, len(ids)-namedMax)
		for _, id := range ids[:len(ids)-more] {
			at, _ := s.Attempt(id)
			names = append(names, nameOf(id, at))
		}
	})
	if more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// nameOf names an attempt by its number and the step that it is one of, see [journal.Work].
func nameOf(id uint64, at *journal.Attempt) string {
	if at == nil {
		return fmt.Sprint(id)
	}
	run, task, _, err := journal.ParseStepName(at.Step)
	if err != nil {
		return fmt.Sprint(id)
	}
	return fmt.Sprintf("%d (task %s of run %d)", id, task, run)
}
