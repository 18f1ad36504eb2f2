package mux

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A carrier is the byte stream that yamux works on: records under TLS.
type carrier struct {
	net.Conn // the TLS connection
	conn     *Conn
	records  recordReader
	ended    chan struct{} // closed when nothing more can be read
	endOnce  sync.Once

	heard   atomic.Int64 // when bytes were read last, in nanoseconds of the epoch
	bytesIn atomic.Uint64

	mu     sync.Mutex // of writing
	buffer []byte
	parted bool

	deadline sync.Mutex
	parting  bool // deadlines are part's
}

func newCarrier(c *Conn) *carrier {
	r := &carrier{Conn: c.tls, conn: c, ended: make(chan struct{})}
	r.records.from = readerFunc(r.readRaw) // TLS buffers
	r.heard.Store(time.Now().UnixNano())
	return r
}

type readerFunc func([]byte) (int, error)

// Read calls f.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// readRaw notes that something was heard.
func (r *carrier) readRaw(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	if n > 0 {
		r.bytesIn.Add(uint64(n))
		r.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

func (r *carrier) heardAt() time.Time { return time.Unix(0, r.heard.Load()) }

// Read is called by one goroutine of yamux's.
func (r *carrier) Read(p []byte) (int, error) {
	n, err := r.records.Read(p)
	r.conn.inbox.feed(p[:n], r.conn.flooded)
	if err != nil {
		r.conn.end(err)
		r.endOnce.Do(func() { close(r.ended) })
		return n, io.EOF // yamux has no use for the reason
	}
	return n, nil
}

// Write frames what yamux writes, a frame at a time: one or more records.
func (r *carrier) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.parted {
		return len(p), nil // nobody wants it; an error would end the connection too soon
	}
	for done := 0; done < len(p); {
		part := p[done:min(len(p), done+recordBytesMax)]
		r.buffer = appendRecord(r.buffer[:0], kindStreams, part)
		if _, err := r.Conn.Write(r.buffer); err != nil {
			r.conn.end(fmt.Errorf("write: %w", err))
			return done, err
		}
		done += len(part)
	}
	if len(p) >= frameHeaderBytes {
		if h := frameHeader(p[:frameHeaderBytes]); h.data() > 0 {
			r.conn.outbox.sent(h.stream(), h.data())
			r.conn.path.fit(time.Now())
		}
	}
	return len(p), nil
}

// part writes the last record, and waits a moment for the other side to have read it:
// bytes that nobody reads here would take it back.
func (r *carrier) part(code uint64, reason string) {
	r.deadline.Lock()
	r.parting = true
	_ = r.Conn.SetWriteDeadline(time.Now().Add(closeWithin)) // also of a write that is stuck
	r.deadline.Unlock()
	r.mu.Lock()
	r.parted = true
	_, err := r.Conn.Write(appendClose(nil, code, reason))
	if err == nil {
		err = r.conn.tls.CloseWrite()
	}
	r.mu.Unlock()
	if err != nil {
		return
	}
	timer := time.NewTimer(closeWithin)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
	}
}

// SetWriteDeadline is called by yamux.
func (r *carrier) SetWriteDeadline(t time.Time) error {
	r.deadline.Lock()
	defer r.deadline.Unlock()
	if r.parting {
		return nil
	}
	return r.Conn.SetWriteDeadline(t)
}

// Close is called by yamux when the session is over, for whatever reason.
func (r *carrier) Close() error {
	if context.Cause(r.conn.ctx) == nil {
		r.conn.end(ErrProtocol) // or the reading or the writing would have said why
	}
	// Not TLS's: that one waits for what is being written.
	err := r.conn.raw.Close()
	r.endOnce.Do(func() { close(r.ended) })
	return err
}
