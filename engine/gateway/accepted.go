package gateway

import (
	"slices"
	"sync"

	"quorate/engine"
)

// accepted are the attempts under way of which their agents have said that they
// hold them. An agent that comes back without one of these shows an older copy of
// its journal, or another copy than the one that took the attempt: given the
// attempt again it would do a second time what may have been done. The numbers of
// reports cannot tell as long as the attempt has reported nothing.
//
// This is a gateway's memory only. After its restart the agents say again what
// they hold as they connect.
type accepted struct {
	mu       sync.Mutex
	attempts map[uint64]struct{}
}

// note remembers that the agent holds these attempts.
func (ac *accepted) note(state *engine.State, agent uint64, attempts ...uint64) {
	ac.mu.Lock()
	defer ac.mu.Unlock()
	for _, id := range attempts {
		if a := state.Attempts[id]; a != nil && a.Agent == agent && a.Outcome == 0 {
			ac.attempts[id] = struct{}{}
		}
	}
}

// missing returns an attempt under way that the agent once held and does not hold
// now, by the ascending list of what it holds, or 0.
func (ac *accepted) missing(state *engine.State, agent uint64, held []uint64) uint64 {
	ac.mu.Lock()
	defer ac.mu.Unlock()
	for _, id := range state.Agent(agent).Open {
		if _, once := ac.attempts[id]; !once {
			continue
		}
		if _, now := slices.BinarySearch(held, id); !now {
			return id
		}
	}
	return 0
}

// settled forgets what is not under way any more.
func (ac *accepted) settled(state *engine.State) {
	ac.mu.Lock()
	defer ac.mu.Unlock()
	for id := range ac.attempts {
		if a := state.Attempts[id]; a == nil || a.Outcome != 0 {
			delete(ac.attempts, id)
		}
	}
}

// ended forgets one attempt.
func (ac *accepted) ended(id uint64) {
	ac.mu.Lock()
	defer ac.mu.Unlock()
	delete(ac.attempts, id)
}
