package admission

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func turnsOf(atOnce int) *Admission {
	return New(Limits{Connections: 99, ConnectionsPerAddress: 99, AtOnce: atOnce, Unproven: 99, UnprovenPerAddress: 99})
}

// dials returns a function that gives each dial of a host a port of its own.
func dials() func(host byte) net.Addr {
	port := 0
	return func(host byte) net.Addr {
		port++
		return &net.UDPAddr{IP: net.IPv4(192, 0, 2, host), Port: port}
	}
}

// TestAway: all packets of who was sent away are, until it may come again, and none of
// others.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, dial := turnsOf(1), dials()
		first, err := a.UDP(dial(1), true)
		if err != nil {
			t.Fatal(err)
		}
		crowd := dial(1)
		_, err = a.UDP(crowd, true)
		first.Release()
		if _, again := a.UDP(crowd, true); !errors.Is(err, ErrCrowd) || !errors.Is(again, ErrCrowd) || a.Refused() != 1 {
			t.Errorf("%v, and then %v: sent away %d times, want once", err, again, a.Refused())
		}
		other, err := a.UDP(dial(1), true)
		if err != nil {
			t.Fatal(err)
		}
		other.Release()
		time.Sleep(2 * awayTime)
		back, err := a.UDP(crowd, true)
		if err != nil {
			t.Fatalf("after a pause: %v", err)
		}
		back.Release()
		var w away
		for range awayMax {
			w.add(portOf(dial(1)), time.Now())
		}
		if n := len(w.recent) + len(w.older); n > awayMax {
			t.Errorf("%d are remembered, want %d at most", n, awayMax)
		}
	})
}

// TestTurns: handshakes over QUIC are bounded, an address leaves a quarter of the turns to
// others, and who may have forged its address takes half of them at most.
func TestTurns(t *testing.T) {
	a, dial := turnsOf(4), dials()
	var tickets []*Ticket
	for i, step := range []struct {
		host         byte
		proven       bool
		prove, taken bool
	}{
		{1, false, false, true},
		{1, false, false, true},
		{1, false, true, false}, // half is taken
		{2, false, true, false},
		{1, true, true, true},
		{1, true, false, false}, // the last quarter is for others
		{2, true, true, true},
		{2, true, false, false},
		{3, true, false, false}, // nothing is left
	} {
		from := dial(step.host)
		if got := a.MustProve(from); got != step.prove {
			t.Errorf("step %d: has to prove its address: %t, want %t", i, got, step.prove)
		}
		ticket, err := a.UDP(from, step.proven)
		if (err == nil) != step.taken || err != nil && !errors.Is(err, ErrCrowd) {
			t.Errorf("step %d: %v, want a turn: %t", i, err, step.taken)
		}
		if err == nil {
			tickets = append(tickets, ticket)
		}
	}
	if a.Refused() != 5 {
		t.Errorf("%d were sent away, want 5", a.Refused())
	}
	tickets[0].Shaken()
	if ticket, err := a.UDP(dial(3), true); err != nil {
		t.Errorf("after a handshake is done: %v", err)
	} else {
		tickets = append(tickets, ticket)
	}
	for _, ticket := range tickets {
		ticket.Release()
	}
	empty(t, a)
}

// TestTurnsOfLongLines: a handshake that waits for its peer keeps nobody from a turn, and
// counts as one under way all the same.
func TestTurnsOfLongLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, dial := turnsOf(1), dials()
		slow, err := a.UDP(dial(1), true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.UDP(dial(2), true); !errors.Is(err, ErrCrowd) {
			t.Errorf("beside another one: %v", err)
		}
		<-time.After(turnTime)
		synctest.Wait()
		quick, err := a.UDP(dial(2), true)
		if err != nil {
			t.Fatalf("behind one that waits: %v", err)
		}
		if all, _ := counted(a); all != (share{open: 2, udp: 2, turns: 1}) {
			t.Errorf("%+v, want one turn", all)
		}
		slow.Release()
		if all, _ := counted(a); all != (share{open: 1, udp: 1, turns: 1}) {
			t.Errorf("%+v after the slow one has ended, want the turn of the other", all)
		}
		quick.Release()
		empty(t, a)
	})
}

// TestQueue: who waits gets its turn when another ends, or takes too long, and is told
// when it does not come.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1)
		begun := time.Now()
		over, ok := q.Wait(t.Context())
		if !ok || time.Since(begun) != 0 {
			t.Fatal("no turn where nobody else is")
		}
		next, ok := q.Wait(t.Context())
		if took := time.Since(begun); !ok || took != turnTime {
			t.Errorf("behind one that takes long: %t after %s", ok, took)
		}
		over() // has ended
		ctx, cancel := context.WithTimeout(t.Context(), turnTime/2)
		defer cancel()
		if _, ok := q.Wait(ctx); ok {
			t.Error("a turn that is another's")
		}
		next()
		next()
		q <- struct{}{} // for ever
		if _, ok := q.Wait(t.Context()); ok {
			t.Error("a second turn at once")
		}
		if took := time.Since(begun); took != turnTime+turnTime/2+queueTime {
			t.Errorf("waited until %s", took)
		}
	})
}

// TestQueueOfOneWay: however many come by one way and say nothing, who comes by another
// has its turn at once, and those of the one way have no more than their own queue has.
func TestQueueOfOneWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const comers = 100
		q, own := NewQueue(4), NewQueue(3)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var comes sync.WaitGroup
		for range comers {
			comes.Go(func() {
				for ctx.Err() == nil { // who is refused comes again
					_, _ = q.WaitWithin(ctx, own)
				}
			})
		}
		for range 20 {
			synctest.Wait()
			if n := len(q); n != cap(own) {
				t.Fatalf("one way has %d of %d turns", n, cap(q))
			}
			began := time.Now()
			over, ok := q.WaitWithin(ctx, NewQueue(3))
			if took := time.Since(began); !ok || took != 0 {
				t.Fatalf("by another way: %t, after %s", ok, took)
			}
			over()
			<-time.After(turnTime)
		}
		cancel()
		comes.Wait()
		<-time.After(turnTime)
		synctest.Wait()
		if len(q)+len(own) != 0 {
			t.Errorf("%d and %d turns were never given back", len(q), len(own))
		}
	})
}
