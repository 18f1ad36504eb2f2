package mux

import (
	"context"
	"os"
	"sync"
	"time"
)

const (
	// laneBytesMax is what one stream may have in yamux's queue, in which nothing is
	// overtaken, and yieldBytesMax what all streams that yield may have there together.
	laneBytesMax  = 16 << 10
	yieldBytesMax = 2 * messageBytes
	// partBytes is what fits into one message.
	partBytes = messageBytes - frameHeaderBytes
	// stallAfter is how long a stream that yields may have its turn and send nothing,
	// since its window is full, until the next one looks for itself.
	stallAfter = 20 * time.Millisecond
)

// An outbox keeps yamux's queue short, so that what is urgent never waits behind much.
type outbox struct {
	mu    sync.Mutex
	lanes map[uint32]*lane // of streams that are open, or have bytes in the queue
	// urgent and yielding are the bytes in the queue, of streams of either kind. They
	// are counted behind the moment in which they get there, and may be below 0.
	urgent, yielding int
	turn             chan struct{} // holds one token: another one that yields may look
}

// A lane is the way of one stream to the queue.
type lane struct {
	id      uint32
	bytes   int // in the queue
	yields  bool
	writing bool // bytes are on their way into the queue
	done    bool // nothing comes any more
	moved   chan struct{}
	until   time.Time // of writing; the zero time is for ever
}

func newOutbox() *outbox {
	return &outbox{lanes: map[uint32]*lane{}, turn: make(chan struct{}, 1)}
}

func (o *outbox) open(id uint32) *lane {
	l := &lane{id: id, moved: make(chan struct{}, 1)}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lanes[id] = l
	return l
}

// yield has the lane go behind all that do not.
func (o *outbox) yield(l *lane) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !l.yields {
		o.urgent, o.yielding = o.urgent-l.bytes, o.yielding+l.bytes
		l.yields = true
	}
}

// deadline is when those who wait for room give up.
func (o *outbox) deadline(l *lane, t time.Time) {
	o.mu.Lock()
	l.until = t
	o.mu.Unlock()
	offer(l.moved)
}

// enter returns when the lane may write one part, of which put is to be told, or with
// why it may not.
func (o *outbox) enter(ctx context.Context, l *lane) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		o.mu.Lock()
		yields, until := l.yields, l.until
		late := !until.IsZero() && !time.Now().Before(until)
		l.writing = !late && o.room(l)
		enters := l.writing
		o.mu.Unlock()
		switch {
		case late:
			return os.ErrDeadlineExceeded
		case enters:
			return nil
		}
		o.await(ctx, l, yields, until)
	}
}

// room reports whether the lane may write.
func (o *outbox) room(l *lane) bool {
	if l.yields && (o.urgent > 0 || o.yielding >= yieldBytesMax) {
		return false
	}
	return l.bytes < laneBytesMax
}

// await returns when there may be room, or when it is time to look.
func (o *outbox) await(ctx context.Context, l *lane, yields bool, until time.Time) {
	var due <-chan time.Time
	var turn <-chan struct{}
	if !until.IsZero() {
		due = time.After(time.Until(until))
	}
	if yields {
		turn = o.turn
		if until.IsZero() || time.Until(until) > stallAfter {
			due = time.After(stallAfter)
		}
	}
	select {
	case <-turn:
	case <-l.moved:
	case <-due:
	case <-ctx.Done():
	}
}

// put counts what has got into the queue.
func (o *outbox) put(l *lane, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.writing = false
	o.count(l, bytes)
}

// sent counts what has left the queue.
func (o *outbox) sent(id uint32, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lanes[id]
	if l == nil {
		return
	}
	o.count(l, -bytes)
	offer(l.moved)
	if l.yields || o.urgent <= 0 {
		offer(o.turn)
	}
}

func (o *outbox) count(l *lane, bytes int) {
	l.bytes += bytes
	if l.yields {
		o.yielding += bytes
	} else {
		o.urgent += bytes
	}
	o.forget(l)
}

// close says that nothing comes on the lane any more.
func (o *outbox) close(l *lane) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.done = true
	o.forget(l)
}

// forget drops a lane that is over, once its last bytes are sent.
func (o *outbox) forget(l *lane) {
	if l.done && !l.writing && l.bytes == 0 && o.lanes[l.id] == l {
		delete(o.lanes, l.id)
	}
}

// offer leaves a token where there is none.
func offer(tokens chan<- struct{}) {
	select {
	case tokens <- struct{}{}:
	default:
	}
}
