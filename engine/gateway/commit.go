package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"quorate/engine/orchestrator"
	"quorate/eventlog"
)

// A batch is what one session wants committed.
type batch struct {
	session *session
	events  []eventlog.Event
	bytes   int
	urgent  bool // something waits for it: it is more than ends of jobs
}

// committer puts the reports of all sessions into the log, everything that
// waits in one append; while that is under way the next one gathers. Ends of jobs,
// which only tell how far an attempt is, gather for longer. So the number of syncs
// does not grow with the number of agents.
type committer struct {
	o      *orchestrator.Orchestrator
	logger *slog.Logger

	mu      sync.Mutex
	queue   []batch
	bytes   int
	held    map[*session]int // bytes of each session, queued and under way
	more    chan struct{}    // holds one: the queue has something
	hurry   bool             // what is queued is not to wait for company
	rush    chan struct{}    // holds one: hurry was set
	changed chan struct{}    // closed and replaced when something was committed
	over    bool
}

func newCommitter(o *orchestrator.Orchestrator, logger *slog.Logger) *committer {
	return &committer{
		o: o, logger: logger, held: map[*session]int{},
		more: make(chan struct{}, 1), rush: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

var errStopped = errors.New("the orchestrator stops")

// add queues a batch as soon as there is room for it. One that fits nowhere is
// taken when its session, and the queue, hold nothing else.
func (c *committer) add(ctx context.Context, b batch) error {
	b.bytes += len(b.events) // so that none weighs nothing
	for {
		c.mu.Lock()
		own := c.held[b.session]
		room := (own == 0 || own+b.bytes <= pendingBytesMax) && (c.bytes == 0 || c.bytes+b.bytes <= queuedBytesMax)
		if c.over {
			c.mu.Unlock()
			return errStopped
		}
		if room {
			c.queue = append(c.queue, b)
			c.bytes += b.bytes
			c.held[b.session] = own + b.bytes
			if b.urgent || c.bytes > lingerBytesMax {
				c.hasten()
			}
			c.mu.Unlock()
			leave(c.more)
			return nil
		}
		c.hasten()
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hasten ends the wait for company. The lock is held.
func (c *committer) hasten() {
	c.hurry = true
	leave(c.rush)
}

// leave puts a token into a channel that holds one.
func leave(tokens chan<- struct{}) {
	select {
	case tokens <- struct{}{}:
	default:
	}
}

// drained waits until nothing of the session is on its way any more.
func (c *committer) drained(s *session) {
	for {
		c.mu.Lock()
		rest, over, changed := c.held[s], c.over, c.changed
		if rest > 0 {
			c.hasten()
		}
		c.mu.Unlock()
		if rest == 0 || over {
			return
		}
		<-changed
	}
}

// run commits until ctx ends.
func (c *committer) run(ctx context.Context) {
	defer c.finish()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.more:
		}
		for c.linger(ctx, last) {
			taken := c.take()
			if len(taken) == 0 {
				break
			}
			if !c.commit(ctx, taken) {
				return
			}
			last = time.Now()
			c.release(taken)
		}
	}
}

// linger waits, where nobody does for what is queued, for what else may come: until
// the next of the moments that all gateways keep, so that what they have comes to the
// leader together. What comes after a pause goes at once. It is false when ctx ends.
func (c *committer) linger(ctx context.Context, last time.Time) bool {
	rest := time.Until(last.Truncate(commitLinger).Add(commitLinger))
	if rest <= 0 || !c.patient() {
		return ctx.Err() == nil
	}
	due := time.NewTimer(min(rest, commitLinger)) // the clock may have been set back
	defer due.Stop()
	for c.patient() {
		select {
		case <-due.C:
			return true
		case <-c.rush:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// patient reports whether something is queued for which nobody waits.
func (c *committer) patient() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) > 0 && !c.hurry
}

// take takes batches off the queue, in their order.
func (c *committer) take() []batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, events, bytes := 0, 0, 0
	for ; n < len(c.queue); n++ {
		events += len(c.queue[n].events)
		bytes += c.queue[n].bytes
		if n > 0 && (events > commitEventsMax || bytes > commitBytesMax) {
			break
		}
	}
	taken := c.queue[:n:n]
	c.queue = c.queue[n:]
	c.hurry = c.hurry && len(c.queue) > 0
	return taken
}

// commit appends until the log has taken the events. An append whose outcome is
// not known is repeated: the reducer drops reports that it has seen.
func (c *committer) commit(ctx context.Context, taken []batch) bool {
	var events []eventlog.Event
	for i := range taken {
		events = append(events, taken[i].events...)
	}
	for len(events) > 0 {
		part := events[:min(len(events), eventlog.BatchEntriesMax)]
		_, _, err := c.o.Propose(ctx, part...)
		if err == nil {
			events = events[len(part):]
			continue
		}
		if ctx.Err() != nil {
			return false
		}
		c.logger.Warn("the log did not take agents' reports; trying again", "events", len(part), "error", err)
		select {
		case <-time.After(retryDelay):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// release gives room back and wakes the senders: they acknowledge.
func (c *committer) release(taken []batch) {
	c.mu.Lock()
	for i := range taken {
		c.bytes -= taken[i].bytes
		s := taken[i].session
		if c.held[s] -= taken[i].bytes; c.held[s] == 0 {
			delete(c.held, s)
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	for i := range taken {
		taken[i].session.nudge()
	}
}

// finish lets go of everyone who waits.
func (c *committer) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	close(c.changed)
	c.changed = make(chan struct{})
}
