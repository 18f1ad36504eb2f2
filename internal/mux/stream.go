package mux

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-yamux/v5"
)

// A Stream carries bytes both ways. Reading and writing may go on at the same time;
// each of them is for one goroutine. Who does not read it to its end cancels it: it
// counts as open until then.
type Stream struct {
	conn *Conn
	y    *yamux.Stream
	slot chan struct{} // of a stream of ours

	mu                  sync.Mutex
	readDone, writeDone bool
	released            bool
}

// adopt makes a stream one of the connection's.
func (c *Conn) adopt(y *yamux.Stream, slot chan struct{}) *Stream {
	s := &Stream{conn: c, y: y, slot: slot}
	c.mu.Lock()
	c.streams[s] = struct{}{}
	c.mu.Unlock()
	if c.ctx.Err() != nil {
		s.expire()
	}
	return s
}

// Read returns [io.EOF] when the other side has closed its direction, an error that
// wraps [os.ErrDeadlineExceeded] after the deadline, and the connection's reason when
// that is over.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.y.Read(p)
	if err == nil || n > 0 {
		return n, nil // the next one says what there is to say
	}
	if !timedOut(err) {
		s.finish(true, false)
	}
	return n, s.fault(err)
}

// Write waits while the other side's window is full.
func (s *Stream) Write(p []byte) (int, error) {
	n, err := s.y.Write(p)
	if err != nil {
		return n, s.fault(err)
	}
	return n, nil
}

// Close ends our direction, after what was written. The other one goes on.
func (s *Stream) Close() error {
	err := s.y.CloseWrite()
	s.finish(false, true)
	if err != nil {
		return s.fault(err)
	}
	return nil
}

// Cancel drops both directions, and what was not read yet.
func (s *Stream) Cancel() {
	s.expire() // a reset waits for its turn
	_ = s.y.Reset()
	s.finish(true, true)
}

// SetDeadline bounds both reading and writing; the zero time does not.
func (s *Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline bounds reads, also one under way; the zero time does not.
func (s *Stream) SetReadDeadline(t time.Time) error {
	err := s.y.SetReadDeadline(t)
	s.expireAgain()
	return err
}

// SetWriteDeadline bounds writes, also one under way; the zero time does not.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	err := s.y.SetWriteDeadline(t)
	s.expireAgain()
	return err
}

// expire ends what reads and writes now, and later.
func (s *Stream) expire() { _ = s.y.SetDeadline(time.Unix(1, 0)) }

// expireAgain keeps deadlines from reviving the streams of a connection that is over.
func (s *Stream) expireAgain() {
	if s.conn.ctx.Err() != nil {
		s.expire()
	}
}

// finish gives the stream's place back when both directions are done.
func (s *Stream) finish(read, write bool) {
	s.mu.Lock()
	s.readDone, s.writeDone = s.readDone || read, s.writeDone || write
	last := s.readDone && s.writeDone && !s.released
	s.released = s.released || last
	s.mu.Unlock()
	if !last {
		return
	}
	s.conn.mu.Lock()
	delete(s.conn.streams, s)
	s.conn.mu.Unlock()
	if s.slot != nil {
		<-s.slot
	}
}

func timedOut(err error) bool { return errors.Is(err, yamux.ErrTimeout) }

// fault is an error in this package's words.
func (s *Stream) fault(err error) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	if s.conn.ctx.Err() != nil {
		return s.conn.why(err)
	}
	switch {
	case timedOut(err):
		return os.ErrDeadlineExceeded
	case errors.Is(err, yamux.ErrStreamReset):
		return ErrCancelled
	case errors.Is(err, yamux.ErrStreamClosed):
		return os.ErrClosed
	}
	return err
}
