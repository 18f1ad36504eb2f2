package engine

import (
	"fmt"
	"slices"
)

// A Command is what the agent of an attempt under way is to be told. It follows
// from the folded state alone, so a gateway that lags can only repeat old ones.
type Command struct {
	Attempt, Supersedes uint64
	Epoch               uint64 // of the state that it follows from
	Cancel              bool   // end it, rather than run it
	Reason              string // of a cancel
}

// Command returns what to tell the agent about its attempt, which is under way.
func (s *State) Command(attempt uint64) Command {
	a := s.Attempts[attempt]
	c := Command{Attempt: attempt, Supersedes: a.Supersedes, Epoch: s.Epoch, Cancel: a.Cancel}
	if a.Cancel {
		c.Reason = "the run was cancelled"
		if r := s.Run(a.Run); r.Cancelled != nil && r.Cancelled.Reason != "" {
			c.Reason = r.Cancelled.Reason
		}
	}
	return c
}

// HelloFault says why a journal that introduces itself like this, holding these
// attempts (ascending), cannot be the agent's as it was, or nothing. It needs a
// state that is as new as anything the agent was acknowledged: an older one takes
// attempts for under way that the agent may have forgotten since.
func (s *State) HelloFault(agent uint64, journalID string, journalSeq uint64, held []uint64) string {
	a := s.Agents[agent]
	if fault := a.JournalFault(journalID, journalSeq); fault != "" {
		return fault
	}
	for _, id := range a.Open {
		if !s.Attempts[id].Began {
			continue
		}
		if _, ok := slices.BinarySearch(held, id); !ok {
			return fmt.Sprintf("the journal does not hold attempt %d, which the agent had begun: it is an older copy, or another agent's", id)
		}
	}
	return ""
}
