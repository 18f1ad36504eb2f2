package cli

import (
	"net"
)

// An addressError is why nothing listens on the address that a flag gives.
type addressError struct {
	flag, what string
	err        error
}

func (e *addressError) Error() string { return e.what + ": " + e.err.Error() }
func (e *addressError) Unwrap() error { return e.err }

// sockets are those that others reach this orchestrator on. All are opened before
// anything else: an address that is taken must not leave a half-made member.
type sockets struct {
	agents    net.PacketConn
	agentsTCP net.Listener // nil where agents are served over UDP alone
	operators net.Listener // nil where operators are not served
	raft      net.Listener // nil with logEmbedded
}

func (n *node) openSockets() (err error) {
	s := &n.sockets
	if n.cfg.log == logRaft {
		if s.raft, err = net.Listen("tcp", n.cfg.Raft); err != nil {
			return &addressError{"raft", "orchestrators' address", err}
		}
	}
	if s.agents, err = net.ListenPacket("udp", n.cfg.Listen); err != nil {
		return &addressError{"listen", "agents' address", err}
	}
	n.agent = s.agents.LocalAddr()
	if n.cfg.HTTP != "" {
		if s.operators, err = net.Listen("tcp", n.cfg.HTTP); err != nil {
			return &addressError{"http", "operators' address", err}
		}
		n.api = s.operators.Addr()
	}
	if s.agentsTCP, err = n.listenTCP(); err != nil {
		return &addressError{"listen-tcp", "agents' address over TCP", err}
	}
	var raft net.Addr
	if s.raft != nil {
		raft = s.raft.Addr()
	}
	n.at, err = advertised(n.cfg.Advertise, raft, n.agent, n.api, n.cfg.Raft, n.cfg.Listen)
	return err
}

// noListen is the address of what is not to be served.
const noListen = "off"

// listenTCP opens what agents connect to that UDP does not reach. Without an address
// of its own that is the port of UDP, and not worth failing for.
func (n *node) listenTCP() (net.Listener, error) {
	switch n.cfg.ListenTCP {
	case noListen:
		return nil, nil
	case "":
	default:
		return net.Listen("tcp", n.cfg.ListenTCP)
	}
	ln, err := net.Listen("tcp", n.agent.String())
	if err != nil {
		n.cfg.logger.Warn("agents that UDP does not reach cannot connect: their port is not to be had for TCP", "error", err)
		return nil, nil
	}
	return ln, nil
}

// takeAgents hands over the agents' sockets, of which the second may be nil; who takes
// them closes them.
func (s *sockets) takeAgents() (net.PacketConn, net.Listener) {
	conn, ln := s.agents, s.agentsTCP
	s.agents, s.agentsTCP = nil, nil
	return conn, ln
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
	for _, ln := range []net.Listener{s.operators, s.raft, s.agentsTCP} {
		if ln != nil {
			_ = ln.Close()
		}
	}
	*s = sockets{}
}
