package engine

import (
	"fmt"
	"slices"
	"strings"

	"quorate/eventlog"
)

// A cluster that is recovered goes on behind an earlier record, so indexes are
// given away a second time. Agents, whose journals are of the lost log, must not
// take one for the other: what they are told by are serials.

const (
	// generationBits leaves room for the records of a millisecond, ten times as many
	// as a log can take: so serials grow with the clock, and JSON's numbers are
	// exact for them until the year 2109.
	generationBits = 11
	// generationStep is how far the next generation is off at least, whatever the
	// clock says.
	generationStep = 1 << 20
	// generationMax keeps serials of the worst clock within 64 bits.
	generationMax = 1 << 50
)

// Serial is the number by which agents know what the record at the index has made:
// an attempt, an epoch, a connection, an agent. It grows with the index, and is
// greater than any that was given away before the newest recovery, also where the
// log was recovered to the same record twice. Without a recovery it is the index.
func (s *State) Serial(index uint64) uint64 { return s.Generation<<generationBits + index }

// IndexOf is the index of the record that a serial was given for, or would have been.
func (s *State) IndexOf(serial uint64) uint64 {
	for _, r := range slices.Backward(s.Recoveries) {
		if base := r.Generation << generationBits; serial > base {
			return serial - base
		}
	}
	return serial
}

// recovered begins a generation. A log from before there were any goes on as it did.
func (s *State) recovered(generation uint64) {
	if generation == 0 {
		return
	}
	s.Generation = max(s.Generation+generationStep, min(generation, generationMax))
	s.RecoveredAt = s.Index
	s.Recoveries = append(s.Recoveries, Recovery{Index: s.Index, Generation: s.Generation})
}

// judgeJournal compares a journal that is the agent's with what is on record. What
// a cluster acknowledged, and what it gave out, was committed before: where the
// journal tells of more, the log has lost records. It returns why the agent has to
// be quarantined, or nothing where it may go on.
//
// An agent that is idle may, when it connects for the first time since a recovery:
// nothing that was lost is under way any more. What it had under way on record may
// have ended meanwhile, which is unknown.
func (s *State) judgeJournal(a *Agent, e *eventlog.AgentConnected) string {
	lost := s.strange(a, e.Attempts)
	first := a.Connection < s.Serial(0)
	switch {
	case len(lost) == 0 && e.Acked <= a.JournalSeq:
		if first {
			s.settleBelow(a, e)
		}
		return ""
	case len(e.Attempts) == 0 && first:
		s.resume(a, e.Acked)
		return ""
	}
	what := fmt.Sprintf("its reports %d to %d", a.JournalSeq+1, e.Acked)
	if len(lost) > 0 {
		what = "what its journal holds of " + attemptList(lost)
	}
	how := "the log was put back without \"quorate cluster restore\""
	if s.Generation != 0 {
		how = "the cluster was recovered to before that"
	}
	if !first {
		a.Beyond = s.Index
	}
	return fmt.Sprintf("%s is not on record: %s, and nobody knows what the agent has done. Look at the host, then enrol it anew: \"quorate agent revoke %s\"", what, how, a.Name)
}

// Beyond returns the agents, by name, whose journals tell of more than is on record,
// until they are revoked: records are lost, and no recovery says so.
func (s *State) Beyond() (agents []*Agent) {
	for _, a := range s.Agents {
		if a.Beyond != 0 && !a.Revoked {
			agents = append(agents, a)
		}
	}
	slices.SortFunc(agents, func(a, b *Agent) int { return strings.Compare(a.Name, b.Name) })
	return agents
}

// strange returns those of the attempts that the log did not give to the agent.
func (s *State) strange(a *Agent, attempts []uint64) (lost []uint64) {
	for _, id := range attempts {
		if at := s.Attempts[id]; at == nil || at.Agent != a.ID {
			lost = append(lost, id)
		}
	}
	return lost
}

// attemptList names attempts, the first few of many.
func attemptList(ids []uint64) string {
	const listedMax = 5
	words := make([]string, 0, listedMax)
	for _, id := range ids[:min(len(ids), listedMax)] {
		words = append(words, fmt.Sprint(id))
	}
	list := strings.Join(words, ", ")
	if more := len(ids) - len(words); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	if len(ids) == 1 {
		return "attempt " + list
	}
	return "attempts " + list
}

// resume lets an agent go on behind reports that are lost. Of runs from before the
// recovery nobody can be sure what it has done: what is under way of them becomes
// unknown, and so does, when its turn comes, each step that it has not been given
// on record.
func (s *State) resume(a *Agent, acked uint64) {
	a.JournalSeq = acked
	a.Lapse = s.RecoveredAt
	for _, id := range slices.Clone(a.Open) {
		if at := s.Attempts[id]; s.Run(at.Run).Index < a.Lapse {
			s.settle(at, eventlog.Unknown, lostEnd, "")
			a.Judged = s.Index
		}
	}
}

// settleBelow settles what was settled in the lost log without a word of the agent,
// which will not begin it any more.
func (s *State) settleBelow(a *Agent, e *eventlog.AgentConnected) {
	for _, id := range slices.Clone(a.Open) {
		if id <= e.Floor && !slices.Contains(e.Attempts, id) {
			s.settle(s.Attempts[id], eventlog.Unknown, lostEnd, "")
			a.Judged = s.Index
		}
	}
}

const lostEnd = "the cluster was recovered to before the attempt's end"
