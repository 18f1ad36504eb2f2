package gateway

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

const (
	// balanceEvery is how often a gateway compares its share with the others', by
	// half of it more or less, so that gateways do not act in step. Agents that were
	// all given one address are spread within some five of it.
	balanceEvery = time.Second
	// balanceAfter is how many times in a row it has to hold too many.
	balanceAfter = 2
	// movesMax bounds the agents that are sent away at a time, all together. Each
	// costs a handshake, of which a gateway makes some hundred a second.
	movesMax = 48
	// shunMin and shunMax are how long a gateway is left alone to which an agent
	// was sent and did not go.
	shunMin = 30 * time.Second
	shunMax = 10 * time.Minute
	// moveTime is how long an agent may take to leave until that counts as a no, and
	// movePoll how often that is looked at.
	moveTime = 4 * time.Second
	movePoll = 50 * time.Millisecond
)

// A holding is how many agents each gateway serves, and whom of its own this one
// could send elsewhere.
type holding struct {
	self   uint64
	count  map[uint64]int      // agents on record, by member; every member is in it
	prefer map[uint64][]uint64 // own agents by the member that they prefer
	// sites are own relays with how many they are with their agents; nil while the agents
	// of one that has gone still follow it.
	sites    map[uint64]int
	fairly   int // the fair share, rounded up
	overfull bool
}

// weigh fills in what follows from the counts. A tenth more than its fair share a
// gateway may hold; it is not worth a handshake.
func (h *holding) weigh() {
	total := 0
	for _, n := range h.count {
		total += n
	}
	h.fairly = (total + len(h.count) - 1) / max(1, len(h.count))
	h.overfull = len(h.count) > 1 && h.count[h.self] > h.fairly+h.fairly/10
}

// moves returns whom to send where: one agent to who has yet to show that it takes
// agents, and to others as many as they have room for, in turn, so that none is
// filled before the next. Those that are shunned get nobody. Where only sites are left
// one of them goes.
func (h *holding) moves(shunned, proven func(member uint64) bool) map[uint64][]uint64 {
	if !h.overfull {
		return nil
	}
	room := map[uint64]int{}
	var targets []uint64
	for _, member := range slices.Sorted(maps.Keys(h.count)) {
		if n := h.fairly - h.count[member]; member != h.self && n > 0 && !shunned(member) {
			if room[member] = n; !proven(member) {
				room[member] = 1
			}
			targets = append(targets, member)
		}
	}
	to := h.spread(targets, room)
	h.moveSite(to, targets)
	return to
}

// spread returns which agents go to whom that has room for them.
func (h *holding) spread(targets []uint64, room map[uint64]int) map[uint64][]uint64 {
	to := map[uint64][]uint64{}
	left := min(h.count[h.self]-h.fairly, movesMax)
	for took := true; took && left > 0; {
		took = false
		for _, member := range targets {
			if len(to[member]) >= room[member] || left == 0 {
				continue
			}
			agent, ok := h.take(member)
			if !ok {
				return to
			}
			to[member] = append(to[member], agent)
			left, took = left-1, true
		}
	}
	return to
}

// moveSite adds the relay of a site where nobody else is to go: the largest that leaves
// this gateway no fewer agents than it brings the emptiest of the targets to, so that it
// need not come back. Each of its agents costs a handshake, while it follows.
func (h *holding) moveSite(to map[uint64][]uint64, targets []uint64) {
	if len(to) > 0 || len(targets) == 0 {
		return
	}
	emptiest := slices.MinFunc(targets, func(a, b uint64) int { return cmp.Compare(h.count[a], h.count[b]) })
	var relay uint64
	for _, id := range slices.Sorted(maps.Keys(h.sites)) {
		if n := h.sites[id]; n > h.sites[relay] && 2*n <= h.count[h.self]-h.count[emptiest] {
			relay = id
		}
	}
	if relay != 0 {
		to[emptiest] = []uint64{relay}
	}
}

// take takes the agent that is best sent to the member: one that prefers it, so that
// it stays there when it connects again, or else rather one that does not prefer this
// gateway.
func (h *holding) take(member uint64) (agent uint64, ok bool) {
	order := []uint64{member}
	for _, other := range slices.Sorted(maps.Keys(h.prefer)) {
		if other != member && other != h.self {
			order = append(order, other)
		}
	}
	for _, preferred := range append(order, h.self) {
		if agents := h.prefer[preferred]; len(agents) > 0 {
			h.prefer[preferred] = agents[1:]
			return agents[0], true
		}
	}
	return 0, false
}

// hold looks at the record. It tells the agents only where there are too many. An agent
// that came through a relay counts where that is: it follows.
func (g *gateway) hold(sessions []*session) *holding {
	h := &holding{self: g.o.Replica(), prefer: map[uint64][]uint64{}, count: map[uint64]int{}, sites: map[uint64]int{}}
	g.o.View(func(st *engine.State) {
		for _, member := range st.Members() {
			if st.Member(member).AgentAddress != "" {
				h.count[member] = 0
			}
		}
		behind, following := map[uint64]int{}, false
		for _, a := range st.Agents {
			if !a.Connected {
				continue
			}
			at := a.Gateway
			if relay := st.Agent(a.Via); relay != nil && relay.Connected {
				at = relay.Gateway
				behind[relay.ID]++
				following = following || a.Gateway == h.self && at != h.self
			}
			if _, member := h.count[at]; member {
				h.count[at]++
			}
		}
		if h.weigh(); !h.overfull {
			return
		}
		for _, s := range sessions {
			switch {
			case s.conn.via() != 0:
			case s.conn.relays():
				if a := st.Agent(s.agent); a.Session == s.nonce && !following {
					h.sites[s.agent] = 1 + behind[s.agent]
				}
			default:
				if order := st.AgentGateways(s.agent); len(order) > 0 {
					h.prefer[order[0]] = append(h.prefer[order[0]], s.agent)
				}
			}
		}
	})
	return h
}

// A shun is a gateway that did not take an agent.
type shun struct {
	until time.Time
	last  time.Duration
}

// A balancer is what a gateway remembers of those that it sends agents to.
type balancer struct {
	shuns  map[uint64]*shun
	proven map[uint64]bool // took the agent sent before
	over   int             // times in a row that there were too many
}

// shunned reports whether a member gets no agents now.
func (b *balancer) shunned(member uint64, now time.Time) bool {
	s := b.shuns[member]
	return s != nil && now.Before(s.until)
}

// learn takes note of whether a member has taken an agent.
func (b *balancer) learn(member uint64, took bool, now time.Time) {
	if b.proven[member] = took; took {
		delete(b.shuns, member)
		return
	}
	s := b.shuns[member]
	if s == nil {
		s = &shun{}
		b.shuns[member] = s
	}
	s.last = min(max(2*s.last, shunMin), shunMax)
	s.until = now.Add(s.last/2 + rand.N(s.last))
}

// balance sends agents to gateways that hold fewer: those that returned or joined,
// or that agents have yet to hear of. It begins with one each, to see whether the
// other answers; the agent stays where it does not.
func (g *gateway) balance(ctx context.Context) {
	every := g.limits.BalanceEvery
	b := &balancer{shuns: map[uint64]*shun{}, proven: map[uint64]bool{}}
	for wait(ctx, every/2+rand.N(every)) {
		sessions := g.sessions.all()
		if len(sessions) == 0 {
			continue
		}
		h := g.hold(sessions)
		if _, member := h.count[h.self]; !h.overfull || !member {
			b.over = 0
			clear(b.proven)
			continue
		}
		if b.over++; b.over < balanceAfter {
			continue
		}
		now := time.Now()
		moves := h.moves(func(m uint64) bool { return b.shunned(m, now) }, func(m uint64) bool { return b.proven[m] })
		if !g.announceMoves(ctx, moves) {
			continue
		}
		for to, agents := range moves {
			g.sendSome(sessions, agents, to)
		}
		if len(moves) > 0 && !g.settle(ctx, moves) {
			return
		}
		for to, agents := range moves {
			b.learn(to, g.left(agents), time.Now())
		}
	}
}

// announceMoves puts on record whom this gateway sends away, so that it does not count
// against them, and reports whether it did.
func (g *gateway) announceMoves(ctx context.Context, moves map[uint64][]uint64) bool {
	if len(moves) == 0 {
		return true
	}
	var events []eventlog.Event
	for _, to := range slices.Sorted(maps.Keys(moves)) {
		events = append(events, &eventlog.AgentsSent{Gateway: g.o.Replica(), To: to, Agents: moves[to]})
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if _, _, err := g.o.Propose(ctx, events...); err != nil {
		g.logger.Debug("agents are not sent away: the log did not take it", "error", err)
		return false
	}
	return true
}

// settle waits until one agent of each move has left, or has had moveTime for it.
// It returns false where ctx has ended.
func (g *gateway) settle(ctx context.Context, moves map[uint64][]uint64) bool {
	deadline := time.Now().Add(max(moveTime, g.limits.BalanceEvery))
	for time.Now().Before(deadline) {
		if !wait(ctx, movePoll) {
			return false
		}
		gone := true
		for _, agents := range moves {
			gone = gone && g.left(agents)
		}
		if gone {
			return true
		}
	}
	return true
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

// left reports whether one of the agents is not this gateway's any more. A relay keeps its
// connection a while for its agents.
func (g *gateway) left(agents []uint64) (yes bool) {
	g.o.View(func(st *engine.State) {
		for _, id := range agents {
			a := st.Agent(id)
			yes = yes || a.Connected && a.Gateway != g.o.Replica()
		}
	})
	for _, id := range agents {
		yes = yes || g.sessions.nonceOf(id) == ""
	}
	return yes
}
