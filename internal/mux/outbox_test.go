package mux

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A metered connection lets no more bytes out than it is granted, nor any in while it is
// frozen. At first both are free.
type metered struct {
	net.Conn
	mu     sync.Mutex
	change *sync.Cond
	bound  bool
	left   int
	frozen bool
	gone   bool
}

func newMetered(c net.Conn) *metered {
	m := &metered{Conn: c}
	m.change = sync.NewCond(&m.mu)
	return m
}

func (m *metered) set(f func()) {
	m.mu.Lock()
	f()
	m.mu.Unlock()
	m.change.Broadcast()
}

func (m *metered) grant(bytes int) { m.set(func() { m.bound, m.left = true, bytes }) }
func (m *metered) free()           { m.set(func() { m.bound, m.frozen = false, false }) }
func (m *metered) freeze()         { m.set(func() { m.frozen = true }) }

// Write waits for a grant.
func (m *metered) Write(p []byte) (int, error) {
	m.mu.Lock()
	for m.bound && m.left < len(p) && !m.gone {
		m.change.Wait()
	}
	m.left -= len(p)
	m.mu.Unlock()
	return m.Conn.Write(p)
}

// Read keeps what it has read while the connection is frozen.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.frozen && !m.gone {
		m.change.Wait()
	}
	return n, err
}

// Close wakes who waits.
func (m *metered) Close() error {
	m.set(func() { m.gone = true })
	return m.Conn.Close()
}

// meteredPair is a connection whose server sends and reads as it is let.
func meteredPair(t *testing.T) (client, server *Conn, m *metered) {
	t.Helper()
	a, b := wires(t)
	m = newMetered(b)
	client, server = pairOver(t, a, m, func(s *settings) { s.idleness = 2 * patience })
	t.Cleanup(m.free)
	return client, server, m
}

// eventually polls for what comes by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (o *outbox) queued() (urgent, yielding int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.urgent, o.yielding
}

// TestYield: what is urgent goes before all but little of what streams have to send that
// yield, and these get on when it has gone.
func TestYield(t *testing.T) {
	const bulks, bulkBytes = 4, 200 << 10
	client, server, m := meteredPair(t)
	to, urgent := streams(t, client, server)
	var bulk [][2]*Stream
	for range bulks {
		a, b := streams(t, client, server)
		b.Yield()
		bulk = append(bulk, [2]*Stream{a, b})
	}
	m.grant(0)
	var writing sync.WaitGroup
	defer writing.Wait()
	for _, s := range bulk {
		writing.Go(func() {
			if _, err := s[1].Write(make([]byte, bulkBytes)); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "the queue is full", func() bool { _, n := server.outbox.queued(); return n >= yieldBytesMax })
	words := []byte("a command")
	writing.Go(func() {
		if _, err := urgent.Write(words); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the command is in the queue", func() bool { n, _ := server.outbox.queued(); return n >= len(words) })
	m.grant((bulks + 3) * 2 * messageBytes)
	got := make([]byte, len(words))
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, words) {
		t.Fatalf("a command behind what yields: %q, %v", got, err)
	}
	m.free()
	for _, s := range bulk {
		if _, err := io.CopyN(io.Discard, s[0], bulkBytes); err != nil {
			t.Fatalf("what yields: %v", err)
		}
	}
	eventually(t, "nothing is counted that has left", func() bool {
		urgent, yielding := server.outbox.queued()
		return urgent == 0 && yielding == 0
	})
}

// TestStalledTurn: a stream that has its turn and sends nothing, since its window is
// full, holds up no other.
func TestStalledTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox()
		first := o.open(1)
		o.yield(first)
		if err := o.enter(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		o.put(first, yieldBytesMax)
		const others = 3
		entered := make(chan error, others)
		for id := range uint32(others) {
			l := o.open(3 + id)
			o.yield(l)
			go func() { entered <- o.enter(t.Context(), l) }()
		}
		synctest.Wait()
		o.sent(1, yieldBytesMax) // is told to one of them
		for range others {
			select {
			case err := <-entered:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(patience):
				t.Fatal("one waits for another that sends nothing")
			}
		}
	})
}

// TestWaitingWriterEnds: who waits for the queue does so until its deadline, and until
// its stream or its connection is over.
func TestWaitingWriterEnds(t *testing.T) {
	for name, end := range map[string]func(s *Stream){
		"deadline": func(s *Stream) { _ = s.SetWriteDeadline(time.Now().Add(time.Millisecond)) },
		"cancel":   func(s *Stream) { go s.Cancel() }, // the reset waits for its turn
		"close":    func(s *Stream) { s.conn.CloseWithError(7, "over") },
	} {
		t.Run(name, func(t *testing.T) {
			client, server, m := meteredPair(t)
			_, s := streams(t, client, server)
			m.grant(0)
			ended := make(chan error, 1)
			go func() {
				_, err := s.Write(make([]byte, 200<<10))
				ended <- err
			}()
			eventually(t, "the queue is full", func() bool { n, _ := server.outbox.queued(); return n >= laneBytesMax })
			end(s)
			select {
			case err := <-ended:
				if err == nil {
					t.Error("more was taken than there is room for")
				}
				if late := errors.Is(err, os.ErrDeadlineExceeded); name == "deadline" && !late {
					t.Errorf("ends with %v", err)
				}
			case <-time.After(patience):
				t.Fatal("the writer waits on")
			}
			m.free()
		})
	}
}

// TestHeard: what the kernel of a process that has stopped acknowledges is no sign of it.
func TestHeard(t *testing.T) {
	client, server, m := meteredPair(t)
	a, b := streams(t, client, server)
	if _, err := b.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(a, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	m.freeze()
	m.grant(0)
	var before Stats
	eventually(t, "what was on its way has come", func() bool {
		was := before
		before = client.Stats()
		return was == before
	})
	client.Probe()
	if _, err := a.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other kernel has it", func() bool { return client.Stats().Received > before.Received })
	if now := client.Stats(); now.Heard != before.Heard {
		t.Errorf("a process that has stopped was heard: %+v behind %+v", now, before)
	}
	m.free()
	eventually(t, "the other process is heard", func() bool { return client.Stats().Heard > before.Heard })
}
