package gateway

import (
	"context"
	"math/rand/v2"
	"time"

	"quorate/engine"
)

const (
	// balanceEvery is how often a gateway compares its share with the others', by
	// half of it more or less, so that gateways do not act in step.
	balanceEvery = 4 * time.Second
	// balanceAfter is how many times in a row it has to hold clearly too many.
	balanceAfter = 3
	// movesMax bounds the agents that are sent away at a time.
	movesMax = 16
	// shareSlack is what a gateway may hold beyond its fair share: a tenth of it,
	// and so many.
	shareSlack = 2
	// shunMin and shunMax are how long a gateway is left alone to which an agent
	// was sent and did not go.
	shunMin = 30 * time.Second
	shunMax = 10 * time.Minute
)

// A holding is how many agents each gateway serves, and whom of its own this one
// could send where they rather belong.
type holding struct {
	self     uint64
	count    map[uint64]int      // agents on record, by member; every member is in it
	prefer   map[uint64][]uint64 // own agents by the member that they prefer, self left out
	fairly   int                 // the fair share, rounded up
	overfull bool
}

// weigh fills in what follows from the counts.
func (h *holding) weigh() {
	total := 0
	for _, n := range h.count {
		total += n
	}
	h.fairly = (total + len(h.count) - 1) / max(1, len(h.count))
	h.overfull = len(h.count) > 1 && h.count[h.self] > h.fairly+h.fairly/10+shareSlack
}

// pick returns the gateway to send agents to, and how many of those that prefer
// it, or 0. Those that are shunned are left out.
func (h *holding) pick(shunned func(member uint64) bool) (to uint64, n int) {
	if !h.overfull {
		return 0, 0
	}
	for member, agents := range h.prefer {
		room := min(h.fairly-h.count[member], h.count[h.self]-h.fairly, len(agents), movesMax)
		if !shunned(member) && (room > n || room == n && n > 0 && member < to) {
			to, n = member, room
		}
	}
	return to, n
}

// hold looks at the record.
func (g *gateway) hold(sessions []*session) *holding {
	h := &holding{self: g.o.Replica(), prefer: map[uint64][]uint64{}, count: map[uint64]int{}}
	g.o.View(func(st *engine.State) {
		connected := st.ConnectedAgents()
		for _, member := range st.Members() {
			if st.Member(member).AgentAddress != "" {
				h.count[member] = connected[member]
			}
		}
		for _, s := range sessions {
			if order := st.AgentGateways(s.agent); len(order) > 0 && order[0] != h.self {
				h.prefer[order[0]] = append(h.prefer[order[0]], s.agent)
			}
		}
	})
	h.weigh()
	return h
}

// A shun is a gateway that did not take an agent.
type shun struct {
	until time.Time
	last  time.Duration
}

// balance sends agents to gateways that returned or joined. It begins with one, to
// see whether the other answers; the agent stays where it does not.
func (g *gateway) balance(ctx context.Context) {
	every := g.limits.BalanceEvery
	over := 0
	shuns := map[uint64]*shun{}
	proven := map[uint64]bool{} // gateways that took the agent sent before
	for wait(ctx, every/2+rand.N(every)) {
		now := time.Now()
		sessions := g.sessions.all()
		if g.sessions.count() == 0 {
			continue
		}
		h := g.hold(sessions)
		if _, member := h.count[h.self]; !h.overfull || !member {
			over = 0
			clear(proven)
			continue
		}
		if over++; over < balanceAfter {
			continue
		}
		to, n := h.pick(func(member uint64) bool { s := shuns[member]; return s != nil && now.Before(s.until) })
		if n == 0 {
			continue
		}
		if !proven[to] {
			n = 1
		}
		moved := h.prefer[to][:n]
		g.sendSome(sessions, moved, to)
		if !wait(ctx, every) {
			return
		}
		proven[to] = g.left(moved)
		if s := shuns[to]; proven[to] {
			delete(shuns, to)
		} else {
			if s == nil {
				s = &shun{}
				shuns[to] = s
			}
			s.last = min(max(2*s.last, shunMin), shunMax)
			s.until = time.Now().Add(s.last/2 + rand.N(s.last))
		}
	}
}

// sendSome sends agents to a member.
func (g *gateway) sendSome(sessions []*session, agents []uint64, to uint64) {
	address := ""
	g.o.View(func(st *engine.State) {
		if m := st.Member(to); m != nil {
			address = m.AgentAddress
		}
	})
	chosen := map[uint64]bool{}
	for _, id := range agents {
		chosen[id] = true
	}
	for _, s := range sessions {
		if chosen[s.agent] && address != "" {
			s.sendTo([]string{address}, "to spread the agents evenly")
		}
	}
	g.logger.Info("agents are sent to another orchestrator", "agents", len(agents), "orchestrator", to)
}

// left reports whether one of the agents is not this gateway's any more.
func (g *gateway) left(agents []uint64) bool {
	for _, id := range agents {
		if g.sessions.nonceOf(id) == "" {
			return true
		}
	}
	return false
}
