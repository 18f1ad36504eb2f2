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
	lane *lane
	in   *intake

	mu                  sync.Mutex
	readDone, writeDone bool
	released            bool
	flooded             bool // cancelled since it had too many small frames waiting
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// adopt makes a stream one of the connection's.
func (c *Conn) adopt(y *yamux.Stream, slot chan struct{}) *Stream {
	id := y.StreamID()
	s := &Stream{conn: c, y: y, slot: slot, lane: c.outbox.open(id), in: c.inbox.open(id)}
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
	s.conn.inbox.took(s.in, n)
	if err == nil || n > 0 {
		return n, nil // the next one says what there is to say
	}
	if !timedOut(err) {
		s.finish(true, false)
	}
	return n, s.fault(err)
}

// Write waits while the other side's window is full, and for what is to go first.
func (s *Stream) Write(p []byte) (done int, err error) {
	for done < len(p) {
		if err := s.conn.outbox.enter(s.conn.ctx, s.lane); err != nil {
			return done, s.fault(err)
		}
		n, err := s.y.Write(p[done:min(len(p), done+partBytes)])
		s.conn.outbox.put(s.lane, n)
		done += n
		if err != nil {
			return done, s.fault(err)
		}
	}
	return done, nil
}

// Yield has all streams that do not yield go before what is written here.
func (s *Stream) Yield() { s.conn.outbox.yield(s.lane) }

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
	s.conn.outbox.deadline(s.lane, t)
	s.expireAgain()
	return err
}

// expire ends what reads and writes now, and later.
func (s *Stream) expire() {
	_ = s.y.SetDeadline(past)
	s.conn.outbox.deadline(s.lane, past)
}

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
	s.conn.inbox.close(s.y.StreamID(), s.in)
	s.conn.outbox.close(s.lane)
	if s.slot != nil {
		<-s.slot
	}
}

// flooded cancels a stream that has too many small frames waiting, and ends the
// connection where that is of no use.
func (c *Conn) flooded(id uint32, known bool) {
	if known && c.drop(id) {
		return
	}
	c.end(ErrSmallFrames)
	_ = c.raw.Close()
}

// drop cancels a stream, if it is one of those that were accepted.
func (c *Conn) drop(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		if s.y.StreamID() != id {
			continue
		}
		s.mu.Lock()
		s.flooded = true
		s.mu.Unlock()
		if c.ctx.Err() == nil {
			c.tasks.Go(s.Cancel) // which waits for its turn
		}
		return true
	}
	return false
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
	s.mu.Lock()
	flooded := s.flooded
	s.mu.Unlock()
	switch {
	case flooded:
		return ErrSmallFrames
	case timedOut(err), errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, yamux.ErrStreamReset):
		return ErrCancelled
	case errors.Is(err, yamux.ErrStreamClosed):
		return os.ErrClosed
	}
	return err
}
