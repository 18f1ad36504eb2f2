package engine

import (
	"fmt"
	"slices"

	"quorate/eventlog"
)

// Agent returns the agent, or nil.
func (s *State) Agent(id uint64) *Agent { return s.Agents[id] }

// AgentByName returns the agent of that name that is not revoked, or nil.
func (s *State) AgentByName(name string) *Agent { return s.Agents[s.names[name]] }

// Enrolled returns the agent that enrolled with this token and this key: the
// answer to an agent that repeats itself because the first answer was lost.
func (s *State) Enrolled(tokenHash, keyDigest string) (*Agent, bool) {
	t := s.Tokens[tokenHash]
	if t == nil || t.SpentBy == 0 {
		return nil, false
	}
	a := s.Agents[t.SpentBy]
	return a, a.KeyDigest == keyDigest && !a.Revoked
}

// Controller returns the oldest agent labelled controller that may work, one that is
// drained only where no other may.
func (s *State) Controller() (found *Agent, ok bool) {
	for _, id := range s.controllers {
		if a := s.Agents[id]; a.Usable() && (found == nil || !a.Drained()) {
			if found = a; !a.Drained() {
				break
			}
		}
	}
	return found, found != nil
}

// Usable reports whether work may be given to the agent, connected or not.
func (a *Agent) Usable() bool { return !a.Relay && a.barred() == "" }

// Serves reports whether this is a relay that agents may connect through.
func (a *Agent) Serves() bool { return a.Relay && a.barred() == "" }

// barred says why the agent has no right to work, or nothing.
func (a *Agent) barred() string {
	switch {
	case a.Revoked:
		return "the agent is revoked"
	case a.Quarantined != "":
		return "the agent is quarantined"
	case a.Pending:
		return "the agent is not approved"
	}
	return ""
}

// JournalFault says why a journal that introduces itself like this is not the
// agent's: another one, or an older copy of it. It returns nothing for a sound
// journal. An agent whose journal is at fault is to be quarantined.
func (a *Agent) JournalFault(journalID string, journalSeq uint64) string {
	if journalID != a.JournalID {
		return fmt.Sprintf("journal %s is not the agent's %s", journalID, a.JournalID)
	}
	if journalSeq < a.JournalSeq {
		return fmt.Sprintf("the journal ends at report %d, and %d is committed", journalSeq, a.JournalSeq)
	}
	return ""
}

// MissingAttempt returns an attempt that is under way and that the agent's journal
// is known to hold, but is not among those that the journal holds now, or 0. An
// agent that misses one shows another journal than it had: it is to be
// quarantined, whatever the journal's number and name say.
//
// Where more was acknowledged to the journal than is on record, nothing is missing
// yet: either the record is not folded here, or it is lost, and then it is for the
// fold of AgentConnected to judge.
func (a *Agent) MissingAttempt(held []uint64, acked uint64) uint64 {
	if acked > a.JournalSeq {
		return 0
	}
	for _, id := range a.begun {
		if !slices.Contains(held, id) {
			return id
		}
	}
	return 0
}

// Disproved returns those of the attempts that the agent's journal holds, and not as
// forbidden, which are on record as not started: the journal is an older copy, from
// before they were given back, and nobody knows whether it has let them start since.
func (s *State) Disproved(a *Agent, held, forbidden []uint64) (ids []uint64) {
	for _, id := range held {
		if s.disprovable(a, id) && !slices.Contains(forbidden, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *State) disprovable(a *Agent, attempt uint64) bool {
	at := s.Attempts[attempt]
	return at != nil && at.Agent == a.ID && at.Outcome == eventlog.NotStarted
}

// Overtaken returns one of the attempts that the agent's journal holds as not started
// though the agent has said how it, or a job of it, ended, or 0: the journal is an older
// copy, by whose word the attempt never started, or may yet start a second time.
func (s *State) Overtaken(a *Agent, unstarted []uint64) uint64 {
	for _, id := range unstarted {
		at := s.Attempts[id]
		if at == nil || at.Agent != a.ID {
			continue
		}
		told := definite(at.Outcome) && at.Outcome != eventlog.NotStarted || at.Outcome == eventlog.Unknown && at.By == ""
		var before uint32 // it goes on from there
		if p := s.Attempts[at.Supersedes]; p != nil {
			before = p.Reached
		}
		if told || at.Late != 0 || at.Jobs.Len() > 0 || at.Reached > before {
			return id
		}
	}
	return 0
}

// reportFault says why the report with this number does not count. The numbers
// have no holes, so a repeat and a report that overtook another are told apart
// from the next one, whatever the gateways in between lost or repeated.
//
// Nor does a report that came by another connection than the newest. An agent whose
// machine went down may have lost reports that a gateway still has in hand, and
// numbers new ones from where the log was when it connected again: were one of the
// old ones to land after that, it would take the place of a new one.
func (a *Agent) reportFault(seq, connection uint64) string {
	switch {
	case seq == 0:
		return ""
	case a.Revoked:
		return "the agent is revoked"
	case a.Quarantined != "":
		return "the agent is quarantined"
	case connection != 0 && connection != a.Connection:
		return "the agent has connected anew since it said so"
	case seq <= a.JournalSeq:
		return fmt.Sprintf("report %d is committed", seq)
	case seq > a.JournalSeq+1:
		return fmt.Sprintf("report %d came before report %d", seq, a.JournalSeq+1)
	}
	return ""
}

// agentFor returns the agent that a step on the host is to be given to, or nil where
// there is none, or it is drained.
func (s *State) agentFor(r *Run, host uint32, before uint64) *Agent {
	if a := s.agentOf(r, host, before); a != nil && !a.Drained() {
		return a
	}
	return nil
}

// agentOf returns the agent that a step on the host is to run on, or nil where
// none may. A step without host stays with the agent of the attempt before while
// that one may work: only there can the attempts be kept from overlapping.
func (s *State) agentOf(r *Run, host uint32, before uint64) *Agent {
	if host != NoHost {
		return usable(s.AgentByName(r.Graph.Hosts[host]))
	}
	if p := s.Attempts[before]; p != nil {
		if a := usable(s.Agents[p.Agent]); a != nil {
			return a
		}
	}
	if r.ControllerAgent != "" {
		return usable(s.AgentByName(r.ControllerAgent))
	}
	a, _ := s.Controller()
	return a
}

func usable(a *Agent) *Agent {
	if a != nil && a.Usable() {
		return a
	}
	return nil
}

// CheckRun returns the hosts of the plan that have no agent that may work, in
// the plan's order, and "controller" where a local task lacks one.
func (s *State) CheckRun(plan *Graph) (missing []string) {
	for _, h := range plan.used {
		if name := plan.Hosts[h]; usable(s.AgentByName(name)) == nil {
			missing = append(missing, name)
		}
	}
	if _, ok := s.Controller(); plan.local && !ok {
		missing = append(missing, ControllerLabel)
	}
	return missing
}

// RequestIndex returns the index of the event that the client's request led to.
func (s *State) RequestIndex(id string) (uint64, bool) {
	i, ok := s.requests[id]
	return i, ok
}

// settledAttempt takes the attempt off its agent's list, elsewhere off what that waits
// for, and bytes off what it holds.
func (a *Agent) settledAttempt(at *Attempt, elsewhere uint32, bytes uint64) {
	a.elsewhere -= elsewhere
	a.openBytes -= bytes
	a.Open = without(a.Open, at.ID)
	a.begun = without(a.begun, at.ID)
}

func without(ids []uint64, id uint64) []uint64 {
	if i := slices.Index(ids, id); i >= 0 {
		return slices.Delete(ids, i, i+1)
	}
	return ids
}

// definite reports whether the outcome says what happened.
func definite(o eventlog.Outcome) bool {
	return o >= eventlog.Succeeded && o <= eventlog.NotStarted
}
