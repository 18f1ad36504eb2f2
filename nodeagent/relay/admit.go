package relay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// What the port for agents takes at a time. An agent has two connections, one of which is
// for notices, and a few more while it looks for a better one.
const (
	connectionsMax        = 8192
	connectionsAddressMax = 1024 // agents behind one NAT share an address
	// handshakesMax are those under way, in total and from one address; from the
	// unproven ones on a QUIC client has to prove its address first.
	handshakesMax        = 512
	handshakesAddressMax = 64
	handshakesUnproven   = 32
)

var errFull = errors.New("the relay has too many connections")

// An admission counts the connections of a port from their first packet on.
type admission struct {
	mu          sync.Mutex
	open        int
	handshaking int
	byAddress   map[netip.Addr]*share
}

func newAdmission() *admission { return &admission{byAddress: map[netip.Addr]*share{}} }

type share struct{ open, handshaking int }

// A ticket is one connection's place.
type ticket struct {
	a                     *admission
	addr                  netip.Addr
	handshaking, released bool // guarded by a.mu
}

func addressOf(addr net.Addr) netip.Addr {
	switch a := addr.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// mustProve reports whether a client has to show first that it is where it says.
func (a *admission) mustProve() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.handshaking >= handshakesUnproven
}

// admit takes a place for a connection whose handshake begins.
func (a *admission) admit(from net.Addr) (*ticket, error) {
	addr := addressOf(from)
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.byAddress[addr]
	if s == nil {
		s = &share{}
	}
	if a.open >= connectionsMax || a.handshaking >= handshakesMax || s.open >= connectionsAddressMax || s.handshaking >= handshakesAddressMax {
		return nil, errFull
	}
	a.byAddress[addr] = s
	a.open++
	a.handshaking++
	s.open++
	s.handshaking++
	return &ticket{a: a, addr: addr, handshaking: true}, nil
}

// shaken says that the handshake is done.
func (t *ticket) shaken() {
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	t.endHandshake()
}

func (t *ticket) endHandshake() {
	if t.handshaking {
		t.handshaking = false
		t.a.handshaking--
		t.a.byAddress[t.addr].handshaking--
	}
}

// release gives the place back; only the first call counts.
func (t *ticket) release() {
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	if t.released {
		return
	}
	t.endHandshake()
	t.released = true
	t.a.open--
	s := t.a.byAddress[t.addr]
	if s.open--; s.open == 0 {
		delete(t.a.byAddress, t.addr)
	}
}
