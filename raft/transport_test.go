package raft

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"

	"quorate/internal/pki"
	"quorate/raft/frame"
	"quorate/raft/port"
)

// ports are the replicas' ports of one cluster, on loopback.
type ports struct {
	tb    testing.TB
	ca    *pki.CA
	ra    *pki.RaftCA
	books map[uint64]*port.Book
	ports map[uint64]*port.Port
}

func newPorts(tb testing.TB) *ports {
	tb.Helper()
	ca, err := pki.New()
	if err != nil {
		tb.Fatal(err)
	}
	ra, err := pki.NewRaft(ca.ClusterID())
	if err != nil {
		tb.Fatal(err)
	}
	return &ports{tb, ca, ra, map[uint64]*port.Book{}, map[uint64]*port.Port{}}
}

// open opens and serves a replica's port, at a new address that all others learn.
func (p *ports) open(replica uint64) *port.Port {
	p.tb.Helper()
	server, client, err := pki.PeerTLS(p.ca, p.ra, replica, nil)
	if err != nil {
		p.tb.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.tb.Fatal(err)
	}
	if p.books[replica] == nil {
		p.books[replica], _ = port.OpenBook("") // reads no file
	}
	q := port.New(port.Config{Listener: listener, Server: server, Client: client, PeerOf: pki.ReplicaOf, Book: p.books[replica]})
	p.ports[replica] = q
	for _, from := range p.books {
		for to, other := range p.ports {
			if err := from.Set(map[uint64]string{to: other.Addr().String()}); err != nil {
				p.tb.Fatal(err)
			}
		}
	}
	done := make(chan error, 1)
	go func() { done <- q.Serve(context.Background()) }()
	p.tb.Cleanup(func() {
		if err := q.Close(); err != nil {
			p.tb.Error(err)
		}
		if err := <-done; err != nil && !errors.Is(err, port.ErrClosed) { // it may have been closed before it served
			p.tb.Error(err)
		}
	})
	return q
}

// An end is a transport whose library is the test.
type end struct {
	*transport
	received chan raftpb.MessageBatch
	chunk    atomic.Pointer[func(raftpb.Chunk) bool]
}

func (p *ports) end(replica uint64) *end {
	p.tb.Helper()
	return p.endAt(replica, p.open(replica))
}

func (p *ports) endAt(replica uint64, q *port.Port) *end {
	p.tb.Helper()
	e := &end{received: make(chan raftpb.MessageBatch, 10000)}
	made := (&portTransports{port: q}).Create(config.NodeHostConfig{RaftAddress: addressOf(replica)},
		func(b raftpb.MessageBatch) { e.received <- b },
		func(c raftpb.Chunk) bool { return (*e.chunk.Load())(c) })
	if err := made.Start(); err != nil {
		p.tb.Fatal(err)
	}
	e.transport = made.(*transport)
	p.tb.Cleanup(func() {
		if err := e.Close(); err != nil {
			p.tb.Error(err)
		}
	})
	return e
}

func deadline(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testDeadline)
	tb.Cleanup(cancel)
	return ctx
}

func heartbeat(from, to, term uint64) raftpb.MessageBatch {
	return raftpb.MessageBatch{BinVer: raftio.TransportBinVersion, DeploymentId: 1,
		Requests: []raftpb.Message{{Type: raftpb.Heartbeat, From: from, To: to, ShardID: controlShard, Term: term}}}
}

func (e *end) connect(ctx context.Context, tb testing.TB, to uint64) raftio.IConnection {
	tb.Helper()
	c, err := e.GetConnection(ctx, addressOf(to))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// reach returns a connection that is up, on a machine as slow as may be.
func (e *end) reach(ctx context.Context, tb testing.TB, to uint64) raftio.IConnection {
	tb.Helper()
	for _, l := range []*link{e.to(to).control, &e.to(to).entries.link} {
		for l.connection(ctx) == nil {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				tb.Fatalf("replica %d cannot be reached", to)
			}
		}
	}
	return e.connect(ctx, tb, to)
}

func (e *end) next(ctx context.Context, tb testing.TB) raftpb.MessageBatch {
	tb.Helper()
	select {
	case b := <-e.received:
		return b
	case <-ctx.Done():
		tb.Fatal("nothing arrives")
		return raftpb.MessageBatch{}
	}
}

func TestTransportDelivers(t *testing.T) {
	ctx, p := deadline(t), newPorts(t)
	a, b := p.end(1), p.end(2)
	conn := a.reach(ctx, t, 2)
	for term := range uint64(100) {
		if err := conn.SendMessageBatch(heartbeat(1, 2, term)); err != nil {
			t.Fatal(err)
		}
		got := b.next(ctx, t)
		if got.SourceAddress != "replica-1" || got.BinVer != raftio.TransportBinVersion || got.Requests[0].Term != term {
			t.Fatalf("%+v", got)
		}
	}
	big := heartbeat(1, 2, 9)
	big.Requests[0].Type = raftpb.Replicate
	for i := range uint64(20) {
		big.Requests[0].Entries = append(big.Requests[0].Entries, raftpb.Entry{Term: 9, Index: 1 + i, Cmd: bytes.Repeat([]byte{byte(i)}, 1<<20)})
	}
	if err := conn.SendMessageBatch(big); err != nil {
		t.Fatal(err)
	}
	for i := uint64(0); i < 20; {
		for _, m := range b.next(ctx, t).Requests {
			for _, e := range m.Entries {
				if e.Index != i+1 || len(e.Cmd) != 1<<20 || e.Cmd[0] != byte(i) {
					t.Fatalf("entry %d of %d bytes, want %d", e.Index, len(e.Cmd), i+1)
				}
				i++
			}
		}
	}
}

// TestTransportFindsWhoMoved: a replica that comes back, at another address, is
// sent to again as soon as it has shown itself.
func TestTransportFindsWhoMoved(t *testing.T) {
	ctx, p := deadline(t), newPorts(t)
	a, b := p.end(1), p.end(2)
	conn := a.reach(ctx, t, 2)
	if err := conn.SendMessageBatch(heartbeat(1, 2, 1)); err != nil {
		t.Fatal(err)
	}
	b.next(ctx, t)
	if err := errors.Join(b.Close(), p.ports[2].Close()); err != nil {
		t.Fatal(err)
	}
	for range 20 { // nobody is there: never an error, which would silence the library
		if err := conn.SendMessageBatch(heartbeat(1, 2, 2)); err != nil {
			t.Fatal(err)
		}
	}
	b = p.end(2)
	back := b.reach(ctx, t, 1)
	if err := back.SendMessageBatch(heartbeat(2, 1, 3)); err != nil {
		t.Fatal(err)
	}
	a.next(ctx, t)
	// It is dialed before anybody has something to say, and what is said then
	// waits for that.
	l := a.to(2).control
	l.mu.Lock()
	if l.conn == nil && (l.attempt == nil || !l.attempt.hopeful) {
		t.Error("a replica that has shown itself is not dialed")
	}
	l.mu.Unlock()
	if err := a.reach(ctx, t, 2).SendMessageBatch(heartbeat(1, 2, 4)); err != nil {
		t.Fatal(err)
	}
	if got := b.next(ctx, t); got.Requests[0].Term != 4 {
		t.Errorf("the first that arrives is of term %d", got.Requests[0].Term)
	}
}

// TestTransportRefuses: a replica that is one by its certificate can neither
// speak for another nor harm by what it sends.
func TestTransportRefuses(t *testing.T) {
	ctx, p := deadline(t), newPorts(t)
	b, evil := p.end(2), p.open(3)
	var good []byte
	encode := func(batch raftpb.MessageBatch) (all []byte) {
		if err := new(frame.Encoder).Batch(batch, func(f []byte) error { all = append(all, f...); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	good = encode(heartbeat(3, 2, 7))
	shard := heartbeat(3, 2, 1)
	shard.Requests[0].ShardID = 2
	for name, bad := range map[string][]byte{
		"speaks for replica 1":  encode(heartbeat(1, 2, 1)),
		"speaks for nobody":     encode(heartbeat(0, 2, 1)),
		"speaks to replica 1":   encode(heartbeat(3, 1, 1)),
		"another shard":         encode(shard),
		"announces four GiB":    {0xff, 0xff, 0xff, 0xff, 1},
		"announces 17 MiB":      {1, 16, 0, 0},
		"announces nothing":     {0, 0, 0, 0},
		"the library's own":     append([]byte{0xae, 0x7d, 0, 100}, make([]byte, 100)...),
		"what nobody can parse": append([]byte{0, 0, 0, 5}, 1, 1, 0xff, 0xff, 0xff),
	} {
		conn, err := evil.Dial(ctx, 2, port.Raft)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(good); err != nil {
			t.Fatal(err)
		}
		if got := b.next(ctx, t); got.Requests[0].From != 3 {
			t.Errorf("%+v", got)
		}
		_, _ = conn.Write(bad) // may meet the end
		_ = conn.SetReadDeadline(time.Now().Add(testDeadline))
		var timeout net.Error
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: the connection goes on: %v", name, err)
		}
		conn.Close()
		select {
		case got := <-b.received:
			t.Errorf("%s: the library got %+v", name, got)
		default:
		}
	}
}

// TestTransportOwnNumber: a copy of this data directory does not speak to it.
func TestTransportOwnNumber(t *testing.T) {
	ctx, p := deadline(t), newPorts(t)
	p.end(2)
	copied := p.ports[2]
	conn, err := copied.Dial(ctx, 2, port.Raft)
	if err == nil {
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(testDeadline))
		_, err = conn.Read(make([]byte, 1))
	}
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the connection goes on: %v", err)
	}
}

// TestTransportHeaderAllocatesNothing: one header, of a size that is allowed, is
// no way to the memory that it announces (D5).
func TestTransportHeaderAllocatesNothing(t *testing.T) {
	ctx, p := deadline(t), newPorts(t)
	p.end(2)
	evil := p.open(3)
	const senders = 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range senders {
		conn, err := evil.Dial(ctx, 2, port.Raft)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, frame.BytesMax)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > senders*frame.BytesMax/4 {
		t.Errorf("%d headers allocated %d MiB", senders, grown>>20)
	}
}

// TestTransportSlowSender: a frame that has begun has to arrive, and between
// frames a connection may be silent for as long as it wants.
func TestTransportSlowSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		received := make(chan raftpb.MessageBatch, 1)
		tr := (&portTransports{port: port.New(port.Config{})}).Create(config.NodeHostConfig{RaftAddress: addressOf(2)},
			func(b raftpb.MessageBatch) { received <- b }, nil).(*transport)
		defer tr.Close()
		to := tr.to(1)
		to.control.attempt, to.entries.link.attempt = &attempt{}, &attempt{} // it dials nobody
		far, near := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- tr.serveMessages(near, 1) }()
		time.Sleep(time.Hour)
		if err := new(frame.Encoder).Batch(heartbeat(1, 2, 1), func(f []byte) error { _, err := far.Write(f); return err }); err != nil {
			t.Fatal(err)
		}
		<-received
		time.Sleep(time.Hour)
		began := time.Now()
		if _, err := far.Write([]byte{0, 0, 1, 0, 1}); err != nil { // one byte of 256
			t.Fatal(err)
		}
		var timeout net.Error
		if err := <-ended; !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(began); took < frameTimeMin || took > frameTimeMin+time.Second {
			t.Errorf("it ended after %v, want %v", took, frameTimeMin)
		}
		far.Close()
	})
	if all := frameTime(frame.BytesMax); all < 4*time.Minute || all > 5*time.Minute {
		t.Errorf("the largest frame may take %v", all)
	}
}

func TestTransportSnapshot(t *testing.T) {
	ctx, p := deadline(t), newPorts(t)
	a, b := p.end(1), p.end(2)
	chunk := func(id, count uint64) raftpb.Chunk {
		data := bytes.Repeat([]byte{byte(id)}, 2<<20)
		return raftpb.Chunk{From: 1, ReplicaID: 2, ShardID: controlShard, Index: 7, ChunkId: id, ChunkCount: count,
			Data: data, ChunkSize: uint64(len(data)), Filepath: "x", BinVer: raftio.TransportBinVersion}
	}
	for name, c := range map[string]struct {
		store  func(raftpb.Chunk) bool
		stored int32
	}{
		"stored":  {func(raftpb.Chunk) bool { return true }, 10},
		"refused": {func(c raftpb.Chunk) bool { return c.ChunkId < 5 }, 5},
		"panic": {func(c raftpb.Chunk) bool {
			if c.ChunkId == 5 {
				panic("disk is full")
			}
			return true
		}, 5},
	} {
		var stored atomic.Int32
		store := func(got raftpb.Chunk) bool {
			if want := chunk(got.ChunkId, 10); !bytes.Equal(got.Data, want.Data) || got.Filepath != "snapshot-0000000000000007.gbsnap" {
				t.Errorf("%s: chunk %d of %d bytes in %s", name, got.ChunkId, len(got.Data), got.Filepath)
			}
			ok := c.store(got)
			if ok {
				stored.Add(1)
			}
			return ok
		}
		b.chunk.Store(&store)
		conn, err := a.GetSnapshotConnection(ctx, addressOf(2))
		if err != nil {
			t.Fatal(err)
		}
		for id := uint64(0); id < 10 && err == nil; id++ {
			err = conn.SendChunk(chunk(id, 10))
		}
		conn.Close()
		// What the sender is told is what was stored, with the last chunk too.
		if stored.Load() != c.stored || (err == nil) != (c.stored == 10) {
			t.Errorf("%s: %d chunks stored, want %d; the sender was told %v", name, stored.Load(), c.stored, err)
		}
	}
	if _, err := a.GetSnapshotConnection(ctx, addressOf(9)); !errors.Is(err, port.ErrUnknownReplica) {
		t.Errorf("to nobody: %v", err)
	}
}

// TestTransportStops: what waits ends with the library or with the transport.
func TestTransportStops(t *testing.T) {
	ctx, p := deadline(t), newPorts(t)
	a, b := p.end(1), p.end(2)
	hangs := make(chan struct{})
	store := func(raftpb.Chunk) bool { <-hangs; return true }
	b.chunk.Store(&store)
	of, stop := context.WithCancel(ctx)
	conn, err := a.GetSnapshotConnection(of, addressOf(2))
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		sent <- conn.SendChunk(raftpb.Chunk{From: 1, ReplicaID: 2, ShardID: controlShard, ChunkCount: raftpb.LastChunkCount})
	}()
	stop()
	if err := <-sent; err == nil || ctx.Err() != nil {
		t.Errorf("a chunk in flight: %v", err)
	}
	conn.Close()
	close(hangs)
	if err := a.connect(of, t, 2).SendMessageBatch(heartbeat(1, 2, 1)); err == nil {
		t.Error("a library that stopped sends")
	}
	if err := a.reach(ctx, t, 2).SendMessageBatch(heartbeat(1, 2, 1)); err != nil {
		t.Fatal(err)
	}
	b.next(ctx, t)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ports[1].Dial(ctx, 2, port.Raft); err == nil {
		t.Error("a closed transport is dialed")
	}
}

func TestTransportAddresses(t *testing.T) {
	f := &portTransports{port: port.New(port.Config{})}
	for address, want := range map[string]bool{"replica-1": true, "replica-18446744073709551615": true, "replica-0": false, "replica-01": false,
		"replica-": false, "": false, "replica-+1": false, "host:1": false, "replica-1 ": false, "replica-18446744073709551616": false} {
		if f.Validate(address) != want {
			t.Errorf("%q: want %v", address, want)
		}
	}
	tr := f.Create(config.NodeHostConfig{RaftAddress: "x"}, nil, nil)
	if err := tr.Start(); err == nil {
		t.Error("a transport without a number starts")
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
}
