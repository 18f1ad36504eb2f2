package nodeagent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

const (
	// neighbourSteady tells a connection for notices that was lost from one that never held.
	neighbourSteady = 5 * time.Second
	// neighbourPulse is how often a relay is asked whether it is there while something
	// is expected of it, and neighbourSilence when it is given up: one that was killed
	// and started again does not say so.
	neighbourPulse   = time.Second
	neighbourSilence = 3 * time.Second
	// watchedMax bounds what is watched on a connection, of which the relay keeps no
	// more; what has a greater number waits for its turn. watchedSpare is how much of
	// it may be over until the relay is told afresh.
	watchedMax   = 4096
	watchedSpare = 512
	// announcementsMax bounds what waits to be written: who is slower than that gets a
	// new connection, on which all is said that counts.
	announcementsMax = 8192
	// announcedFirstMax bounds what is said first, with room for what follows at once.
	announcedFirstMax = announcementsMax / 2
)

// errSilentRelay says that a relay which should have answered has not.
var errSilentRelay = errors.New("the relay is silent")

// A hotline is a stream of notices to a relay.
type hotline struct {
	neighbours *neighbours
	stream     stream
	wake       chan struct{} // holds one token when there may be something to write

	mu      sync.Mutex
	waiting []wire.Notice // to be announced
	over    bool          // too much waits
	asked   time.Time     // when the oldest ping went that has no answer; zero without one
	told    bool          // something went that the relay may not have got
	spent   []uint64      // attempts whose notices came that nothing waits for

	// watched is the writer's: what the relay was told of, and false where its notice is
	// spent.
	watched map[uint64]bool
}

func newHotline(n *neighbours, s stream) *hotline {
	return &hotline{neighbours: n, stream: s, wake: make(chan struct{}, 1), watched: map[uint64]bool{}}
}

// announce queues notices.
func (h *hotline) announce(notices []wire.Notice) {
	h.mu.Lock()
	if len(h.waiting)+len(notices) > announcementsMax {
		h.over = true
	} else {
		h.waiting = append(h.waiting, notices...)
	}
	h.mu.Unlock()
	offer(h.wake)
}

// run reads and writes until the connection or ctx ends.
func (h *hotline) run(ctx context.Context, site *link) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { site.close("done") })
	defer stop()
	var reading sync.WaitGroup
	defer reading.Wait()
	defer site.close("done")
	reading.Go(func() { cancel(h.read()) })
	cancel(h.write(ctx, site))
	return context.Cause(ctx)
}

func (h *hotline) read() error {
	in := bufio.NewReader(h.stream)
	for {
		m, err := wire.ReadFrom(in, wire.Orchestrator)
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.asked = time.Time{}
		h.mu.Unlock()
		switch m := m.(type) {
		case *wire.Pong:
		case *wire.Noticed:
			spent, err := h.neighbours.heard(m.Notices)
			if err != nil {
				return err
			}
			h.mu.Lock()
			h.spent = append(h.spent, spent...)
			h.mu.Unlock()
			offer(h.wake) // something may wait for one of them again
		default:
			return fmt.Errorf("%w: %T on a stream of notices", wire.ErrMalformed, m)
		}
	}
}

func (h *hotline) write(ctx context.Context, site *link) error {
	w := wire.NewWriter(h.stream)
	if err := h.watch(w, true); err != nil {
		return err
	}
	pulse := time.NewTicker(neighbourPulse)
	defer pulse.Stop()
	for {
		if err := h.gather(w); err != nil {
			return err
		}
		_ = h.stream.SetWriteDeadline(time.Now().Add(neighbourSilence))
		if err := w.Flush(); err != nil {
			return err
		}
		select {
		case <-h.wake:
		case <-pulse.C:
			if err := h.pulse(w, time.Now()); err != nil {
				return err
			}
		case <-site.done():
			return fmt.Errorf("the connection is gone: %w", site.cause())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pulse asks whether the relay is there, where anything is expected of it.
func (h *hotline) pulse(w *wire.Writer, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.asked.IsZero() {
		if now.Sub(h.asked) >= neighbourSilence {
			return errSilentRelay
		}
		return nil
	}
	if !h.told && len(h.awaited()) == 0 {
		return nil
	}
	h.asked, h.told = now, false
	return w.Add(wire.NewPing())
}

// gather adds what there is to say.
func (h *hotline) gather(w *wire.Writer) error {
	h.mu.Lock()
	notices, over := h.waiting, h.over
	h.waiting = nil
	h.told = h.told || len(notices) > 0
	h.mu.Unlock()
	if over {
		return errors.New("the relay takes notices too slowly")
	}
	for len(notices) > 0 {
		n, bytes := 0, 0
		for n < len(notices) && bytes < wire.NoticesBytesTarget {
			bytes += notices[n].Bytes()
			n++
		}
		if err := w.Add(&wire.Announce{Notices: notices[:n]}); err != nil {
			return err
		}
		notices = notices[n:]
	}
	return h.watch(w, false)
}

// awaited is what attempts here wait for elsewhere, as much as may be watched.
func (h *hotline) awaited() (after []wire.Predecessor) {
	h.neighbours.agent.journal.View(func(s *journal.State) { after = s.Elsewhere() })
	return after[:min(len(after), watchedMax)]
}

// watch adds what attempts wait for of which the relay was not told. Where much of what
// it was told is over it is told all of it afresh.
func (h *hotline) watch(w *wire.Writer, afresh bool) error {
	h.mu.Lock()
	spent := h.spent
	h.spent = nil
	h.mu.Unlock()
	for _, attempt := range spent {
		h.watched[attempt] = false
	}
	after := h.awaited()
	fresh := 0
	for _, p := range after {
		if !h.watched[p.Attempt] {
			fresh++
		}
	}
	over := len(h.watched) - (len(after) - fresh)
	if afresh = afresh || over > watchedSpare || over > 0 && len(h.watched)+fresh > watchedMax; afresh {
		clear(h.watched)
	}
	var of []wire.Watched
	for _, p := range after {
		if !h.watched[p.Attempt] {
			h.watched[p.Attempt] = true
			of = append(of, wire.Watched{Key: p.Elsewhere.Key, Attempt: p.Attempt})
		}
	}
	for afresh || len(of) > 0 {
		n := min(len(of), wire.WatchedMax)
		if err := w.Add(&wire.Watch{Afresh: afresh, Of: of[:n]}); err != nil {
			return err
		}
		afresh, of = false, of[n:]
	}
	return nil
}
