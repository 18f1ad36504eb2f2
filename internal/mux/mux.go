package mux

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-yamux/v5"
)

// What a connection may take. A side that accepts is given the smaller windows: an
// orchestrator has thousands of connections, an agent has one.
const (
	handshakeClient = 10 * time.Second
	handshakeServer = 5 * time.Second

	windowBytes       = 256 << 10 // of a stream; yamux has no smaller one
	windowBytesClient = 2 << 20   // of a stream on a long line
	// messageBytes is of one stream, until it is the next one's turn.
	messageBytes   = 4 << 10
	streamsDefault = 8

	keepAliveClient = 5 * time.Second
	keepAliveServer = 10 * time.Second
	idleClient      = 16 * time.Second
	idleServer      = 45 * time.Second

	// closeWithin is what the last record gets to reach the other side.
	closeWithin = time.Second
)

// An Option changes what a connection may take.
type Option func(*settings)

// StreamsBy is [Streams] by the protocol that the handshake has agreed on.
func StreamsBy(streams func(protocol string) int) Option {
	return func(s *settings) { s.streamsBy = streams }
}

type settings struct {
	streams             int
	streamsBy           func(protocol string) int
	window              uint32
	handshake           time.Duration
	keepAlive, idleness time.Duration
}

// Streams bounds how many streams either side may have open at once that it opened
// itself, at most 65535; 8 without it. Both sides have to agree on it.
func Streams(n int) Option {
	return func(s *settings) { s.streams = min(max(n, 1), math.MaxUint16) }
}

// Client begins a connection on a byte stream: TLS as conf says, which has to name the
// protocol to speak, and then streams. The stream belongs to the connection from then
// on, and is closed where there is an error. The handshake takes 10 s at most.
func Client(ctx context.Context, raw net.Conn, conf *tls.Config, options ...Option) (*Conn, error) {
	s := settings{streams: streamsDefault, window: windowBytesClient, handshake: handshakeClient, keepAlive: keepAliveClient, idleness: idleClient}
	return begin(ctx, raw, tls.Client(raw, conf), s, options, yamux.Client)
}

// Server is the other side of [Client]. The handshake takes 5 s at most.
func Server(ctx context.Context, raw net.Conn, conf *tls.Config, options ...Option) (*Conn, error) {
	s := settings{streams: streamsDefault, window: windowBytes, handshake: handshakeServer, keepAlive: keepAliveServer, idleness: idleServer}
	return begin(ctx, raw, tls.Server(raw, conf), s, options, yamux.Server)
}

type starter = func(net.Conn, *yamux.Config, func() (yamux.MemoryManager, error)) (*yamux.Session, error)

func begin(ctx context.Context, raw net.Conn, secure *tls.Conn, s settings, options []Option, start starter) (*Conn, error) {
	for _, o := range options {
		o(&s)
	}
	handshake, cancel := context.WithTimeout(ctx, s.handshake)
	defer cancel()
	err := secure.HandshakeContext(handshake)
	if err == nil && secure.ConnectionState().NegotiatedProtocol == "" {
		err = ErrNoALPN
	}
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS with %s: %w", raw.RemoteAddr(), err)
	}
	if s.streamsBy != nil {
		Streams(s.streamsBy(secure.ConnectionState().NegotiatedProtocol))(&s)
	}
	c := &Conn{
		raw: raw, tls: secure, state: secure.ConnectionState(), path: pathTo(raw),
		outbox: newOutbox(), inbox: newInbox(s.streams),
		streams: map[*Stream]struct{}{}, slots: make(chan struct{}, s.streams), accepted: make(chan *Stream),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.carrier = newCarrier(c)
	c.watchIdleness(s.idleness)
	c.session, err = start(c.carrier, s.yamux(), nil)
	if err != nil { // only for settings that make no sense
		c.end(err)
		_ = raw.Close()
		return nil, fmt.Errorf("streams to %s: %w", raw.RemoteAddr(), err)
	}
	c.tasks.Go(c.acceptAll)
	return c, nil
}

// yamux leaves keeping the connection alive to its measuring of round trips: its own
// keep-alive gives up where an answer is stuck behind other bytes.
func (s *settings) yamux() *yamux.Config {
	return &yamux.Config{
		// The other side may think that a stream has ended before this one does.
		AcceptBacklog: 2 * s.streams, MaxIncomingStreams: uint32(2 * s.streams),
		PingBacklog: 32, MeasureRTTInterval: s.keepAlive, ConnectionWriteTimeout: s.idleness,
		InitialStreamWindowSize: windowBytes, MaxStreamWindowSize: s.window,
		MaxMessageSize: messageBytes, LogOutput: io.Discard,
	}
}

// A Conn is one connection. Its methods may be called concurrently. It has to be
// closed, also where the other side has done so.
type Conn struct {
	raw     net.Conn
	tls     *tls.Conn
	state   tls.ConnectionState
	path    *path
	outbox  *outbox
	inbox   *inbox
	carrier *carrier
	session *yamux.Session
	ctx     context.Context
	cancel  context.CancelCauseFunc
	idle    *time.Timer
	tasks   sync.WaitGroup

	slots    chan struct{} // holds one token for each open stream of ours
	accepted chan *Stream

	mu      sync.Mutex
	streams map[*Stream]struct{}
	probing bool // somebody waits for the answer to a ping
	closing sync.Once
}

// Open opens a stream, and waits while too many of ours are open.
func (c *Conn) Open(ctx context.Context) (*Stream, error) {
	if err := context.Cause(c.ctx); err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, context.Cause(c.ctx)
	}
	y, err := c.session.OpenStream(ctx)
	if err != nil {
		<-c.slots
		return nil, c.why(err)
	}
	return c.adopt(y, c.slots), nil
}

// Accept waits for the other side to open a stream.
func (c *Conn) Accept(ctx context.Context) (*Stream, error) {
	if err := context.Cause(c.ctx); err != nil {
		return nil, err
	}
	select {
	case s := <-c.accepted:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, context.Cause(c.ctx)
	}
}

// acceptAll passes on what the other side opens: yamux's own way to wait for that
// cannot be given up.
func (c *Conn) acceptAll() {
	for {
		y, err := c.session.AcceptStream()
		if err != nil {
			return
		}
		s := c.adopt(y, nil)
		select {
		case c.accepted <- s:
		case <-c.ctx.Done():
			return
		}
	}
}

// CloseWithError ends the connection and all of its streams, and tells the other side
// why, a reason of up to 1024 bytes, where that takes less than a second; it does not
// wait for that. Only the first call counts. It returns nil.
func (c *Conn) CloseWithError(code uint64, reason string) error {
	c.end(&CloseError{Code: code, Reason: reason})
	c.closing.Do(func() {
		go func() { // ends within closeWithin, and joins what runs
			c.carrier.part(code, reason)
			_ = c.session.Close()
			c.tasks.Wait()
		}()
	})
	return nil
}

// end makes err the reason for which the connection is over, where there is none yet.
func (c *Conn) end(err error) {
	c.cancel(err)
	c.idle.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		s.expire()
	}
}

// Context ends with the connection. Its cause is a *[CloseError] where one of the sides
// closed it, and the failure where none did.
func (c *Conn) Context() context.Context { return c.ctx }

// TLS is what the handshake has agreed on.
func (c *Conn) TLS() tls.ConnectionState { return c.state }

// RemoteAddr is the address of the other end of the byte stream.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// why prefers the reason for which the connection is over.
func (c *Conn) why(err error) error {
	if cause := context.Cause(c.ctx); cause != nil {
		return cause
	}
	return err
}

// watchIdleness ends the connection when nothing is heard for so long.
func (c *Conn) watchIdleness(limit time.Duration) {
	c.mu.Lock() // until the timer is there
	defer c.mu.Unlock()
	c.idle = time.AfterFunc(limit, func() {
		c.mu.Lock()
		timer := c.idle
		c.mu.Unlock()
		if c.ctx.Err() != nil {
			return
		}
		if left := limit - time.Since(c.carrier.heardAt()); left > 0 {
			timer.Reset(left)
			return
		}
		c.end(ErrIdle)
		_ = c.raw.Close() // all that runs ends with it
	})
}
