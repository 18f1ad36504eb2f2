package gateway

import (
	"maps"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// What attempts wait for on other agents of their site. An agent hears of those ends from
// the site, if that goes well, and from its gateway in any case, as soon as they are on
// record.

// elsewhereSpare is how many attempts of other agents a session keeps in mind at least
// until it looks which of them nothing waits for any more.
const elsewhereSpare = 256

// await notes what the attempt waits for on other agents, and returns the ends with those
// of it that are on record. The state is being looked at.
func (s *session) await(state *engine.State, id uint64, ends []wire.Ended) []wire.Ended {
	for _, e := range state.ElsewhereOf(state.Attempts[id]) {
		if s.behind == nil {
			s.behind = map[uint64][]uint64{}
		}
		if !slices.Contains(s.behind[e.Attempt], id) {
			s.behind[e.Attempt] = append(s.behind[e.Attempt], id)
			s.g.sessions.awaits(s, e.Attempt)
		}
		if e.Released {
			ends = s.released(state, e.Attempt, ends)
		}
	}
	return ends
}

// released returns the ends with that of the other agent's attempt, where it has ended as
// anything needs that waits for it.
func (s *session) released(state *engine.State, attempt uint64, ends []wire.Ended) []wire.Ended {
	if o, output := s.outcomeFor(state, attempt); o != 0 {
		ends = append(ends, wire.Ended{Attempt: attempt, Outcome: uint8(o), Output: output})
	}
	return ends
}

// outcomeFor is what the agent is told of the end of another one's attempt, or 0 where
// that is nothing yet, and what its step led to. What counts is what became of the step,
// which an operator may have decided, for those that wait for it.
func (s *session) outcomeFor(state *engine.State, attempt uint64) (o eventlog.Outcome, output []byte) {
	for _, id := range s.behind[attempt] {
		a := state.Attempts[id]
		if a == nil || a.Outcome != 0 {
			continue
		}
		for _, e := range state.ElsewhereOf(a) {
			switch {
			case e.Attempt != attempt || !e.Released:
			case !e.Any || state.Attempts[attempt].Outcome == eventlog.Succeeded:
				return eventlog.Succeeded, e.Output
			default:
				o = eventlog.Failed
			}
		}
	}
	return o, output
}

// tidyAwaited forgets what only attempts have waited for that are settled.
func (s *session) tidyAwaited(open []uint64) {
	if len(s.behind) < s.tidyAt {
		return
	}
	for attempt, ids := range s.behind {
		ids = slices.DeleteFunc(ids, func(id uint64) bool {
			_, still := slices.BinarySearch(open, id)
			return !still
		})
		if s.behind[attempt] = ids; len(ids) == 0 {
			delete(s.behind, attempt)
			s.g.sessions.awaitsNot(s, attempt)
		}
	}
	s.tidyAt = max(elsewhereSpare, 2*len(s.behind))
}

// nobody is in the place of an agent's key where no word but the cluster's counts: the
// digest of no key. Where the plan's jobs ask other hosts for values, what a step builds
// upon has to be with its agent before it starts, and the site does not bring it.
const nobody = "0000000000000000000000000000000000000000000000000000000000000000"

// putEnded frames ends, behind what is new of the values that attempts may have waited for.
func (s *session) putEnded(out *wire.Writer, ends []wire.Ended, epoch uint64) error {
	if len(ends) > 0 && len(s.learned) > 0 {
		if err := s.learn(out, slices.Collect(maps.Keys(s.learned))); err != nil {
			return err
		}
	}
	for i := range ends {
		ends[i].Fence = s.fence
		ends[i].Fence.Epoch = epoch
		if err := out.Add(&ends[i]); err != nil {
			return err
		}
	}
	return nil
}

// predecessors are what an attempt of the step waits for, as its agent is told.
func predecessors(c *engine.Command, step *wire.Step) []wire.Predecessor {
	var out []wire.Predecessor
	rest := c.Elsewhere // in the order of After
	for _, p := range c.After {
		w := wire.Predecessor{Attempt: p.Attempt, Any: p.Any}
		if len(rest) > 0 && rest[0].Attempt == p.Attempt {
			w.Elsewhere = wire.Elsewhere{Key: rest[0].KeyDigest, Run: rest[0].Run, Task: rest[0].Task, Host: rest[0].Host}
			if len(step.Publish) > 0 {
				w.Elsewhere.Key = nobody
			}
			rest = rest[1:]
		}
		out = append(out, w)
	}
	return out
}

// awaits notes that the session is to hear of the end of another agent's attempt.
func (ss *sessions) awaits(s *session, attempt uint64) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.awaited == nil {
		ss.awaited = map[uint64]map[*session]struct{}{}
	}
	if ss.awaited[attempt] == nil {
		ss.awaited[attempt] = map[*session]struct{}{}
	}
	ss.awaited[attempt][s] = struct{}{}
}

func (ss *sessions) awaitsNot(s *session, attempt uint64) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.forgo(s, attempt)
}

func (ss *sessions) forgo(s *session, attempt uint64) {
	if delete(ss.awaited[attempt], s); len(ss.awaited[attempt]) == 0 {
		delete(ss.awaited, attempt)
	}
}

// settled tells the sessions that wait for another agent's attempt that there is news of it.
func (ss *sessions) settled(attempt uint64) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for s := range ss.awaited[attempt] {
		s.note(func(n *notes) {
			n.ended = append(n.ended, attempt)
			n.cancels = true // or what waits for it is called back
		})
	}
}
