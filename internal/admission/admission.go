// Package admission counts the connections of a port from their first packet on, and
// says which may begin: nobody can use up another's share. It knows nothing of what
// goes over them.
package admission

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits bound what a port takes at a time.
type Limits struct {
	// Connections in total and from one address.
	Connections, ConnectionsPerAddress int
	// Overflow are connections beyond these that are admitted to be told why they are not
	// served (see [Over]), a quarter of them at most from one address.
	Overflow int
	// Unproven and UnprovenPerAddress are the handshakes over UDP from which on an
	// address has to prove itself first, in total and for one address. It is a round
	// trip, since a first packet's address may be forged.
	Unproven, UnprovenPerAddress int
	// UDP and TCP bound the handshakes under way over either.
	UDP, TCP Handshakes
	// AtOnce bounds the handshakes over UDP that are worked on at a time; 0 does not.
	AtOnce int
	// HandshakeTimeout is how long a handshake may take. After twice that the place of
	// one is given back whose end nobody tells of; 0 is never.
	HandshakeTimeout time.Duration
}

// Handshakes bound those under way, in total and from one address; 0 leaves it to the
// bound on connections.
type Handshakes struct{ All, PerAddress int }

func (l Handshakes) full(all, ofAddress int) bool {
	return l.All > 0 && all >= l.All || l.PerAddress > 0 && ofAddress >= l.PerAddress
}

// Why a connection is not admitted.
var (
	ErrFull        = errors.New("too many connections")
	ErrFullAddress = errors.New("too many connections from this address")
	ErrHandshakes  = errors.New("too many handshakes")
	ErrCrowd       = errors.New("too many handshakes at once")
)

// An Admission counts the connections of one port.
type Admission struct {
	limits Limits

	mu        sync.Mutex
	all       share
	byAddress map[netip.Addr]*share
	away      away
	full      uint64 // connections that were too many, by the bounds on those
}

// A share is what is open, what is there to be told why it is not, whose handshakes are
// under way, and which of those over UDP are worked on.
type share struct{ open, over, udp, tcp, turns int }

// New returns one that has admitted nobody yet.
func New(limits Limits) *Admission {
	return &Admission{limits: limits, byAddress: map[netip.Addr]*share{}}
}

// MustProve reports whether a new connection from the address has to show first that it
// comes from there.
func (a *Admission) MustProve(from net.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.shareOf(AddressOf(from))
	return !a.crowded(s) && a.unproven(s) // who is refused anyway need not prove anything
}

// unproven is [Admission.MustProve] by an address's share. It is called under mu.
func (a *Admission) unproven(s *share) bool {
	return a.all.udp >= a.limits.Unproven || s.udp >= a.limits.UnprovenPerAddress ||
		a.limits.AtOnce > 0 && 2*a.all.turns >= a.limits.AtOnce
}

// shareOf is an address's share. It is called under mu.
func (a *Admission) shareOf(addr netip.Addr) *share {
	if s := a.byAddress[addr]; s != nil {
		return s
	}
	return &share{}
}

// UDP takes a place for a connection whose handshake begins, from an address that has
// shown that it is its own or not.
func (a *Admission) UDP(from net.Addr, proven bool) (*Ticket, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.limits.AtOnce > 0 && !a.greets(from, proven) {
		return nil, ErrCrowd
	}
	t, err := a.admit(from, a.limits.UDP, func(s *share) *int { return &s.udp })
	if err == nil && a.limits.AtOnce > 0 {
		a.begin(t)
	}
	return t, err
}

// TCP takes a place for a connection over TCP, whose address is proven. There is
// nothing to make others wait with: how many may shake hands has to be bounded.
func (a *Admission) TCP(from net.Addr) (*Ticket, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.admit(from, a.limits.TCP, func(s *share) *int { return &s.tcp })
}

// admit is called under mu.
func (a *Admission) admit(from net.Addr, limit Handshakes, shaking func(*share) *int) (*Ticket, error) {
	addr := AddressOf(from)
	s := a.shareOf(addr)
	if limit.full(*shaking(&a.all), *shaking(s)) {
		return nil, ErrHandshakes
	}
	t := &Ticket{a: a, addr: addr, share: s}
	switch {
	case a.all.open >= a.limits.Connections:
		t.over = ErrFull
	case s.open >= a.limits.ConnectionsPerAddress:
		t.over = ErrFullAddress
	}
	if t.over != nil {
		a.full++
	}
	if t.over != nil && (a.all.over >= a.limits.Overflow || s.over >= max(1, a.limits.Overflow/4)) {
		return nil, t.over
	}
	a.byAddress[addr] = s
	for _, of := range []*share{&a.all, s} {
		*t.counted(of)++
		*shaking(of)++
	}
	t.end = sync.OnceFunc(func() {
		*shaking(&a.all)--
		*shaking(s)--
	})
	if a.limits.HandshakeTimeout > 0 {
		t.overdue = time.AfterFunc(2*a.limits.HandshakeTimeout, t.Release)
	}
	return t, nil
}

// A Ticket is one connection's place.
type Ticket struct {
	a    *Admission
	addr netip.Addr

	// Guarded by a.mu:
	over     error
	share    *share
	overdue  *time.Timer // for a handshake that ends without a word, or nil
	end      func()      // of the handshake; only the first call counts
	turn     *turn       // of one over UDP, or nil
	released bool
}

// Over is why the connection is not to be served, [ErrFull] or [ErrFullAddress], or nil.
func (t *Ticket) Over() error {
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	return t.over
}

// Serve says that the connection is to be served all the same: it takes the place of one
// that is about to end.
func (t *Ticket) Serve() {
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	if t.over == nil || t.released {
		return
	}
	t.over = nil
	for _, of := range []*share{&t.a.all, t.share} {
		of.over--
		of.open++
	}
}

// counted is where a share counts the connection.
func (t *Ticket) counted(s *share) *int {
	if t.over != nil {
		return &s.over
	}
	return &s.open
}

func (t *Ticket) endHandshake() {
	t.end()
	t.turn.stop()
	if t.overdue != nil {
		t.overdue.Stop()
	}
}

// Shaken says that the handshake is done.
func (t *Ticket) Shaken() {
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	t.endHandshake()
}

// Release gives the place back; only the first call counts.
func (t *Ticket) Release() {
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	if t.released {
		return
	}
	t.endHandshake()
	t.released = true
	*t.counted(&t.a.all)--
	*t.counted(t.share)--
	if t.share.open+t.share.over == 0 {
		delete(t.a.byAddress, t.addr)
	}
}

type ticketKey struct{}

// Context takes a place over UDP for the connection that the context is of. It is given
// back when the context ends.
func (a *Admission) Context(ctx context.Context, from net.Addr, proven bool) (context.Context, error) {
	t, err := a.UDP(from, proven)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, t.Release)
	return context.WithValue(ctx, ticketKey{}, t), nil
}

// Shaken says that the handshake is done of the connection that the context is of, where
// it comes from [Admission.Context].
func Shaken(ctx context.Context) {
	if t := Of(ctx); t != nil {
		t.Shaken()
	}
}

// Full is how many connections were too many, by the bounds on those.
func (a *Admission) Full() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.full
}

// Of is the ticket of the connection that the context is of, where it comes from
// [Admission.Context], or nil.
func Of(ctx context.Context) *Ticket {
	t, _ := ctx.Value(ticketKey{}).(*Ticket)
	return t
}

// AddressOf is an address without its port, and IPv4 where it is that in IPv6; the
// invalid one where it has none.
func AddressOf(addr net.Addr) netip.Addr {
	switch a := addr.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
