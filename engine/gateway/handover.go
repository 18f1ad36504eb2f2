package gateway

import (
	"context"
	"slices"
	"time"

	"quorate/engine"
)

const (
	// handOverMax is how long a gateway keeps the connection of a relay that has gone to
	// another one, for the agents that still speak through it.
	handOverMax = 30 * time.Second
	// handOverEvery is how often so many of these as handOverStep are asked to follow it:
	// each costs a handshake at its next gateway.
	handOverEvery = 100 * time.Millisecond
	handOverStep  = 16
)

// handOver lets the agents follow their relay: its connection stays until all of them
// have been welcomed over its next one, so that a move of the relay costs them nothing.
func (s *session) handOver(ctx context.Context) {
	s.handing.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, handOverMax)
		defer cancel()
		asked := map[*session]bool{}
		for {
			followers := s.g.sessions.behind(s.conn)
			if len(followers) == 0 || !s.serves() {
				return
			}
			next := slices.DeleteFunc(followers, func(f *session) bool { return asked[f] })
			for _, f := range next[:min(len(next), handOverStep)] {
				asked[f] = true
				var servers []string
				s.g.o.View(func(st *engine.State) {
					if servers = s.g.elsewhere(st, f.agent); st.Agent(s.agent).Gateway == s.g.o.Replica() {
						servers = serversOf(st, f.agent)
					}
				})
				f.sendTo(servers, "the relay has another connection")
			}
			if !wait(ctx, handOverEvery) {
				return
			}
		}
	})
}

// serves reports whether the relay may still pass anything on.
func (s *session) serves() (yes bool) {
	s.g.o.View(func(st *engine.State) { yes = st.Agent(s.agent).Serves() })
	return yes
}

// goneElsewhere reports whether this is the session of a relay that has another one on
// record, at whatever gateway.
func (s *session) goneElsewhere() (yes bool) {
	if !s.conn.relays() {
		return false
	}
	s.g.o.View(func(st *engine.State) {
		relay := st.Agent(s.agent)
		yes = relay.Connected && relay.Session != s.nonce
	})
	return yes
}

// behind are the sessions of the agents that came through a relay's connection.
func (ss *sessions) behind(relay *connection) (some []*session) {
	for _, s := range ss.all() {
		if t, ok := s.conn.carrier.(tunnelCarrier); ok && t.within == relay {
			some = append(some, s)
		}
	}
	return some
}

// over reports whether nothing of the session runs any more.
func (s *session) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// elsewhere are the addresses of the other gateways, in the agent's order.
func (g *gateway) elsewhere(st *engine.State, agent uint64) []string {
	own := ""
	if m := st.Member(g.o.Replica()); m != nil {
		own = m.AgentAddress
	}
	return slices.DeleteFunc(serversOf(st, agent), func(address string) bool { return address == own })
}
