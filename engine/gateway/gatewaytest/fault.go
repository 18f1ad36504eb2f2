package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// A Socket can be made mute and deaf: what arrives is lost, and what is sent, too. It
// can be far away as well.
type Socket struct {
	net.PacketConn
	gone  atomic.Bool
	delay atomic.Int64
}

// SetGone makes the socket lose everything from now on, or nothing any more.
func (s *Socket) SetGone(gone bool) { s.gone.Store(gone) }

// SetDelay has what is sent from now on be so long on its way, where it may be
// overtaken.
func (s *Socket) SetDelay(delay time.Duration) { s.delay.Store(int64(delay)) }

// ReadFrom implements net.PacketConn.
func (s *Socket) ReadFrom(p []byte) (n int, from net.Addr, err error) {
	for {
		if n, from, err = s.PacketConn.ReadFrom(p); err != nil || !s.gone.Load() {
			return n, from, err
		}
	}
}

// WriteTo implements net.PacketConn.
func (s *Socket) WriteTo(p []byte, to net.Addr) (int, error) {
	if s.gone.Load() {
		return len(p), nil
	}
	if delay := time.Duration(s.delay.Load()); delay > 0 {
		late := bytes.Clone(p)
		time.AfterFunc(delay, func() { _, _ = s.PacketConn.WriteTo(late, to) }) // QUIC sends again what is lost
		return len(p), nil
	}
	return s.PacketConn.WriteTo(p, to)
}

// SetReadBuffer and SetWriteBuffer are for quic-go.
func (s *Socket) SetReadBuffer(bytes int) error {
	return s.PacketConn.(*net.UDPConn).SetReadBuffer(bytes)
}

// SetWriteBuffer sets the size of the kernel's buffer.
func (s *Socket) SetWriteBuffer(bytes int) error {
	return s.PacketConn.(*net.UDPConn).SetWriteBuffer(bytes)
}

// A faultyLog is one replica's sight of a log that several share. It can be cut
// off: then nothing is appended and nothing is read, as without a majority.
type faultyLog struct {
	engine.Log
	following bool
	stuck     atomic.Int32 // calls that the cut keeps waiting, but for readers

	mu   sync.Mutex
	cut  chan struct{} // closed when the cut ends; nil where there is none
	dead chan struct{} // closed when the rig stops
	over bool
}

var errCut = errors.New("gatewaytest: the log was cut off until the rig stopped")

// through waits until the log is not cut off.
func (l *faultyLog) through(ctx context.Context) error {
	for {
		l.mu.Lock()
		cut := l.cut
		l.mu.Unlock()
		if cut == nil {
			return ctx.Err()
		}
		select {
		case <-cut:
		case <-l.dead:
			return errCut
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *faultyLog) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case cut && l.cut == nil:
		l.cut = make(chan struct{})
	case !cut && l.cut != nil:
		close(l.cut)
		l.cut = nil
	}
}

func (l *faultyLog) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		close(l.dead)
	}
}

// Append implements engine.Log.
func (l *faultyLog) Append(ctx context.Context, entries []eventlog.Entry) (uint64, error) {
	l.stuck.Add(1)
	err := l.through(ctx)
	l.stuck.Add(-1)
	if err != nil {
		return 0, err
	}
	return l.Log.Append(ctx, entries)
}

// Read implements engine.Log.
func (l *faultyLog) Read(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	if err := l.through(ctx); err != nil {
		return nil, ctxError(ctx, err)
	}
	return l.Log.Read(ctx, from, limit)
}

// Wait implements engine.Log.
func (l *faultyLog) Wait(ctx context.Context, index uint64) error {
	if err := l.Log.Wait(ctx, index); err != nil {
		return err
	}
	return ctxError(ctx, l.through(ctx))
}

// Barrier implements engine.Log.
func (l *faultyLog) Barrier(ctx context.Context) error {
	l.stuck.Add(1)
	err := l.through(ctx)
	l.stuck.Add(-1)
	if err != nil {
		return err
	}
	return l.Log.Barrier(ctx)
}

// Leading implements engine.Log.
func (l *faultyLog) Leading() (uint64, bool, <-chan struct{}) {
	if l.following {
		return 1, false, l.dead
	}
	return l.Log.Leading()
}

// ctxError makes of a cut that lasted to the end what a context's end is.
func ctxError(ctx context.Context, err error) error {
	if errors.Is(err, errCut) {
		return context.Canceled
	}
	return err
}

// Cut cuts the replica off from the log, or ends that. Its agents still reach it.
func (r *Rig) Cut(cut bool) { r.log.setCut(cut) }

// Stuck says how many proposals and barriers wait for the end of a cut.
func (r *Rig) Stuck() int { return int(r.log.stuck.Load()) }

// Kill is the death of the process without a word: neither agents nor the log
// hear from it again, and its port is closed. What is left of it ends with the test.
func (r *Rig) Kill() {
	r.killed.Store(true)
	r.Socket.SetGone(true)
	r.Cut(true)
	r.Socket.Close()
}

// Pause stops the process as SIGSTOP does, but that what arrives meanwhile is lost;
// with false it goes on, and knows nothing of what happened.
func (r *Rig) Pause(paused bool) {
	r.Socket.SetGone(paused)
	r.Cut(paused)
}

// Cluster runs so many rigs over one log. They are on record as members.
func Cluster(t testing.TB, n int, opt Options) []*Rig {
	t.Helper()
	if opt.Log == nil {
		log := eventlog.NewMemory()
		t.Cleanup(func() { log.Close() })
		opt.Log = log
	}
	var rigs []*Rig
	for i := range n {
		opt.Replica = uint64(i + 1)
		opt.Socket = nil
		rig := Start(t, opt)
		opt.CA, opt.Blobs = rig.CA, rig.O.Blobs()
		rigs = append(rigs, rig)
	}
	for i, rig := range rigs {
		rig.Join(t, rigs[0], uint64(i+1))
	}
	return rigs
}

// Join puts the rig on record as a member, through another one.
func (r *Rig) Join(t testing.TB, through *Rig, replica uint64) {
	t.Helper()
	hash := ""
	if replica > 1 {
		hash = "token of " + r.Address
		Must2(through.O.Propose(t.Context(), &eventlog.TokenCreated{TokenHash: hash, Role: "orchestrator"}))
	}
	_, voids := Must2(through.O.Propose(t.Context(), &eventlog.OrchestratorJoined{
		Replica: replica, TokenHash: hash, Name: r.Address, AgentAddress: r.Address, RequestID: "join " + r.Address,
	}))
	if voids[0] != "" {
		t.Fatalf("%s did not join: %s", r.Address, voids[0])
	}
	r.Until(t, "its own membership", func(s *engine.State) bool { return s.Member(replica) != nil })
}
