package journal

import (
	"fmt"
	"maps"
	"slices"

	"quorate/nodeagent/wire"
)

// A foreign attempt is another agent's, for which an attempt here waits.
type foreign struct {
	outcome  uint8 // 0 while it is open
	onRecord bool
}

// followsForeign makes the attempt wait for one elsewhere, perhaps.
func (w *world) followsForeign(s *scheduled) {
	if w.site && w.r.IntN(2) == 0 {
		w.lastIndex++
		s.elsewhere = w.lastIndex
		w.foreign[s.elsewhere] = &foreign{}
	}
}

// foreignPredecessor is how the cluster says so.
func foreignPredecessor(id uint64) wire.Predecessor {
	return wire.Predecessor{Attempt: id, Any: id%2 == 0, Elsewhere: wire.Elsewhere{Key: "k", Run: 1, Task: "t", Host: "other"}}
}

// afterForeign is what the attempt waits for elsewhere, as the cluster says. Where that
// has ended otherwise than it has to, the attempt is called back.
func (w *world) afterForeign(a *scheduled) []wire.Predecessor {
	f := w.foreign[a.elsewhere]
	if f == nil {
		return nil
	}
	p := foreignPredecessor(a.elsewhere)
	if f.onRecord && !wellEnded(p, f.outcome) {
		a.cancel = true
	}
	return []wire.Predecessor{p}
}

// elsewhere is what happens at other agents, and what is told of it here: by a notice,
// as soon as it is so and as often as anybody likes, and by the cluster once it is on record.
func (w *world) elsewhere() error {
	ids := slices.Sorted(maps.Keys(w.foreign))
	if len(ids) == 0 {
		return nil
	}
	id := ids[w.r.IntN(len(ids))]
	f := w.foreign[id]
	switch {
	case f.outcome == 0:
		f.outcome = []uint8{OutcomeSucceeded, OutcomeSucceeded, OutcomeFailed, OutcomeCancelled, OutcomeNotStarted, OutcomeUnknown}[w.r.IntN(6)]
	case !f.onRecord && w.r.IntN(2) == 0:
		f.onRecord = true
	case w.connected && f.onRecord:
		w.toAgent = append(w.toAgent, &wire.Ended{Fence: w.fence(), Attempt: id, Outcome: f.outcome})
	}
	if f.outcome == 0 || !w.up || w.r.IntN(2) == 0 {
		return nil
	}
	outcome := f.outcome
	if w.mut == anyNotice {
		outcome = OutcomeSucceeded
	}
	if r, ok := w.state.EndElsewhere(id, outcome, nil); ok {
		return w.write([]Record{r})
	}
	return nil
}

// inForeignOrder: what an attempt waits for elsewhere has ended as it has to when its
// first job starts.
func (w *world) inForeignOrder(id uint64) error {
	a := w.attempts[id]
	if f := w.foreign[a.elsewhere]; f != nil && !wellEnded(foreignPredecessor(a.elsewhere), f.outcome) {
		return fmt.Errorf("attempt %d starts behind %d of another agent, whose outcome is %d", id, a.elsewhere, f.outcome)
	}
	return nil
}

// contradicted reports whether the journal does not forbid an attempt that is on record
// as not started, or holds one as not started of which the agent has told how it went. No
// sound one does.
func (w *world) contradicted() (found bool, err error) {
	forbidden, unstarted := w.state.Forbidden(), w.state.Unstarted()
	for _, id := range w.state.Attempts() {
		a := w.attempts[id]
		disproved := a.outcome == OutcomeNotStarted && !slices.Contains(forbidden, id)
		overtaken := (len(a.jobs) > 0 || a.told && a.outcome != OutcomeNotStarted) && slices.Contains(unstarted, id)
		if !disproved && !overtaken {
			continue
		}
		found = true
		if disproved {
			w.settleAs(id, OutcomeUnknown)
		}
		if !w.old {
			err = fmt.Errorf("a sound journal lies about attempt %d: disproved %t, overtaken %t", id, disproved, overtaken)
		}
	}
	return found, err
}
