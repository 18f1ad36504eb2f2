package gateway

import (
	"container/heap"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// legMax is how long a transfer may go on while one waits of a site that has fewer, also
// where handing over leaves its own with one less than the other.
const legMax = 5 * time.Second

// turns are the transfers that may be under way at once, shared by sites: an address is
// one, be it an agent's, a relay's or that of many agents behind one NAT. Those that a
// slow site has taken while nobody else wanted them are handed over, between two pieces
// of a file, to those that wait with fewer.
type turns struct {
	mu      sync.Mutex
	free    int
	sites   map[netip.Addr]*turnSite // that hold turns, or wait for one
	waiting waitingSites
	asked   uint64 // how often a turn was waited for
}

// A turnSite is what one site has of the turns.
type turnSite struct {
	held  int
	queue []*turnTicket
	at    int // in waiting
}

// A turnTicket is one transfer that waits; granted is closed when it has its turn.
type turnTicket struct {
	number  uint64
	granted chan struct{}
}

func newTurns(n int) *turns { return &turns{free: n, sites: map[netip.Addr]*turnSite{}} }

// take waits for a turn, of which done is to be told.
func (t *turns) take(ctx context.Context, addr netip.Addr) error {
	ticket := t.ask(addr)
	select {
	case <-ticket.granted:
		return nil
	case <-ctx.Done():
		t.leave(addr, ticket)
		return ctx.Err()
	}
}

// ask queues for a turn.
func (t *turns) ask(addr netip.Addr) *turnTicket {
	t.mu.Lock()
	defer t.mu.Unlock()
	site := t.sites[addr]
	if site == nil {
		site = new(turnSite)
		t.sites[addr] = site
	}
	t.asked++
	ticket := &turnTicket{number: t.asked, granted: make(chan struct{})}
	site.queue = append(site.queue, ticket)
	if len(site.queue) == 1 {
		heap.Push(&t.waiting, site)
	}
	t.grant()
	return ticket
}

// leave takes a ticket out of the queue, or gives its turn back.
func (t *turns) leave(addr netip.Addr, ticket *turnTicket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	site := t.sites[addr]
	select {
	case <-ticket.granted:
		t.giveBack(addr, site)
		return
	default:
	}
	site.queue = slices.DeleteFunc(site.queue, func(other *turnTicket) bool { return other == ticket })
	if len(site.queue) == 0 {
		heap.Remove(&t.waiting, site.at)
	} else {
		heap.Fix(&t.waiting, site.at)
	}
	t.forget(addr, site)
}

// done gives a turn back.
func (t *turns) done(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.giveBack(addr, t.sites[addr])
}

func (t *turns) giveBack(addr netip.Addr, site *turnSite) {
	site.held--
	t.free++
	if len(site.queue) > 0 {
		heap.Fix(&t.waiting, site.at)
	}
	t.grant()
	t.forget(addr, site)
}

// forget drops a site that neither holds a turn nor waits for one.
func (t *turns) forget(addr netip.Addr, site *turnSite) {
	if site.held == 0 && len(site.queue) == 0 {
		delete(t.sites, addr)
	}
}

// grant gives what is free to the sites that have least.
func (t *turns) grant() {
	for t.free > 0 && len(t.waiting) > 0 {
		site := t.waiting[0]
		close(site.queue[0].granted)
		site.queue = site.queue[1:]
		site.held++
		t.free--
		if len(site.queue) == 0 {
			heap.Pop(&t.waiting)
		} else {
			heap.Fix(&t.waiting, 0)
		}
	}
}

// over reports whether a transfer of a site that has been under way for so long is to
// hand its turn over.
func (t *turns) over(addr netip.Addr, lasts time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		return false
	}
	held, least := t.sites[addr].held, t.waiting[0].held
	return held > least+1 || held > least && lasts >= legMax
}

// inTurns calls leg again and again, each time with a turn of the site, until it has
// done all that there is to do. It returns early when over says so.
func (t *turns) inTurns(ctx context.Context, addr netip.Addr, leg func(over func() bool) (all bool, err error)) error {
	for {
		if err := t.take(ctx, addr); err != nil {
			return err
		}
		began := time.Now()
		all, err := leg(func() bool { return t.over(addr, time.Since(began)) })
		t.done(addr)
		if all || err != nil {
			return err
		}
	}
}

// waitingSites is a heap: those that hold least come first, then those that have waited
// longest.
type waitingSites []*turnSite

func (w waitingSites) Len() int { return len(w) }
func (w waitingSites) Less(i, j int) bool {
	if w[i].held != w[j].held {
		return w[i].held < w[j].held
	}
	return w[i].queue[0].number < w[j].queue[0].number
}

func (w waitingSites) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].at, w[j].at = i, j
}

// Push implements [heap.Interface].
func (w *waitingSites) Push(x any) {
	site := x.(*turnSite)
	site.at = len(*w)
	*w = append(*w, site)
}

// Pop implements [heap.Interface].
func (w *waitingSites) Pop() any {
	last := len(*w) - 1
	site := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return site
}
