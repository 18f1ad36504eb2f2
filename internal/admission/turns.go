package admission

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A crowd that comes at once is not to keep the processors from what else there is to
// do. So the handshakes that are worked on at a time are few: over UDP who finds no turn
// is refused before any of the costly arithmetic, and comes again; over TCP, where
// waiting costs no more than a socket, it waits in a [Queue].

const (
	// turnTime is how long a handshake is taken to be work: behind it, it waits for a
	// long line or a slow peer, and who is next gets its turn.
	turnTime = 100 * time.Millisecond
	// queueTime is how long one waits for a turn: for less than peers wait for an answer.
	queueTime = 4 * time.Second
	// awayTime is for how long at least who was refused stays away; agents do for longer.
	// It is the time in which the rest of their first packets may arrive.
	awayTime = 250 * time.Millisecond
	awayMax  = 1 << 14 // of which each takes some 100 bytes
)

// greets reports whether there is a turn for a handshake over UDP, and remembers where
// there is none. It is called under mu.
func (a *Admission) greets(from net.Addr, proven bool) bool {
	peer, now := portOf(from), time.Now()
	if a.away.has(peer, now) {
		return false
	}
	if s := a.shareOf(peer.Addr()); a.crowded(s) || !proven && a.unproven(s) {
		a.away.add(peer, now)
		return false
	}
	return true
}

// crowded reports whether there is no turn for an address now. The last quarter of the
// turns is for addresses that have none, and half of them is the most that may be taken
// from addresses which are forged. It is called under mu.
func (a *Admission) crowded(s *share) bool {
	free := a.limits.AtOnce - a.all.turns
	if s.turns > 0 {
		free -= a.limits.AtOnce / 4
	}
	return a.limits.AtOnce > 0 && free <= 0
}

// A turn is a handshake that is worked on.
type turn struct {
	over  func() // only the first call counts
	timer *time.Timer
}

// begin has a ticket's handshake take a turn. It is called under mu.
func (a *Admission) begin(t *Ticket) {
	a.all.turns++
	t.share.turns++
	over := sync.OnceFunc(func() {
		a.all.turns--
		t.share.turns--
	})
	t.turn = &turn{over, time.AfterFunc(turnTime, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		over()
	})}
}

// stop is called under mu.
func (t *turn) stop() {
	if t != nil {
		t.timer.Stop()
		t.over()
	}
}

// Refused is how many peers were refused since there was no turn for them.
func (a *Admission) Refused() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.away.count
}

// away are the peers that were refused a moment ago. A handshake begins with more than
// one packet: the second one of who was refused by the first would take a turn in vain.
type away struct {
	count         uint64
	since         time.Time
	recent, older map[netip.AddrPort]struct{}
}

func (w *away) add(peer netip.AddrPort, now time.Time) {
	w.count++
	w.age(now)
	if len(w.recent) < awayMax/2 {
		w.recent[peer] = struct{}{}
	}
}

func (w *away) has(peer netip.AddrPort, now time.Time) bool {
	w.age(now)
	_, recent := w.recent[peer]
	_, older := w.older[peer]
	return recent || older
}

// age forgets who was refused before.
func (w *away) age(now time.Time) {
	passed := now.Sub(w.since)
	if passed < awayTime && w.recent != nil {
		return
	}
	if w.older = w.recent; passed >= 2*awayTime {
		w.older = nil
	}
	w.recent, w.since = map[netip.AddrPort]struct{}{}, now
}

// portOf is an address with its port.
func portOf(addr net.Addr) netip.AddrPort {
	if udp, ok := addr.(*net.UDPAddr); ok {
		return netip.AddrPortFrom(AddressOf(addr), udp.AddrPort().Port())
	}
	return netip.AddrPort{}
}

// A Queue has handshakes wait for their turn, first come, first served.
type Queue chan struct{}

// NewQueue returns one in which so many are worked on at a time.
func NewQueue(atOnce int) Queue { return make(Queue, atOnce) }

// Wait waits for a turn until the context ends or for 4 s, and reports whether it has
// come. It ends by over, which may be called more than once, or after 100 ms.
func (q Queue) Wait(ctx context.Context) (over func(), ok bool) { return waitAll(ctx, q) }

// WaitWithin is [Queue.Wait] for one of many peers that come by the same way, whose
// queue is own: only who has a turn there waits for one here, so that no way can take
// more turns than own has.
func (q Queue) WaitWithin(ctx context.Context, own Queue) (over func(), ok bool) {
	return waitAll(ctx, own, q)
}

// waitAll waits for a turn in one queue after the other, and holds them together.
func waitAll(ctx context.Context, queues ...Queue) (over func(), ok bool) {
	patience := time.NewTimer(queueTime)
	defer patience.Stop()
	for i, q := range queues {
		select {
		case q <- struct{}{}:
			continue
		case <-patience.C:
		case <-ctx.Done():
		}
		leaveAll(queues[:i])
		return nil, false
	}
	end := sync.OnceFunc(func() { leaveAll(queues) })
	timer := time.AfterFunc(turnTime, end)
	return func() {
		timer.Stop()
		end()
	}, true
}

func leaveAll(queues []Queue) {
	for _, q := range queues {
		<-q
	}
}
