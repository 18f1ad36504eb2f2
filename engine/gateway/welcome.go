package gateway

import (
	"context"
	"fmt"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/checkpoint"
	"quorate/nodeagent/wire"
)

var errUnsettled = &refusal{code: "busy", reason: "the agent's journal and the log moved on while they were compared: try again"}

// welcome puts the connection on record and answers the Hello.
//
// The record is what makes the agent this gateway's. It is folded here before the
// agent is welcomed, and with it everything that other gateways had committed: so
// a journal is compared, in the end, with all that is known of it.
func (s *session) welcome(ctx context.Context, hello *wire.Hello) error {
	grown, err := s.growth(ctx, hello)
	if err != nil {
		return err
	}
	for range challengesMax {
		proven, err := s.prove(ctx, hello)
		if err != nil {
			return err
		}
		hello = proven
		void, err := s.record(ctx, hello)
		if err != nil {
			return err
		}
		if err := s.judged(); err != nil {
			return err
		}
		fault, _ := s.fault(hello)
		switch {
		case void != "" && fault == "":
			return &refusal{code: "busy", reason: void}
		case fault == "":
			return s.accept(grown)
		}
	}
	return errUnsettled
}

// record puts the connection on record, once, and returns why that had no effect.
func (s *session) record(ctx context.Context, hello *wire.Hello) (void string, err error) {
	o := s.g.o
	done := false
	o.View(func(st *engine.State) { done = st.Agent(s.agent).Session == s.nonce })
	if done {
		return "", nil
	}
	s.recorded = true
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	indexes, voids, err := o.Propose(ctx, &eventlog.AgentConnected{
		Agent: s.agent, Gateway: o.Replica(), Session: s.nonce, Version: engine.Spoken(printable(hello.Version), uint8(s.conn.protocol())), BootID: printable(hello.BootID),
		JournalID: hello.JournalID, JournalSeq: hello.JournalSeq, Address: s.conn.remote(), Transport: s.conn.transport(),
		Relay: s.conn.via(),
		Acked: hello.Acked, Floor: hello.Floor, Attempts: hello.Attempts, Held: true, Came: s.g.came(s.agent, hello.Asked),
	})
	if err != nil {
		// Whether there is a majority is not known here. The agent knows of others.
		return "", fmt.Errorf("%w: %w", &refusal{code: "busy", reason: "the cluster did not put the connection on record in time"}, err)
	}
	s.connection = o.Serial(indexes[0])
	return voids[0], nil
}

// judged returns the refusal of an agent whose journal was found to tell of more
// than is on record, when the connection was folded.
func (s *session) judged() error {
	var refused *refusal
	s.g.o.View(func(st *engine.State) { refused = barred(st.Agent(s.agent)) })
	if refused == nil {
		return nil
	}
	s.g.logger.Error("agent refused", "agent", s.name, "code", refused.code, "reason", refused.reason)
	return refused
}

// accept says Welcome, with the newest checkpoint of the log.
func (s *session) accept(grown *wire.Checkpoint) error {
	o := s.g.o
	w := &wire.Welcome{ClusterID: o.CA().ClusterID(), Agent: s.agent, Name: s.name, Session: s.nonce, LogKey: o.LogKey(), Checkpoint: *grown}
	o.View(func(st *engine.State) {
		a := st.Agent(s.agent)
		w.Epoch, w.Acked, w.Floor = st.Epoch, a.JournalSeq, a.Floor()
		w.Servers = serversOf(st, s.agent)
	})
	w.HeartbeatMillis = uint32(s.g.heartbeat().Milliseconds())
	s.received = w.Acked
	s.acked = w.Acked
	s.known = w.Servers
	s.fence = wire.Fence{ClusterID: w.ClusterID, Session: s.nonce, JournalID: s.journal}
	if c, err := checkpoint.Unverified(grown.Note); err == nil {
		s.shown = c.Size
	}
	s.welcomed = true
	if s.before != nil {
		s.before.nudge()
		s.before = nil
	}
	o.Distrusted(s.agent, "")
	return wire.WriteMessage(s.control, w)
}

// serversOf are the gateways for the agent, as many as a message holds.
func serversOf(st *engine.State, agent uint64) []string {
	servers := st.AgentServers(agent)
	return servers[:min(len(servers), wire.ServersMax)]
}
