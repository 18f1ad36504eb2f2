package raft

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/raftpb"
)

const (
	// inlineBytesMax is up to what size entries are sent by who has them to send:
	// it is a few packets, and waiting for a goroutine would take longer.
	inlineBytesMax = 64 << 10
	// laneBytesMax bounds the entries that wait. More are dropped: Raft finds the
	// gap and sends them again.
	laneBytesMax = 64 << 20
	// answerTimeMin and answerRate, in bytes a second, are how long a follower may
	// take to answer large entries until they are sent again.
	answerTimeMin = time.Second
	answerRate    = 4 << 20
)

// lanes are the two ways to a replica. Entries may be many megabytes, which take
// longer on a slow line than a follower waits before it calls an election. So
// they have a connection of their own, and heartbeats, votes and answers never
// wait behind them. Within a lane nothing overtakes: to Raft, entries that do are
// a gap.
type lanes struct {
	control *link
	entries lane
	sign    sign
}

func newLanes(t *transport, replica uint64) *lanes {
	log := t.log.With("replica", replica)
	l := &lanes{
		control: &link{t: t, replica: replica, log: log, level: slog.LevelWarn},
		// What the other says is enough to read.
		entries: lane{link: link{t: t, replica: replica, log: log.With("lane", "entries"), level: slog.LevelDebug}},
	}
	l.entries.link.down = l.entries.answered
	return l
}

// awake is called when the replica has shown that it is there.
func (l *lanes) awake() {
	l.control.awake()
	l.entries.link.awake()
}

func (l *lanes) send(ctx context.Context, batch raftpb.MessageBatch) {
	l.sign.note(batch)
	entries := func(m raftpb.Message) bool { return m.Type == raftpb.Replicate || m.Type == raftpb.Propose }
	first := slices.IndexFunc(batch.Requests, entries)
	if first < 0 {
		l.control.send(ctx, batch)
		return
	}
	all := batch.Requests
	control := batch
	control.Requests = nil
	batch.Requests = make([]raftpb.Message, 0, len(all)-first) // the library uses its own again
	for _, m := range all {
		switch {
		case !entries(m):
			control.Requests = append(control.Requests, m)
		case !l.entries.repeats(&m, time.Now()):
			batch.Requests = append(batch.Requests, m)
		}
	}
	if len(control.Requests) > 0 {
		l.control.send(ctx, control)
	}
	if len(batch.Requests) > 0 {
		l.entries.post(ctx, batch)
	}
}

// A lane sends batches in their order without making who posts them wait.
type lane struct {
	link link

	mu     sync.Mutex
	busy   bool // somebody sends, and will send what is queued
	queue  []raftpb.MessageBatch
	queued int // bytes
	// large are the large entries that were posted last and are without an answer.
	large struct {
		term, after uint64
		until       time.Time // zero where there are none
	}
}

// repeats reports whether entries are not to be posted because they, or the first
// of them, are on their way: until a follower has answered where it stands, the
// library sends it everything it may lack with each heartbeat.
func (l *lane) repeats(m *raftpb.Message, now time.Time) bool {
	bytes := bytesOfEntries(m.Entries)
	if m.Type != raftpb.Replicate || bytes <= inlineBytesMax {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.large.term == m.Term && l.large.after == m.LogIndex && now.Before(l.large.until) {
		return true
	}
	l.large.term, l.large.after = m.Term, m.LogIndex
	l.large.until = now.Add(answerTimeMin + time.Duration(bytes)*time.Second/answerRate)
	return false
}

// answered is called when the replica has said where it stands, or nobody knows
// what became of what was sent.
func (l *lane) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.large.until = time.Time{}
}

// post sends the batch, or queues or drops it. The lane keeps it.
func (l *lane) post(ctx context.Context, batch raftpb.MessageBatch) {
	bytes := bytesOf(&batch)
	l.mu.Lock()
	if l.busy || bytes > inlineBytesMax {
		if l.queued == 0 || l.queued+bytes <= laneBytesMax {
			l.queue = append(l.queue, batch)
			l.queued += bytes
		} else {
			l.large.until = time.Time{}
		}
		if !l.busy && l.link.t.begin() {
			l.busy = true
			go func() {
				defer l.link.t.running.Done()
				l.drain(ctx)
			}()
		}
		l.mu.Unlock()
		return
	}
	l.busy = true
	l.mu.Unlock()
	l.transmit(ctx, batch)
	l.mu.Lock()
	waiting := len(l.queue) > 0 // from another caller
	l.busy = waiting
	l.mu.Unlock()
	if waiting {
		l.drain(ctx)
	}
}

// drain sends what is queued. The caller has set busy.
func (l *lane) drain(ctx context.Context) {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.queue, l.busy = nil, false
			l.mu.Unlock()
			return
		}
		batch := l.queue[0]
		l.queue[0] = raftpb.MessageBatch{}
		l.queue = l.queue[1:]
		l.mu.Unlock()
		l.transmit(ctx, batch)
		l.mu.Lock()
		l.queued -= bytesOf(&batch)
		l.mu.Unlock()
	}
}

func (l *lane) transmit(ctx context.Context, batch raftpb.MessageBatch) {
	if !l.link.send(ctx, batch) {
		l.answered()
	}
}

func bytesOf(batch *raftpb.MessageBatch) int {
	bytes := 0
	for i := range batch.Requests {
		bytes += bytesOfEntries(batch.Requests[i].Entries)
	}
	return bytes
}

func bytesOfEntries(entries []raftpb.Entry) int {
	bytes := 0
	for i := range entries {
		bytes += len(entries[i].Cmd)
	}
	return bytes
}

// A sender is the library's raftio.IConnection to one replica.
type sender struct {
	lanes *lanes
	ctx   context.Context // of the library's transport; ends when it stops
}

// SendMessageBatch implements raftio.IConnection.
func (s *sender) SendMessageBatch(batch raftpb.MessageBatch) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	s.lanes.send(s.ctx, batch)
	return nil
}

// Close implements raftio.IConnection. The connections stay.
func (s *sender) Close() {}
