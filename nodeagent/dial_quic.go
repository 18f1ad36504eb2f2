package nodeagent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"

	"quorate/nodeagent/wire"
)

// Everything that this package knows of QUIC is in this file.

const (
	streamWindowBytes  = 2 << 20
	connWindowBytes    = 512 << 10
	connWindowBytesMax = 4 << 20
	// connWindowBytesRelay is a relay's from the start: an agent that takes nothing of what
	// comes for it fills a window of a stream for each of its tunnels, and the others' go on.
	connWindowBytesRelay = 64 << 20

	codeDone   = 0
	codeRefuse = 1

	// lastWords is how long the socket of a connection that is over answers those
	// who have not heard of it.
	lastWords = time.Second
)

// dialQUIC connects over UDP alone, and calls heard when the first packet comes back.
func (k *sockets) dialQUIC(ctx context.Context, address string, conf *tls.Config, heard func()) (*link, error) {
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	family := "udp6"
	if to.IP.To4() != nil {
		family = "udp4"
	}
	socket, err := net.ListenUDP(family, nil)
	if err != nil {
		return nil, err
	}
	transport := &quic.Transport{Conn: &attentive{UDPConn: socket, batches: ipv4.NewPacketConn(socket), heard: heard}}
	leave := func() {
		_ = transport.Close()
		_ = socket.Close()
	}
	first, most := uint64(connWindowBytes), uint64(connWindowBytesMax)
	if slices.Contains(conf.NextProtos, wire.ALPNRelay) {
		first, most = connWindowBytesRelay, connWindowBytesRelay
	}
	conn, err := transport.Dial(ctx, to, conf, &quic.Config{
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 idleTimeout,
		KeepAlivePeriod:                keepAliveEvery,
		InitialStreamReceiveWindow:     256 << 10,
		MaxStreamReceiveWindow:         streamWindowBytes,
		InitialConnectionReceiveWindow: first,
		MaxConnectionReceiveWindow:     most,
		MaxIncomingStreams:             -1, // the agent opens all streams
		MaxIncomingUniStreams:          -1,
	})
	if err != nil {
		leave()
		return nil, plain(err)
	}
	k.linger(conn.Context(), leave)
	if conn.ConnectionState().Used0RTT {
		conn.CloseWithError(codeRefuse, "0-RTT")
		return nil, errors.New("0-RTT was used")
	}
	return &link{quicCarrier{conn}}, nil
}

// sockets are those of the connections that an agent has made over UDP. The zero value
// is for use.
type sockets struct {
	lingering sync.WaitGroup
	closing   sync.Once
	mu        sync.Mutex
	over      chan struct{} // closed by close
}

// linger calls leave a moment after a connection is over, or when the sockets are closed.
func (k *sockets) linger(conn context.Context, leave func()) {
	over := k.closed()
	k.lingering.Go(func() {
		defer leave()
		select {
		case <-conn.Done():
		case <-over:
			return
		}
		last := time.NewTimer(lastWords)
		defer last.Stop()
		select {
		case <-last.C:
		case <-over:
		}
	})
}

func (k *sockets) closed() chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over == nil {
		k.over = make(chan struct{})
	}
	return k.over
}

// close closes all of them at once: who goes has no last words. Nobody may dial any more.
func (k *sockets) close() {
	k.closing.Do(func() { close(k.closed()) })
	k.lingering.Wait()
}

// An attentive socket says when it has heard something.
type attentive struct {
	*net.UDPConn
	batches *ipv4.PacketConn
	heard   func()
}

// ReadBatch is how QUIC reads where it can.
func (a *attentive) ReadBatch(messages []ipv4.Message, flags int) (int, error) {
	n, err := a.batches.ReadBatch(messages, flags)
	if n > 0 {
		a.heard()
	}
	return n, err
}

// noProtocol is what an endpoint of ours says in a handshake, an internal error of TLS,
// where it has none of the protocols that it was offered.
const noProtocol = quic.TransportErrorCode(0x150)

// plain gives its plain words to the error of an orchestrator that turns agents away
// before it looks at them, or that is of another version. Who can forge that can as well
// keep the agent from being answered.
func plain(err error) error {
	var said *quic.TransportError
	if !errors.As(err, &said) || !said.Remote {
		return err
	}
	switch said.ErrorCode {
	case quic.ConnectionRefused:
		return fmt.Errorf("%w (%w)", errCrowd, err)
	case noProtocol:
		return fmt.Errorf("%w (%w)", errOtherProtocol, err)
	}
	return err
}

// refusedByQUIC reports whether the other side has answered, and there is no use in
// asking it in another way.
func refusedByQUIC(err error) bool {
	return errors.As(err, new(*quic.TransportError)) || errors.As(err, new(*quic.ApplicationError)) ||
		errors.As(err, new(*quic.VersionNegotiationError))
}

// quicCarrier is a connection over UDP.
type quicCarrier struct{ conn *quic.Conn }

func (l quicCarrier) open(ctx context.Context) (stream, error) {
	s, err := l.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return quicStream{s}, nil
}

// A quicStream is a stream over UDP.
type quicStream struct{ *quic.Stream }

// Cancel drops both directions.
func (s quicStream) Cancel() {
	s.CancelRead(codeDone)
	s.CancelWrite(codeDone)
}

func (l quicCarrier) close(reason string) { _ = l.conn.CloseWithError(codeDone, reason) }

func (l quicCarrier) remote() string { return l.conn.RemoteAddr().String() }

func (l quicCarrier) signs() signs {
	s := l.conn.ConnectionStats()
	return signs{heard: s.PacketsReceived, packets: s.PacketsReceived, sent: s.PacketsSent, lost: s.PacketsLost, rtt: s.SmoothedRTT, deviation: s.MeanDeviation, latest: s.LatestRTT}
}

// probe does nothing: the other side acknowledges whatever is sent to it.
func (l quicCarrier) probe() {}

// stir has a relay say something, which a stream does that is for nothing: it is refused.
// It reports false where there may be no more streams.
func (l quicCarrier) stir() bool {
	s, err := l.conn.OpenStream()
	if err != nil {
		return false
	}
	_ = s.SetWriteDeadline(time.Now().Add(stirEvery))
	if wire.WriteMessage(s, wire.NewPing()) == nil {
		_ = s.Close()
	} else {
		s.CancelWrite(codeDone)
	}
	s.CancelRead(codeDone)
	return true
}

// overQUIC reports whether the link goes to an orchestrator over UDP.
func (l *link) overQUIC() bool {
	_, ok := l.carrier.(quicCarrier)
	return ok
}

func (l quicCarrier) done() <-chan struct{} { return l.conn.Context().Done() }

func (l quicCarrier) cause() error { return context.Cause(l.conn.Context()) }
