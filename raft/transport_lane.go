package raft

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"github.com/lni/dragonboat/v4/raftpb"
)

const (
	// inlineBytesMax is up to what size entries are sent by who has them to send:
	// it is a few packets, and waiting for a goroutine would take longer.
	inlineBytesMax = 64 << 10
	// laneBytesMax bounds the entries that wait. More are dropped: Raft finds the
	// gap and sends them again.
	laneBytesMax = 64 << 20
)

// lanes are the two ways to a replica. Entries may be many megabytes, which take
// longer on a slow line than a follower waits before it calls an election. So
// they have a connection of their own, and heartbeats, votes and answers never
// wait behind them. Within a lane nothing overtakes: to Raft, entries that do are
// a gap.
type lanes struct {
	control *link
	entries lane
}

func newLanes(t *transport, replica uint64) *lanes {
	log := t.log.With("replica", replica)
	return &lanes{
		control: &link{t: t, replica: replica, log: log, level: slog.LevelWarn},
		// What the other says is enough to read.
		entries: lane{link: link{t: t, replica: replica, log: log.With("lane", "entries"), level: slog.LevelDebug}},
	}
}

// awake is called when the replica has shown that it is there.
func (l *lanes) awake() {
	l.control.awake()
	l.entries.link.awake()
}

func (l *lanes) send(ctx context.Context, batch raftpb.MessageBatch) {
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
		if entries(m) {
			batch.Requests = append(batch.Requests, m)
		} else {
			control.Requests = append(control.Requests, m)
		}
	}
	if len(control.Requests) > 0 {
		l.control.send(ctx, control)
	}
	l.entries.post(ctx, batch)
}

// A lane sends batches in their order without making who posts them wait.
type lane struct {
	link link

	mu     sync.Mutex
	busy   bool // somebody sends, and will send what is queued
	queue  []raftpb.MessageBatch
	queued int // bytes
}

// post sends the batch, or queues or drops it. The lane keeps it.
func (l *lane) post(ctx context.Context, batch raftpb.MessageBatch) {
	bytes := bytesOf(&batch)
	l.mu.Lock()
	if l.busy || bytes > inlineBytesMax {
		if l.queued == 0 || l.queued+bytes <= laneBytesMax {
			l.queue = append(l.queue, batch)
			l.queued += bytes
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
	l.link.send(ctx, batch)
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
		l.link.send(ctx, batch)
		l.mu.Lock()
		l.queued -= bytesOf(&batch)
		l.mu.Unlock()
	}
}

func bytesOf(batch *raftpb.MessageBatch) int {
	bytes := 0
	for i := range batch.Requests {
		for j := range batch.Requests[i].Entries {
			bytes += len(batch.Requests[i].Entries[j].Cmd)
		}
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
