package cli

import (
	"fmt"
	"net"
)

// sockets are those that others reach this orchestrator on. All are opened before
// anything else: an address that is taken must not leave a half-made member.
type sockets struct {
	agents    net.PacketConn
	operators net.Listener // nil where operators are not served
	raft      net.Listener // nil with logEmbedded
}

func (n *node) openSockets() (err error) {
	s := &n.sockets
	if n.cfg.log == logRaft {
		if s.raft, err = net.Listen("tcp", n.cfg.Raft); err != nil {
			return fmt.Errorf("orchestrators' address: %w", err)
		}
	}
	if s.agents, err = net.ListenPacket("udp", n.cfg.Listen); err != nil {
		return fmt.Errorf("agents' address: %w", err)
	}
	n.agent = s.agents.LocalAddr()
	if n.cfg.HTTP != "" {
		if s.operators, err = net.Listen("tcp", n.cfg.HTTP); err != nil {
			return fmt.Errorf("operators' address: %w", err)
		}
		n.api = s.operators.Addr()
	}
	var raft net.Addr
	if s.raft != nil {
		raft = s.raft.Addr()
	}
	n.at, err = advertised(n.cfg.Advertise, raft, n.agent, n.api, n.cfg.Raft, n.cfg.Listen)
	return err
}

// takeAgents hands over the agents' socket; who takes it closes it.
func (s *sockets) takeAgents() net.PacketConn {
	conn := s.agents
	s.agents = nil
	return conn
}

// takeOperators hands over the operators' socket; who takes it closes it.
func (s *sockets) takeOperators() net.Listener {
	ln := s.operators
	s.operators = nil
	return ln
}

// takeRaft hands over the orchestrators' socket; who takes it closes it.
func (s *sockets) takeRaft() net.Listener {
	ln := s.raft
	s.raft = nil
	return ln
}

// close closes what nobody has taken.
func (s *sockets) close() {
	if s.agents != nil {
		_ = s.agents.Close()
	}
	for _, ln := range []net.Listener{s.operators, s.raft} {
		if ln != nil {
			_ = ln.Close()
		}
	}
	*s = sockets{}
}
