package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"quorate/internal/admission"
	"quorate/internal/mux"
	"quorate/internal/pace"
	"quorate/nodeagent/wire"
)

// Codes that close a connection.
const (
	codeDone     = 0
	codeProtocol = 1
	codeRefused  = 2
	codeReplaced = 3
	codeSlow     = 4
)

// Streams and their windows per connection: an agent has one control stream and few
// blobs, and an orchestrator has thousands of agents.
const (
	streamWindowBytes     = 256 << 10
	connectionWindowBytes = 1 << 20
	streamsMax            = 8
)

// A carrier is what is below a connection: QUIC, or streams over TCP.
type carrier interface {
	name() string
	state() tls.ConnectionState
	remoteAddr() net.Addr
	rtt() time.Duration
	trip() pace.Trip
	context() context.Context
	accept(ctx context.Context) (carried, error)
	close(code uint64, reason string)
}

// A carried is a stream of a carrier.
type carried interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	// cancel drops both directions, and yield has everything else sent before it.
	cancel()
	yield()
}

// A connection is one agent's, or somebody's who wants to become one.
type connection struct {
	carrier carrier
	ticket  *admission.Ticket // nil in a relay's connection, which has one
}

// over is why the connection is one too many, and is told so, or nil.
func (c *connection) over() error {
	if c.ticket == nil {
		return nil
	}
	return c.ticket.Over()
}

// transport says what the connection goes over: "quic" or "tcp".
func (c *connection) transport() string { return c.carrier.name() }

func (c *connection) enrols() bool {
	return c.carrier.state().NegotiatedProtocol == wire.ALPNEnrol
}

// protocol is the one that the agent or relay speaks.
func (c *connection) protocol() wire.Protocol {
	return wire.ProtocolOf(c.carrier.state().NegotiatedProtocol)
}

// certificate is the peer's, verified by TLS; nil where it has shown none.
func (c *connection) certificate() *x509.Certificate {
	if certs := c.carrier.state().PeerCertificates; len(certs) > 0 {
		return certs[0]
	}
	return nil
}

func (c *connection) address() netip.Addr { return addressOf(c.carrier.remoteAddr()) }
func (c *connection) remote() string      { return c.carrier.remoteAddr().String() }

// addressOf is the address without the port.
func addressOf(addr net.Addr) netip.Addr {
	if a, ok := addr.(siteAddr); ok {
		addr = a.Addr
	}
	return admission.AddressOf(addr)
}

// done is closed when the connection is.
func (c *connection) done() <-chan struct{} { return c.carrier.context().Done() }

// whenClosed calls f when the connection is closed, unless stop is called before.
func (c *connection) whenClosed(f func()) (stop func()) {
	undo := context.AfterFunc(c.carrier.context(), f)
	return func() { undo() }
}

// rtt is the round trip to the agent, smoothed.
func (c *connection) rtt() time.Duration { return c.carrier.rtt() }

// close ends the connection; only the first call counts.
func (c *connection) close(code uint64, reason string) { c.carrier.close(code, reason) }

// why is the reason for which the connection is closed, where err only says that
// something was cancelled because of that.
func (c *connection) why(err error) error {
	if cause := context.Cause(c.carrier.context()); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	return err
}

// stream waits for the peer to open one.
func (c *connection) stream(ctx context.Context) (*stream, error) {
	s, err := c.carrier.accept(ctx)
	if err != nil {
		return nil, err
	}
	return &stream{carried: s}, nil
}

// A stream carries frames both ways, or one blob.
type stream struct{ carried carried }

var _ io.ReadWriteCloser = (*stream)(nil)

func (s *stream) Read(p []byte) (int, error) { return s.carried.Read(p) }

// Write waits at most writeTimeout for the peer to take the bytes.
func (s *stream) Write(p []byte) (int, error) {
	if err := s.carried.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return s.carried.Write(p)
}

// readWithin bounds the time of the reads that follow; 0 does not.
func (s *stream) readWithin(d time.Duration) error {
	if d == 0 {
		return s.carried.SetReadDeadline(time.Time{})
	}
	return s.carried.SetReadDeadline(time.Now().Add(d))
}

// Close ends our side of the stream.
func (s *stream) Close() error { return s.carried.Close() }

// yield has what others have to send go before what is written here.
func (s *stream) yield() { s.carried.yield() }

// abort drops both sides of the stream.
func (s *stream) abort() { s.carried.cancel() }

// codeOf is what a connection is closed with that ended for the reason.
func codeOf(err error) uint64 {
	if errors.Is(err, errReplaced) {
		return codeReplaced
	}
	return codeProtocol
}

// parting says in a word why a connection ended.
func parting(err error) string {
	var closed *mux.CloseError
	if said, remote, ok := quicClose(err); ok {
		closed = &mux.CloseError{Reason: said, Remote: remote}
	}
	switch {
	case quicIdle(err), errors.Is(err, mux.ErrIdle):
		return "nothing was heard"
	case (closed != nil || errors.As(err, &closed)) && closed.Remote:
		return "closed by the agent"
	case closed != nil && closed.Reason != "":
		return closed.Reason
	case errors.Is(err, io.EOF):
		return "closed by the agent"
	case errors.Is(err, context.Canceled):
		return "the orchestrator stops"
	case err == nil:
		return "closed"
	}
	return err.Error()
}
