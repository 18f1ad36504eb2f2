package api

import (
	"slices"
	"strings"

	"quorate/engine"
	"quorate/eventlog"
)

// A Narrator tells what records mean for the runs that they are about: it is how
// the records of a log become the events of a watch, live and in a replay. It
// reads no clock and does no I/O.
type Narrator struct {
	runs map[uint64]*tale
}

// A tale is what was told of a run that is under way.
type tale struct {
	ended   []bool          // tasks whose end was told
	open    map[uint64]bool // attempts whose start was told, and not a definite end
	waiting bool
	// barred: an agent lost its right to work since the run began, so that steps
	// may be ready that nobody will ever be given.
	barred bool
}

// NewNarrator returns a narrator for the records that follow a state.
func NewNarrator(s *engine.State) *Narrator {
	n := &Narrator{runs: map[uint64]*tale{}}
	for _, r := range s.Runs {
		if r.Outcome != 0 {
			continue
		}
		t := newTale(r)
		t.barred = true
		for i := range r.Tasks {
			t.ended[i] = r.Tasks[i].Status.Settled()
			for _, st := range r.Tasks[i].Steps {
				if st.Status == engine.Running || st.Status == engine.Waiting {
					t.open[st.Attempt] = true
				}
			}
		}
		t.waiting = t.stuck(s, r)
		n.runs[r.ID] = t
	}
	return n
}

func newTale(r *engine.Run) *tale {
	return &tale{ended: make([]bool, len(r.Tasks)), open: map[uint64]bool{}}
}

// Events returns what a record means, given its event and the state right after
// it was folded; void is what Fold returned. Records must be given in order.
func (n *Narrator) Events(s *engine.State, rec *eventlog.Record, event eventlog.Event, void string) []RunEvent {
	if void != "" {
		return nil
	}
	run := uint64(0)
	switch e := event.(type) {
	case *eventlog.JobEnded, *eventlog.AttemptEnded, *eventlog.StepResolved, *eventlog.StepScheduled,
		*eventlog.TaskRecorded, *eventlog.TaskSkipped, *eventlog.RunCancelled, *eventlog.RunEnded:
		run = runOf(s, rec, event)
	case *eventlog.RunCreated:
		run = uint64(len(s.Runs)) // a run that counts is the newest
		n.runs[run] = newTale(s.Run(run))
	case *eventlog.AgentQuarantined:
		return n.rights(s, rec, e.Disproved...)
	case *eventlog.AgentRevoked, *eventlog.AgentEnrolled, *eventlog.AgentApproved:
		return n.rights(s, rec)
	case *eventlog.AgentConnected:
		if a := s.Agent(e.Agent); a.Quarantined != "" || a.Judged == rec.Index {
			return n.rights(s, rec) // it was judged by what the log has lost
		}
		return nil
	default:
		return nil
	}
	t := n.runs[run]
	if t == nil {
		return nil
	}
	w := &teller{s: s, r: s.Run(run), rec: rec, t: t}
	w.tell(event)
	if w.r.Outcome != 0 {
		delete(n.runs, run)
	}
	return w.out
}

// rights tells what changes for all runs when an agent gains or loses its right.
func (n *Narrator) rights(s *engine.State, rec *eventlog.Record, disproved ...uint64) (out []RunEvent) {
	for _, id := range sortedKeys(n.runs) {
		w := &teller{s: s, r: s.Run(id), rec: rec, t: n.runs[id]}
		w.t.barred = true
		for _, attempt := range sortedKeys(w.t.open) {
			if w.t.open[attempt] {
				w.attempt(attempt)
			}
		}
		for _, attempt := range disproved {
			w.disproved(attempt)
		}
		w.waits()
		out = append(out, w.out...)
	}
	return out
}

func sortedKeys[V any](m map[uint64]V) []uint64 {
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// stuck reports whether only an operator can move the run, or nothing.
func (t *tale) stuck(s *engine.State, r *engine.Run) bool {
	switch r.Status() {
	case "waiting":
		return true
	case "running":
		return t.barred && r.Counts.Running == 0 && r.Counts.Waiting+r.Counts.Ready > 0 && !schedulable(s, r)
	}
	return false
}

// schedulable reports whether a ready step of the run has who could do it.
func schedulable(s *engine.State, r *engine.Run) bool {
	controller := func() bool {
		if r.ControllerAgent != "" {
			a := s.AgentByName(r.ControllerAgent)
			return a != nil && a.Usable()
		}
		_, ok := s.Controller()
		return ok
	}
	for i := range r.Tasks {
		task := uint32(i)
		for _, st := range r.Tasks[i].Steps {
			if st.Status != engine.Ready {
				continue
			}
			switch {
			case r.Graph.IsEngine(task):
				return true
			case r.Graph.IsLocal(task):
				if controller() {
					return true
				}
			default:
				if a := s.AgentByName(r.Graph.Hosts[st.Host]); a != nil && a.Usable() {
					return true
				}
			}
		}
	}
	return false
}

// waitingReason puts what a run waits for into a line.
func waitingReason(s *engine.State, r *engine.Run) string {
	const listedMax = 5
	items := r.WaitingFor(s)
	if len(items) > listedMax {
		items = append(items[:listedMax:listedMax], "and more")
	}
	return strings.Join(items, "; ")
}
