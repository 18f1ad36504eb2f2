package gateway

import (
	"net/netip"
	"testing"
	"time"
)

// Handshakes over TCP are bounded, for each address and for all, until they end.
func TestAdmissionTCP(t *testing.T) {
	one, two, three := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	a := newAdmission(Limits{Connections: 9, ConnectionsPerAddress: 3, HandshakesTCP: 3, HandshakesTCPPerAddress: 2})
	must := func(addr netip.Addr) *ticket {
		t.Helper()
		ticket, err := a.admitTCP(addr)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	first, second := must(one), must(one)
	if _, err := a.admitTCP(one); err != errHandshakes {
		t.Errorf("third handshake of an address: %v", err)
	}
	third := must(two)
	if _, err := a.admitTCP(three); err != errHandshakes {
		t.Errorf("fourth handshake: %v", err)
	}
	first.shaken()
	fourth := must(one)
	second.shaken()
	if _, err := a.admitTCP(one); err != errFullAddress {
		t.Errorf("fourth connection of an address: %v", err)
	}
	for _, ticket := range []*ticket{first, second, third, fourth} {
		ticket.release()
		ticket.release()
	}
	if a.open != 0 || a.handshakingTCP != 0 || len(a.byAddress) != 0 {
		t.Errorf("%d open, %d handshaking, %d addresses after all ended", a.open, a.handshakingTCP, len(a.byAddress))
	}
}

// Connections are counted from their first packet to their end, once each.
func TestAdmission(t *testing.T) {
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	a := newAdmission(Limits{Connections: 3, ConnectionsPerAddress: 2, HandshakesUnproven: 3, HandshakesUnprovenPerAddress: 1})
	must := func(addr netip.Addr) *ticket {
		t.Helper()
		ticket, err := a.admit(addr)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	first := must(one)
	if !a.mustProve(one) || a.mustProve(two) {
		t.Error("an address with a handshake under way must prove itself, another need not")
	}
	second := must(one)
	if _, err := a.admit(one); err != errFullAddress {
		t.Errorf("third connection of an address: %v", err)
	}
	third := must(two)
	if !a.mustProve(netip.MustParseAddr("192.0.2.3")) {
		t.Error("under load everyone must prove themselves")
	}
	if _, err := a.admit(two); err != errFull {
		t.Errorf("fourth connection: %v", err)
	}
	first.shaken()
	first.release()
	first.release()
	if a.open != 2 || a.handshaking != 2 {
		t.Errorf("%d open, %d handshaking after one ended", a.open, a.handshaking)
	}
	second.release()
	third.release()
	if a.open != 0 || a.handshaking != 0 || len(a.byAddress) != 0 {
		t.Errorf("%d open, %d handshaking, %d addresses after all ended", a.open, a.handshaking, len(a.byAddress))
	}
}

func TestThrottle(t *testing.T) {
	one, two, three := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	now := time.Unix(1000, 0)
	th := newThrottle(2, 3)
	for i, step := range []struct {
		addr  netip.Addr
		after time.Duration
		want  bool
	}{
		{one, 0, true}, {one, 0, true}, {one, 0, false}, // its own share
		{two, 0, true}, {three, 0, false}, // everyone's
		{one, time.Minute, true}, // another minute
		{one, -time.Hour, true},  // a clock that was put back locks nobody out
	} {
		now = now.Add(step.after)
		if got := th.allow(step.addr, now); got != step.want {
			t.Errorf("step %d: allowed %t, want %t", i, got, step.want)
		}
	}
	th.forgive(one)
	th.forgive(one) // there is nothing more to take back
	for i, want := range []bool{true, true, false} {
		if got := th.allow(one, now); got != want {
			t.Errorf("try %d after one was forgiven: allowed %t, want %t", i, got, want)
		}
	}
}
