package nodeagent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/pki"
)

// Everything that this package knows of QUIC is in this file.

const (
	handshakeTimeout = 10 * time.Second
	keepAliveEvery   = 5 * time.Second // NATs forget a UDP binding after 30 s
	// idleTimeout is what it takes an agent that has nothing to say to notice an
	// orchestrator that was killed: what keeps the connection alive is too short for
	// QUIC to be answered with a reset by the next one.
	idleTimeout        = 16 * time.Second
	streamWindowBytes  = 2 << 20
	connWindowBytesMax = 4 << 20

	codeDone   = 0
	codeRefuse = 1
)

// A link is one connection to an orchestrator.
type link struct{ conn *quic.Conn }

// A ForeignError says that an orchestrator is not of the agent's cluster.
type ForeignError struct {
	Address string
	// Proof is what the agent has of its own cluster: its identity or its token.
	Proof string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the orchestrator at %s belongs to another cluster than this agent's %s", e.Address, e.Proof)
}

// foreign gives the error of a connection its plain words where the other side is
// of another cluster.
func foreign(err error, address, proof string) error {
	if errors.Is(err, pki.ErrOtherCluster) {
		return &ForeignError{address, proof}
	}
	return err
}

// answerLate is when the operator is told that nothing answers: long before the
// attempt is given up, so that an agent with a wrong address does not look idle.
const answerLate = 2 * time.Second

// watchSilence says so where an address does not answer until the timer is stopped.
func watchSilence(log *slog.Logger, address string) *time.Timer {
	return time.AfterFunc(answerLate, func() {
		log.Info("no answer yet; is this the address of an orchestrator for agents?", "server", address)
	})
}

func dial(ctx context.Context, address string, conf *tls.Config) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn, err := quic.DialAddr(ctx, address, conf, &quic.Config{
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 idleTimeout,
		KeepAlivePeriod:                keepAliveEvery,
		InitialStreamReceiveWindow:     256 << 10,
		MaxStreamReceiveWindow:         streamWindowBytes,
		InitialConnectionReceiveWindow: 512 << 10,
		MaxConnectionReceiveWindow:     connWindowBytesMax,
		MaxIncomingStreams:             -1, // the agent opens all streams
		MaxIncomingUniStreams:          -1,
	})
	if err != nil {
		return nil, fmt.Errorf("connection to %s: %w", address, err)
	}
	if conn.ConnectionState().Used0RTT {
		conn.CloseWithError(codeRefuse, "0-RTT")
		return nil, fmt.Errorf("connection to %s: 0-RTT was used", address)
	}
	return &link{conn}, nil
}

// A stream is a stream of a link. Close ends the direction to the orchestrator.
type stream interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

func (l *link) open(ctx context.Context) (stream, error) {
	s, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return s, nil
}

// abandon ends both directions of a stream whose rest nobody wants.
func abandon(s stream) {
	if q, ok := s.(*quic.Stream); ok {
		q.CancelRead(codeDone)
		q.CancelWrite(codeDone)
	}
}

func (l *link) close(reason string) { _ = l.conn.CloseWithError(codeDone, reason) }

// remote is the address of the other side.
func (l *link) remote() string { return l.conn.RemoteAddr().String() }

// signs are what the connection shows of the other side, but for its messages.
func (l *link) signs() signs {
	s := l.conn.ConnectionStats()
	return signs{received: s.PacketsReceived, sent: s.PacketsSent, lost: s.PacketsLost, rtt: s.SmoothedRTT, deviation: s.MeanDeviation}
}

// done is closed when the connection is over.
func (l *link) done() <-chan struct{} { return l.conn.Context().Done() }
