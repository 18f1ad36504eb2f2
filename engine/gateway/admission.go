package gateway

import (
	"errors"
	"net/netip"
	"sync"
	"time"
)

// admission counts connections from the first packet on.
//
// A first packet's address may be forged. So an address that has a few handshakes
// under way, and everyone when many are, must first prove itself by a round trip:
// nobody can use up another's share.
type admission struct {
	limits Limits

	mu          sync.Mutex
	open        int
	handshaking int // over QUIC

	handshakingTCP int

	byAddress map[netip.Addr]*share
}

type share struct{ open, handshaking, handshakingTCP int }

var (
	errFull        = errors.New("too many connections")
	errFullAddress = errors.New("too many connections from this address")
	errHandshakes  = errors.New("too many handshakes")
)

func newAdmission(limits Limits) *admission {
	return &admission{limits: limits, byAddress: map[netip.Addr]*share{}}
}

// mustProve reports whether a new connection from the address needs a Retry.
func (a *admission) mustProve(addr netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.handshaking >= a.limits.HandshakesUnproven {
		return true
	}
	s := a.byAddress[addr]
	return s != nil && s.handshaking >= a.limits.HandshakesUnprovenPerAddress
}

// admit takes a place for a connection whose handshake begins.
func (a *admission) admit(addr netip.Addr) (*ticket, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, err := a.place(addr)
	if err != nil {
		return nil, err
	}
	a.handshaking++
	s.handshaking++
	return a.issue(addr, func() { a.handshaking--; s.handshaking-- }), nil
}

// admitTCP takes a place for a connection over TCP, whose address is proven. There is
// no Retry to make others wait with: how many may shake hands is bounded.
func (a *admission) admitTCP(addr netip.Addr) (*ticket, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.byAddress[addr]; a.handshakingTCP >= a.limits.HandshakesTCP || s != nil && s.handshakingTCP >= a.limits.HandshakesTCPPerAddress {
		return nil, errHandshakes
	}
	s, err := a.place(addr)
	if err != nil {
		return nil, err
	}
	a.handshakingTCP++
	s.handshakingTCP++
	return a.issue(addr, func() { a.handshakingTCP--; s.handshakingTCP-- }), nil
}

// place counts a connection of the address. It is called under mu.
func (a *admission) place(addr netip.Addr) (*share, error) {
	if a.open >= a.limits.Connections {
		return nil, errFull
	}
	s := a.byAddress[addr]
	if s == nil {
		s = &share{}
		a.byAddress[addr] = s
	}
	if s.open >= a.limits.ConnectionsPerAddress {
		return nil, errFullAddress
	}
	a.open++
	s.open++
	return s, nil
}

// issue makes the ticket of a place; shaken is called under mu when the handshake ends.
func (a *admission) issue(addr netip.Addr, shaken func()) *ticket {
	t := &ticket{a: a, addr: addr, endHandshake: sync.OnceFunc(shaken)}
	// The handshake ends by itself before; this is for one that is dropped
	// without its context ending.
	t.overdue = time.AfterFunc(2*handshakeTimeout, t.release)
	return t
}

// A ticket is one connection's place.
type ticket struct {
	a       *admission
	addr    netip.Addr
	overdue *time.Timer

	endHandshake func() // guarded by a.mu
	released     bool   // guarded by a.mu
}

// shaken says that the handshake is done.
func (t *ticket) shaken() {
	t.overdue.Stop()
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	t.endHandshake()
}

// release gives the place back; only the first call counts.
func (t *ticket) release() {
	t.overdue.Stop()
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
