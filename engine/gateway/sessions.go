package gateway

import (
	"maps"
	"slices"
	"sync"

	"quorate/engine"
	"quorate/eventlog"
)

// sessions are the connections by agent. What the log commits is told to those
// whom it concerns: looking through all of them at every record would cost
// records times agents.
type sessions struct {
	mu      sync.Mutex
	byAgent map[uint64]*session
	// awaited are those that are to hear of the end of another agent's attempt.
	awaited map[uint64]map[*session]struct{}
	// waiting are those whose agents wait for what the log may bring.
	waiting map[*session]struct{}
}

// add makes s its agent's session and returns the one before.
func (ss *sessions) add(s *session) (before *session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	before = ss.byAgent[s.agent]
	ss.byAgent[s.agent] = s
	return before
}

// remove takes s off, unless it was replaced. The one before is its agent's again where that
// is there: s was not welcomed then.
func (ss *sessions) remove(s *session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.byAgent[s.agent] == s {
		delete(ss.byAgent, s.agent)
		if s.before != nil && !s.before.over() {
			ss.byAgent[s.agent] = s.before
		}
	}
	delete(ss.waiting, s)
	for attempt := range s.behind { // nothing of the session runs any more
		ss.forgo(s, attempt)
	}
}

// waits notes whether the session is to look at each record that may answer a
// question of its agent.
func (ss *sessions) waits(s *session, yes bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if !yes {
		delete(ss.waiting, s)
		return
	}
	if ss.waiting == nil {
		ss.waiting = map[*session]struct{}{}
	}
	ss.waiting[s] = struct{}{}
}

func (ss *sessions) tellWaiting() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for s := range ss.waiting {
		s.nudge()
	}
}

// nonceOf returns the session of an agent, or nothing.
func (ss *sessions) nonceOf(agent uint64) string {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.byAgent[agent]; s != nil {
		return s.nonce
	}
	return ""
}

// of returns the session of an agent, or nil.
func (ss *sessions) of(agent uint64) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.byAgent[agent]
}

// observe is an [orchestrator.Observer].
func (ss *sessions) observe(state *engine.State, _ *eventlog.Record, event eventlog.Event, void string) {
	if void != "" {
		return
	}
	switch e := event.(type) {
	case *eventlog.StepScheduled:
		ss.tell(e.Agent, nil)
	case *eventlog.AgentConnected:
		ss.tell(e.Agent, nil) // a session before this one is over
		if state.Agent(e.Agent).Quarantined != "" {
			ss.tellAll(recall)
		}
	case *eventlog.AgentRevoked:
		ss.tell(e.Agent, nil)
		ss.tellAll(recall) // what waits for it on other hosts
	case *eventlog.AgentQuarantined:
		ss.tell(e.Agent, nil)
		ss.tellAll(recall)
	case *eventlog.AgentDrained:
		ss.tell(e.Agent, recall)
	case *eventlog.AgentDisconnected:
		ss.tell(e.Agent, nil) // by who took this gateway for dead
	case *eventlog.OrchestratorJoined, *eventlog.OrchestratorMoved, *eventlog.OrchestratorRemoved, *eventlog.ClusterRecovered:
		// Also, sessions of a member that is none any more are off the record.
		ss.tellAll(func(n *notes) { n.members = true })
	case *eventlog.RunCancelled:
		ss.tellAll(recall)
	case *eventlog.AttemptEnded:
		ss.recalled(state, e.Attempt)
		ss.settled(e.Attempt)
		ss.tellWaiting()
	case *eventlog.StepResolved:
		ss.recalled(state, e.Attempt)
		ss.settled(e.Attempt)
		ss.tellWaiting()
	case *eventlog.ValuesPublished, *eventlog.JobEnded, *eventlog.TaskSkipped, *eventlog.RunCreated:
		ss.tellWaiting()
	}
}

// recalled has the sessions look at what was sent ahead, where the attempt did not
// end as what is behind it needs.
func (ss *sessions) recalled(state *engine.State, attempt uint64) {
	a := state.Attempts[attempt]
	if a == nil || a.Outcome == eventlog.Succeeded && !a.JobFailed {
		return
	}
	r := state.Run(a.Run)
	switch {
	case r.AheadMax == 0:
	case r.FailFast:
		ss.tellAll(recall)
	default:
		ss.tell(a.Agent, recall)
		for _, id := range state.BehindElsewhere(attempt) {
			ss.tell(state.Attempts[id].Agent, recall)
		}
	}
}

// recall is the note to look for what is to be cancelled, or given back.
func recall(n *notes) { n.cancels = true }

func (ss *sessions) tell(agent uint64, note func(*notes)) {
	ss.mu.Lock()
	s := ss.byAgent[agent]
	ss.mu.Unlock()
	if s != nil {
		s.note(note)
	}
}

// all returns the sessions there are.
func (ss *sessions) all() []*session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return slices.Collect(maps.Values(ss.byAgent))
}

// count says how many there are.
func (ss *sessions) count() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.byAgent)
}

func (ss *sessions) tellAll(note func(*notes)) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.byAgent {
		s.note(note)
	}
}

// note leaves a note for the sender and wakes it.
func (s *session) note(write func(*notes)) {
	if write != nil {
		s.notes.mu.Lock()
		write(&s.notes)
		s.notes.mu.Unlock()
	}
	s.nudge()
}
