package journal

import (
	"slices"

	"quorate/nodeagent/wire"
)

// What attempts wait for that other agents do. Their ends come from outside, by a notice
// or from the cluster, any number of times and at any time, and are kept only as long as
// something waits for them.

// endingsMax bounds the ends that are kept for who wants to tell others of them.
const endingsMax = 4096

// EndedElsewhere says how an attempt of another agent has ended, for those that wait for
// it. It is durable: nothing starts because of it that a restart of the machine would
// find waiting.
type EndedElsewhere struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
	Outcome uint8
	// Output is that of the attempt; it may be empty.
	Output []byte
}

// Kind implements Record.
func (*EndedElsewhere) Kind() Kind { return KindEndedElsewhere }

// Elsewhere returns what attempts here wait for that other agents do, by the attempts'
// numbers, ascending.
func (s *State) Elsewhere() (after []wire.Predecessor) {
	for id, e := range s.elsewhere {
		if slices.ContainsFunc(s.behind[id], s.isOpen) {
			after = append(after, wire.Predecessor{Attempt: id, Elsewhere: e})
		}
	}
	slices.SortFunc(after, func(a, b wire.Predecessor) int {
		if a.Attempt < b.Attempt {
			return -1
		}
		return 1
	})
	return after
}

func (s *State) isOpen(id uint64) bool {
	a := s.attempts[id]
	return a != nil && a.Phase == Intent
}

// AwaitedElsewhere returns what is known of an attempt of another agent, and false where
// nothing here waits for it.
func (s *State) AwaitedElsewhere(attempt uint64) (wire.Elsewhere, bool) {
	e, ok := s.elsewhere[attempt]
	return e, ok
}

// EndElsewhere decides about the end of an attempt of another agent, as somebody has said
// whose word counts. It is false where nothing here waits for it.
func (s *State) EndElsewhere(attempt uint64, outcome uint8, output []byte) (Record, bool) {
	_, ok := s.elsewhere[attempt]
	if !ok || outcome < OutcomeSucceeded || outcome > OutcomeUnknown {
		return nil, false
	}
	return &EndedElsewhere{Attempt: attempt, Outcome: outcome, Output: output}, true
}

// Ended decides about the end of an attempt of another agent that the cluster tells of.
func (s *State) Ended(h Here, m *wire.Ended) Decision {
	var d Decision
	if reason, ok := s.fence(h, &m.Fence); !ok {
		d.reply(m.Attempt, wire.StatusRejected, reason)
		return d
	}
	s.raise(&d, m.Fence.Epoch)
	if r, ok := s.EndElsewhere(m.Attempt, m.Outcome, m.Output); ok {
		d.Records = append(d.Records, r)
		d.effect(Release, m.Attempt)
	}
	return d
}

// holdsBack reports whether what waits for the attempt cannot have started without a
// record: the end of one elsewhere is on disk before anything starts because of it.
func (s *State) holdsBack(p wire.Predecessor) bool {
	return p.Elsewhere.Key != "" || s.stuck(p.Attempt)
}

func (s *State) applyEndedElsewhere(r *EndedElsewhere) {
	if e, ok := s.elsewhere[r.Attempt]; ok {
		s.complete(r, e.Host)
		s.release(r.Attempt, r.Outcome)
	}
}

// leaveQueues forgets what an attempt that is over waits for elsewhere: its end would be
// kept for nobody.
func (s *State) leaveQueues(id uint64) {
	w := s.waits[id]
	if w == nil {
		return
	}
	for _, p := range w.after {
		if p.Elsewhere.Key == "" {
			continue
		}
		rest := slices.DeleteFunc(s.behind[p.Attempt], func(other uint64) bool { return other == id })
		if s.behind[p.Attempt] = rest; len(rest) == 0 {
			delete(s.behind, p.Attempt)
			delete(s.elsewhere, p.Attempt)
		}
	}
}

// An Ending is how an attempt of this agent has ended.
type Ending struct {
	Attempt uint64
	// Step names the step that it is one of, see [Work].
	Step    string
	Outcome uint8
	Output  []byte
}

// endings are the ends since they were taken last, where anybody wants them.
type endings struct {
	wanted chan struct{} // holds one token where there are any; nil where nobody does
	all    []Ending
}

// note takes the ends among the reports behind the number.
func (e *endings) note(s *State, seq uint64) {
	if e.wanted == nil {
		return
	}
	for i := len(s.reports) - 1; i >= 0 && s.reports[i].Seq > seq; i-- {
		if ending, ok := s.ending(&s.reports[i]); ok && len(e.all) < endingsMax {
			e.all = append(e.all, ending)
		}
	}
	if len(e.all) > 0 {
		select {
		case e.wanted <- struct{}{}:
		default:
		}
	}
}

// ending returns the end that a report is of. What never was a step here is none.
func (s *State) ending(r *wire.Report) (Ending, bool) {
	a := s.attempts[r.Attempt]
	if !r.End || a == nil || a.Step == "" {
		return Ending{}, false
	}
	return Ending{Attempt: r.Attempt, Step: a.Step, Outcome: r.Outcome, Output: r.Output}, true
}

// Endings are the ends that the cluster has not acknowledged.
func (s *State) Endings() (all []Ending) {
	for i := range s.reports {
		if e, ok := s.ending(&s.reports[i]); ok {
			all = append(all, e)
		}
	}
	return all
}

// WatchEndings has the journal keep the ends of attempts from now on until they are
// taken, and returns what holds a token where there are any.
func (j *Journal) WatchEndings() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.endings.wanted == nil {
		j.endings.wanted = make(chan struct{}, 1)
	}
	return j.endings.wanted
}

// TakeEndings returns the ends since the last call, when they are on disk; where those
// are too many to be kept, all that the cluster has not acknowledged.
func (j *Journal) TakeEndings() ([]Ending, error) {
	j.mu.Lock()
	all := j.endings.all
	if len(all) == endingsMax {
		all = j.state.Endings()
	}
	j.endings.all = nil
	j.mu.Unlock()
	if len(all) == 0 {
		return nil, nil
	}
	return all, j.Sync()
}
