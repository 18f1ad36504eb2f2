package raft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"

	"quorate/raft/frame"
	"quorate/raft/port"
)

const (
	// frameTimeMin and frameRateMin, in bytes a second, bound a frame on its way,
	// once it has begun: who is slower is given up, with the memory that it holds.
	frameTimeMin = 10 * time.Second
	frameRateMin = 64 << 10
	// chunkTime bounds what a receiver may take to store a chunk of a snapshot.
	chunkTime = time.Minute
	// chunksInFlight is how many chunks are sent ahead of what was stored.
	chunksInFlight = 3
	chunkStored    = 1

	addressPrefix = "replica-"
)

// frameTime is how long a frame of so many bytes may take.
func frameTime(bytes int) time.Duration {
	return frameTimeMin + time.Duration(bytes)*time.Second/frameRateMin
}

// portTransports makes transports that carry Raft's messages and snapshots through
// the port; it is the library's factory. The port's owner serves it, and closes it
// after the node.
type portTransports struct {
	port  *port.Port
	signs *signs
	haste *haste
}

// Validate implements config.TransportFactory; addresses are symbols.
func (*portTransports) Validate(address string) bool {
	_, err := replicaAt(address)
	return err == nil
}

// Create implements config.TransportFactory.
func (f *portTransports) Create(host config.NodeHostConfig, messages raftio.MessageHandler, chunks raftio.ChunkHandler) raftio.ITransport {
	t := &transport{
		port: f.port, log: f.port.Logger(), messages: messages, chunks: chunks, peers: map[uint64]*lanes{},
		haste: f.haste,
	}
	t.self, t.refused = replicaAt(host.RaftAddress)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	f.signs.of(t)
	return t
}

// replicaAt is the number in a symbol such as replica-3.
func replicaAt(address string) (uint64, error) {
	text, ok := strings.CutPrefix(address, addressPrefix)
	replica, err := strconv.ParseUint(text, 10, 64)
	if !ok || err != nil || replica == 0 || addressOf(replica) != address {
		return 0, fmt.Errorf("address %q is no replica's", address)
	}
	return replica, nil
}

// transport is the library's raftio.ITransport over a port. To each replica that
// is spoken to there is one connection for messages, which that replica only
// reads, and one for each snapshot.
type transport struct {
	port     *port.Port
	log      *slog.Logger
	self     uint64
	refused  error // why it will not start
	messages raftio.MessageHandler
	chunks   raftio.ChunkHandler
	haste    *haste // nil hurries never

	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	peers   map[uint64]*lanes
	running sync.WaitGroup // handlers and links; added to under mu while not closed
}

// Name implements raftio.ITransport.
func (*transport) Name() string { return "quorate" }

// Start implements raftio.ITransport.
func (t *transport) Start() error {
	if t.refused != nil {
		return t.refused
	}
	t.port.Handle(port.Raft, t.counted(t.serveMessages))
	t.port.Handle(port.Snapshot, t.counted(t.serveSnapshot))
	return nil
}

// Close implements raftio.ITransport. When it returns, nothing is handed to the
// library any more.
func (t *transport) Close() error {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.mu.Unlock()
	if first {
		t.port.Handle(port.Raft, nil)
		t.port.Handle(port.Snapshot, nil)
	}
	t.cancel()
	t.running.Wait()
	return nil
}

// begin counts something that runs until its done is called.
func (t *transport) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.running.Add(1)
	return true
}

// counted makes a port's handler of one that ends with the transport.
func (t *transport) counted(serve func(conn net.Conn, from uint64) error) port.Handler {
	return func(_ context.Context, conn net.Conn, from uint64) {
		if !t.begin() {
			return
		}
		defer t.running.Done()
		defer context.AfterFunc(t.ctx, func() { abort(conn) })()
		log := t.log.With("replica", from)
		if from == t.self {
			log.Error("raft connection refused: its peer has this replica's own number; is a copy of this data directory in use?")
			return
		}
		err := serve(conn, from)
		if t.ctx.Err() != nil {
			return
		}
		if errors.Is(err, frame.ErrMalformed) {
			log.Error("raft connection ended: its peer breaks the protocol", "err", err)
		} else {
			log.Debug("raft connection ended", "err", err)
		}
	}
}

// link is what comes on a connection from the replica.
func (t *transport) link(from uint64) frame.Link {
	return frame.Link{From: from, To: t.self, Shard: controlShard}
}

// reader reads frames, each within its time.
func reader(conn net.Conn) *frame.Reader {
	return frame.NewReader(conn,
		func(bytes int) error { return conn.SetReadDeadline(time.Now().Add(frameTime(bytes))) },
		func() error { return conn.SetReadDeadline(time.Time{}) })
}

func (t *transport) serveMessages(conn net.Conn, from uint64) error {
	// It is there, so what waits to dial it need not wait.
	t.to(from).awake()
	defer t.haste.suspect(t, from)
	link, frames, source := t.link(from), reader(conn), addressOf(from)
	for {
		content, err := frames.Next()
		if err != nil {
			return err
		}
		batch, err := frame.Messages(content, link)
		if err != nil {
			return err
		}
		for i := range batch.Requests {
			if batch.Requests[i].Type == raftpb.ReplicateResp {
				t.to(from).entries.answered()
				break
			}
		}
		batch.SourceAddress = source
		t.messages(batch)
	}
}

// serveSnapshot stores chunks, and answers each so that its sender knows.
func (t *transport) serveSnapshot(conn net.Conn, from uint64) error {
	link, frames := t.link(from), reader(conn)
	for {
		content, err := frames.Next()
		if err != nil {
			return err
		}
		chunk, err := frame.ReadChunk(content, link)
		if err != nil {
			return err
		}
		if err := t.store(func() bool { return t.chunks(chunk) }); err != nil {
			return fmt.Errorf("chunk %d of the snapshot of %d: %w", chunk.ChunkId, chunk.Index, err)
		}
		if err := conn.SetWriteDeadline(time.Now().Add(frameTimeMin)); err != nil {
			return err
		}
		if _, err := conn.Write([]byte{chunkStored}); err != nil {
			return err
		}
	}
}

// store hands a chunk to the library. It panics on a full or broken disk, with
// what it stored so far removed; the snapshot then comes again.
func (t *transport) store(add func() bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it cannot be stored: %v", p)
			t.log.Error("snapshot", "err", err)
		}
	}()
	if !add() {
		return errors.New("it does not belong to a snapshot that is wanted")
	}
	return nil
}

// GetConnection implements raftio.ITransport. It returns at once: the connection
// is made, and made again, by what is sent.
func (t *transport) GetConnection(ctx context.Context, target string) (raftio.IConnection, error) {
	replica, err := replicaAt(target)
	if err != nil {
		return nil, err
	}
	return &sender{lanes: t.to(replica), ctx: ctx}, nil
}

// to returns the lanes to a replica.
func (t *transport) to(replica uint64) *lanes {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.peers[replica]
	if l == nil {
		l = newLanes(t, replica)
		t.peers[replica] = l
	}
	return l
}

// GetSnapshotConnection implements raftio.ITransport.
func (t *transport) GetSnapshotConnection(ctx context.Context, target string) (raftio.ISnapshotConnection, error) {
	replica, err := replicaAt(target)
	if err != nil {
		return nil, err
	}
	conn, err := t.port.Dial(ctx, replica, port.Snapshot)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { abort(conn) })
	return &snapshotSender{conn: conn, stop: stop}, nil
}
