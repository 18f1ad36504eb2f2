package admission

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// udp and tcp are addresses of the same hosts.
func udp(host byte) net.Addr { return &net.UDPAddr{IP: net.IPv4(192, 0, 2, host), Port: int(host)} }
func tcp(host byte) net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, host), Port: int(host)} }

// counted is what is counted, and of how many addresses.
func counted(a *Admission) (all share, addresses int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all, len(a.byAddress)
}

func empty(t *testing.T, a *Admission) {
	t.Helper()
	if all, addresses := counted(a); all != (share{}) || addresses != 0 {
		t.Errorf("%+v of %d addresses after all ended", all, addresses)
	}
}

// TestTCP: handshakes are bounded, for each address and for all, until they end.
func TestTCP(t *testing.T) {
	t.Parallel()
	a := New(Limits{Connections: 9, ConnectionsPerAddress: 3, TCP: Handshakes{All: 3, PerAddress: 2}})
	must := func(from net.Addr) *Ticket {
		t.Helper()
		ticket, err := a.TCP(from)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	first, second := must(tcp(1)), must(tcp(1))
	if _, err := a.TCP(tcp(1)); !errors.Is(err, ErrHandshakes) {
		t.Errorf("third handshake of an address: %v", err)
	}
	third := must(tcp(2))
	if _, err := a.TCP(tcp(3)); !errors.Is(err, ErrHandshakes) {
		t.Errorf("fourth handshake: %v", err)
	}
	first.Shaken()
	fourth := must(tcp(1))
	second.Shaken()
	if _, err := a.TCP(tcp(1)); !errors.Is(err, ErrFullAddress) {
		t.Errorf("fourth connection of an address: %v", err)
	}
	for _, ticket := range []*Ticket{first, second, third, fourth} {
		ticket.Release()
		ticket.Release()
	}
	empty(t, a)
}

// TestUDP: connections are counted from their first packet to their end, once each.
func TestUDP(t *testing.T) {
	t.Parallel()
	a := New(Limits{Connections: 3, ConnectionsPerAddress: 2, Unproven: 3, UnprovenPerAddress: 1})
	must := func(from net.Addr) *Ticket {
		t.Helper()
		ticket, err := a.UDP(from, true)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	first := must(udp(1))
	if !a.MustProve(udp(1)) || a.MustProve(udp(2)) {
		t.Error("an address with a handshake under way must prove itself, another need not")
	}
	second := must(udp(1))
	if _, err := a.UDP(udp(1), true); !errors.Is(err, ErrFullAddress) {
		t.Errorf("third connection of an address: %v", err)
	}
	third := must(udp(2))
	if !a.MustProve(udp(3)) {
		t.Error("under load everyone must prove themselves")
	}
	if _, err := a.UDP(udp(2), true); !errors.Is(err, ErrFull) {
		t.Errorf("fourth connection: %v", err)
	}
	first.Shaken()
	first.Release()
	first.Release()
	if want := (share{open: 2, udp: 2}); a.all != want {
		t.Errorf("%+v after one ended, want %+v", a.all, want)
	}
	second.Release()
	third.Release()
	empty(t, a)
}

// TestShare: whatever one address asks for, others get in.
func TestShare(t *testing.T) {
	t.Parallel()
	a := New(Limits{Connections: 100, ConnectionsPerAddress: 50, Unproven: 10, UnprovenPerAddress: 5, UDP: Handshakes{All: 40, PerAddress: 20}})
	admitted := 0
	for range 10_000 {
		if _, err := a.UDP(udp(1), true); err == nil {
			admitted++
		}
	}
	if admitted != 20 || !a.MustProve(udp(2)) {
		t.Errorf("%d handshakes from one address, want 20, behind which all prove themselves", admitted)
	}
	if _, err := a.UDP(udp(2), true); err != nil {
		t.Errorf("another address: %v", err)
	}
}

// TestContext: a place lasts as long as the context, and its handshake until it is
// said to be done.
func TestContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := New(Limits{Connections: 1, ConnectionsPerAddress: 1, Unproven: 1, UnprovenPerAddress: 1})
		whole, end := context.WithCancel(t.Context())
		ctx, err := a.Context(whole, udp(1), true)
		if err != nil {
			t.Fatal(err)
		}
		Shaken(t.Context()) // another one's, which has no ticket
		if _, err := a.Context(t.Context(), udp(2), true); !errors.Is(err, ErrFull) || !a.MustProve(udp(2)) {
			t.Errorf("one beyond: %v", err)
		}
		if Shaken(ctx); a.MustProve(udp(1)) {
			t.Error("the handshake is done, and counts")
		}
		end()
		synctest.Wait()
		empty(t, a)
	})
}

// TestOverdue: a handshake of which nothing is heard any more gives its place back, and
// a connection keeps it.
func TestOverdue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := New(Limits{Connections: 9, ConnectionsPerAddress: 9, HandshakeTimeout: time.Second})
		lost, err := a.UDP(udp(1), true)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := a.TCP(tcp(2))
		if err != nil {
			t.Fatal(err)
		}
		kept.Shaken()
		time.Sleep(3 * time.Second)
		if all, addresses := counted(a); all != (share{open: 1}) || addresses != 1 {
			t.Errorf("%+v of %d addresses, want one that is open", all, addresses)
		}
		lost.Release() // too late to give it back twice
		kept.Release()
		empty(t, a)
	})
}

// TestCounts: whatever comes and goes in whatever order, no bound is passed, and all
// places come back.
func TestCounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{Connections: 6, ConnectionsPerAddress: 4, UDP: Handshakes{All: 4, PerAddress: 3}, TCP: Handshakes{All: 3, PerAddress: 2}}
		a := New(limits)
		var tickets []*Ticket
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			host := byte(rapid.IntRange(1, 3).Draw(t, "host"))
			switch what := rapid.IntRange(0, 3).Draw(t, "what"); {
			case what == 0:
				if ticket, err := a.UDP(udp(host), true); err == nil {
					tickets = append(tickets, ticket)
				}
			case what == 1:
				if ticket, err := a.TCP(tcp(host)); err == nil {
					tickets = append(tickets, ticket)
				}
			case len(tickets) == 0:
			case what == 2:
				tickets[rapid.IntRange(0, len(tickets)-1).Draw(t, "shaken")].Shaken()
			default:
				tickets[rapid.IntRange(0, len(tickets)-1).Draw(t, "released")].Release()
			}
			var sum share
			for addr, s := range a.byAddress {
				if s.open == 0 || s.open > 4 || s.udp > 3 || s.tcp > 2 || s.udp+s.tcp > s.open {
					t.Fatalf("%s has %+v", addr, *s)
				}
				sum.open, sum.udp, sum.tcp = sum.open+s.open, sum.udp+s.udp, sum.tcp+s.tcp
			}
			if sum != a.all || sum.open > 6 || sum.udp > 4 || sum.tcp > 3 {
				t.Fatalf("%+v in all, %+v of the addresses", a.all, sum)
			}
		}
		for _, ticket := range tickets {
			ticket.Release()
		}
		if a.all != (share{}) || len(a.byAddress) != 0 {
			t.Fatalf("%+v of %d addresses after all ended", a.all, len(a.byAddress))
		}
	})
}

// TestOverflow: who is one too many is admitted to be told so, some at a time, and takes
// nobody's place.
func TestOverflow(t *testing.T) {
	t.Parallel()
	a := New(Limits{Connections: 2, ConnectionsPerAddress: 2, Overflow: 8})
	var all []*Ticket
	come := func(from net.Addr, over, refused error) *Ticket {
		t.Helper()
		ticket, err := a.UDP(from, true)
		if !errors.Is(err, refused) {
			t.Fatalf("%v, want %v", err, refused)
		}
		if err == nil {
			all = append(all, ticket)
			if !errors.Is(ticket.Over(), over) {
				t.Fatalf("%v, want %v", ticket.Over(), over)
			}
		}
		return ticket
	}
	first := come(udp(1), nil, nil)
	come(udp(1), nil, nil)
	for host := byte(1); host <= 4; host++ { // a quarter from each address
		come(udp(host), ErrFull, nil)
		come(udp(host), ErrFull, nil)
		come(udp(host), nil, ErrFull)
	}
	come(udp(5), nil, ErrFull)
	first.Release()
	come(udp(5), nil, nil)
	all[2].Serve() // in the place of one that ends
	all[2].Serve()
	if all[2].Over() != nil || a.all.open != 3 || a.all.over != 7 {
		t.Errorf("%+v, want one more that is served", a.all)
	}
	come(udp(1), ErrFull, nil)
	if n := a.Full(); n != 14 {
		t.Errorf("%d connections were too many, want 14", n)
	}
	for _, ticket := range all {
		ticket.Release()
	}
	empty(t, a)
}
