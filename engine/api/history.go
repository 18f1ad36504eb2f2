package api

import (
	"slices"
	"sync"

	"quorate/engine"
	"quorate/eventlog"
)

// historyEventsMax bounds the events of runs that are kept in memory. What is
// older is told again from the log.
const historyEventsMax = 20_000

// history keeps what was told of the newest runs, so that any number of watchers
// costs one telling.
type history struct {
	narrator *Narrator // guarded by the state's lock
	max      int

	mu    sync.Mutex
	runs  map[uint64]*chronicle
	total int
}

// A chronicle is what was told of a run.
type chronicle struct {
	since  uint64 // the events of later records are all here
	events []RunEvent
	ended  bool
	news   chan struct{} // closed at the next event; nil while nobody waits
}

func newHistory(max int) *history { return &history{max: max, runs: map[uint64]*chronicle{}} }

// begin is called with the state that the first observed record is folded into.
func (h *history) begin(s *engine.State) {
	h.narrator = NewNarrator(s)
	for id := range h.narrator.runs {
		h.runs[id] = &chronicle{since: s.Index}
	}
}

// observe is an [orchestrator.Observer].
func (h *history) observe(s *engine.State, rec *eventlog.Record, event eventlog.Event, void string) {
	events := h.narrator.Events(s, rec, event, void)
	if len(events) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range events {
		id := events[i].Run
		c := h.runs[id]
		if c == nil {
			c = &chronicle{since: rec.Index - 1}
			if events[i].Type == "run-started" {
				c.since = 0 // there is nothing before it
			}
			h.runs[id] = c
		}
		c.events = append(c.events, events[i])
		c.ended = c.ended || events[i].Type == "run-ended"
		h.total++
		if c.news != nil {
			close(c.news)
			c.news = nil
		}
	}
	for h.total > h.max && h.forget() {
	}
}

// forget drops the oldest ended run, or the older half of the longest one.
func (h *history) forget() bool {
	var oldest, longest uint64
	for id, c := range h.runs {
		if c.ended && c.news == nil && (oldest == 0 || id < oldest) {
			oldest = id
		}
		if l := h.runs[longest]; l == nil || len(c.events) > len(l.events) {
			longest = id
		}
	}
	if oldest != 0 {
		h.total -= len(h.runs[oldest].events)
		delete(h.runs, oldest)
		return true
	}
	c := h.runs[longest]
	if c == nil || len(c.events) < 2 {
		return false
	}
	c.since = c.events[len(c.events)/2].Seq
	cut := c.after(c.since)
	h.total -= cut
	c.events = slices.Clone(c.events[cut:])
	return true
}

// after returns the position of the first event of a record behind seq.
func (c *chronicle) after(seq uint64) int {
	at, _ := slices.BinarySearchFunc(c.events, seq+1, func(e RunEvent, seq uint64) int {
		switch {
		case e.Seq < seq:
			return -1
		case e.Seq > seq:
			return 1
		}
		return 0
	})
	for at > 0 && c.events[at-1].Seq > seq {
		at--
	}
	return at
}

// read returns events of a run behind a record, never a part of a record's. ok is
// false where they are not all here. With none, ended says that there will be
// none, and news is closed when there may be.
func (h *history) read(run, since uint64, max int) (events []RunEvent, ended bool, news <-chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.runs[run]
	if c == nil || since < c.since {
		return nil, false, nil, false
	}
	rest := c.events[c.after(since):]
	if len(rest) == 0 {
		if c.news == nil {
			c.news = make(chan struct{})
		}
		return nil, c.ended, c.news, true
	}
	n := min(max, len(rest))
	for n < len(rest) && rest[n].Seq == rest[n-1].Seq {
		n++
	}
	return slices.Clone(rest[:n]), false, nil, true
}

// covers reports whether read would answer.
func (h *history) covers(run, since uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.runs[run]
	return c != nil && since >= c.since
}
