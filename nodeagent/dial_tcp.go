package nodeagent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"quorate/internal/mux"
	"quorate/nodeagent/wire"
)

// dialTCP connects over TCP alone, and calls answered when somebody is there.
func dialTCP(ctx context.Context, address string, conf *tls.Config, answered func()) (*link, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	answered()
	conn, err := mux.Client(ctx, raw, conf, mux.StreamsBy(streamsOf))
	if err != nil {
		return nil, plainTLS(err)
	}
	return &link{tcpCarrier{conn}}, nil
}

// errOtherProtocol is what an agent says that an orchestrator does not understand.
var errOtherProtocol = errors.New("the orchestrator does not serve agents of this version (" + wire.ALPNAgent +
	"): orchestrators are upgraded first, and serve agents of their own version and of the one before")

// plainTLS gives its plain words to the error of an orchestrator that has none of the
// protocols that it was offered, over TCP or through a relay.
func plainTLS(err error) error {
	var said *net.OpError
	if errors.As(err, &said) && said.Op == "remote error" && said.Err.Error() == "tls: internal error" {
		return fmt.Errorf("%w (%w)", errOtherProtocol, err)
	}
	return err
}

// tcpCarrier is a connection over TCP.
type tcpCarrier struct{ conn *mux.Conn }

func (l tcpCarrier) open(ctx context.Context) (stream, error) {
	s, err := l.conn.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return s, nil
}

func (l tcpCarrier) close(reason string) { _ = l.conn.CloseWithError(codeDone, reason) }

func (l tcpCarrier) remote() string { return l.conn.RemoteAddr().String() }

func (l tcpCarrier) signs() signs {
	s := l.conn.Stats()
	return signs{heard: s.Heard, packets: s.Received, sent: s.Sent, lost: s.Lost, rtt: s.RTT, deviation: s.Deviation, ordered: true}
}

func (l tcpCarrier) probe() { l.conn.Probe() }

func (l tcpCarrier) done() <-chan struct{} { return l.conn.Context().Done() }

func (l tcpCarrier) cause() error { return context.Cause(l.conn.Context()) }

// overTCP reports whether the link is there because UDP was not answered.
func (l *link) overTCP() bool {
	_, ok := l.carrier.(tcpCarrier)
	return ok
}
