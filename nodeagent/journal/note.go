package journal

import (
	"slices"

	"quorate/nodeagent/wire"
)

// What the agent's memory makes of jobs is written there a moment later. Until then the
// journal holds it, so that whoever finds the memory behind brings it up to date: a file
// that was changed must not be forgotten before the restart that has to follow.

// Noted holds what the agent's memory makes of the job that runs, and comes before its
// end.
type Noted struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
	Note    []byte
}

// Remembered says that the memory has on disk what these attempts, which have ended,
// were noted to have done.
type Remembered struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempts []uint64
}

// Kind implements Record.
func (*Noted) Kind() Kind { return KindNoted }

// Kind implements Record.
func (*Remembered) Kind() Kind { return KindRemembered }

func (s *State) applyNoted(r *Noted) error {
	return s.withOpen(r.Attempt, func(a *Attempt) { a.Notes = append(a.Notes, r.Note) })
}

func (s *State) applyRemembered(r *Remembered) {
	for _, id := range r.Attempts {
		a := s.attempts[id]
		if a == nil || a.Phase == Intent {
			continue
		}
		if a.Notes = nil; s.forgettable(a) {
			s.drop(a)
		}
	}
}

// Unremembered returns the attempts that have ended and have notes, ascending.
func (s *State) Unremembered() (ids []uint64) {
	for id, a := range s.attempts {
		if a.Phase != Intent && len(a.Notes) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// inputsOf returns the inputs of a dispatch that will be known when what it waits for
// has ended.
func inputsOf(m *wire.Dispatch) []wire.Input {
	known := func(id uint64) bool {
		return slices.ContainsFunc(m.After, func(p wire.Predecessor) bool { return p.Attempt == id && p.Elsewhere.Key != "" })
	}
	var inputs []wire.Input
	for _, in := range m.Inputs {
		if !slices.ContainsFunc(in.Open, func(id uint64) bool { return !known(id) }) {
			inputs = append(inputs, in)
		}
	}
	return inputs
}

// complete adds the output of an attempt of another agent, on the host, to the inputs of
// those that wait for it. An input that cannot be known any more is dropped.
func (s *State) complete(r *EndedElsewhere, host string) {
	for _, id := range s.behind[r.Attempt] {
		a := s.attempts[id]
		if a == nil {
			continue
		}
		var inputs []wire.Input
		for _, in := range a.Inputs {
			if i := slices.Index(in.Open, r.Attempt); i >= 0 {
				if r.Outcome != OutcomeSucceeded || len(r.Output) != wire.OutputBytes {
					continue
				}
				in.Open = slices.Delete(slices.Clone(in.Open), i, i+1)
				in.Output.Add(host, r.Output)
			}
			inputs = append(inputs, in)
		}
		a.Inputs = inputs
	}
}
