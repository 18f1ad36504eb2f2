package nodeagent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"quorate/internal/mux"
	"quorate/nodeagent/relay"
	"quorate/nodeagent/wire"
)

const (
	// tunnelTimeout is what a relay gets to open a tunnel: it waits for its own
	// connection where that is gone.
	tunnelTimeout = 9 * time.Second
	// dialTunnelTimeout is for all of it, with the handshake at the far end.
	dialTunnelTimeout = 20 * time.Second
	// stirEvery is how often a relay that lets an agent wait for a tunnel is asked whether
	// it is there, and stirsMin how often at least without a word until it is given up:
	// one that is busy gets shakeTimes what it took to shake hands.
	stirEvery  = 500 * time.Millisecond
	stirsMin   = 3
	shakeTimes = 4
)

// A RelayError says that a relay is there and has no way to the cluster.
type RelayError struct{ Address, Reason string }

func (e *RelayError) Error() string { return fmt.Sprintf("relay %s: %s", e.Address, e.Reason) }

// cutOff reports whether the relay has looked for a way, and found nobody.
func (e *RelayError) cutOff() bool {
	return e.Reason == noAnswer || strings.HasPrefix(e.Reason, relay.ErrNoUpstream.Error())
}

// noAnswer is the reason of a relay that says nothing.
const noAnswer = "no answer"

// relays are the relays of the agent's site. It is safe for concurrent use.
type relays struct {
	addresses []string
	// site is the agent's side of a connection to a relay, and proof what it has of its
	// cluster, for messages.
	site    *tls.Config
	proof   string
	sockets *sockets
	turns   map[string]chan struct{} // one tunnel at a time is asked for

	mu     sync.Mutex
	loose  *link     // for blobs while there is no session through a relay
	missed time.Time // when none of them answered who wanted one, the last time
}

// newRelays returns nil where there are none.
func newRelays(addresses []string, site *tls.Config, proof string, k *sockets) *relays {
	if len(addresses) == 0 {
		return nil
	}
	r := &relays{addresses: slices.Clone(addresses), site: site, proof: proof, sockets: k, turns: map[string]chan struct{}{}}
	rand.Shuffle(len(r.addresses), func(i, k int) { r.addresses[i], r.addresses[k] = r.addresses[k], r.addresses[i] })
	for _, address := range r.addresses {
		r.turns[address] = make(chan struct{}, 1)
	}
	return r
}

// tunnel connects to an orchestrator through a relay, which gets so long to answer. The
// connection to the relay is the tunnel's own, and ends with it.
func (r *relays) tunnel(ctx context.Context, address string, cluster *tls.Config, within time.Duration) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTunnelTimeout)
	defer cancel()
	// Who dials anew every second would ask for ten at once, and get them all.
	select {
	case r.turns[address] <- struct{}{}:
		defer func() { <-r.turns[address] }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	began := time.Now()
	dialling, answered := context.WithTimeout(ctx, within)
	site, err := r.sockets.dial(dialling, address, r.site, func() {})
	answered()
	if err != nil {
		return nil, foreign(err, address, r.proof)
	}
	there, left := site.whileThere(ctx, max(stirsMin, int(shakeTimes*time.Since(began)/stirEvery)))
	l, err := r.through(there, site, address, cluster)
	silent := errors.Is(context.Cause(there), errSilentRelay)
	left()
	if err != nil {
		site.close("no tunnel")
		if silent {
			err = &RelayError{address, noAnswer}
		}
		return nil, err
	}
	return l, nil
}

// through asks for a tunnel, and speaks with the orchestrator in it.
func (r *relays) through(ctx context.Context, site *link, address string, cluster *tls.Config) (*link, error) {
	s, err := site.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := askTunnel(ctx, s, address); err != nil {
		abandon(s)
		return nil, err
	}
	conn, err := mux.Client(ctx, newTunnelConn(s, site), cluster)
	if err != nil {
		return nil, fmt.Errorf("through relay %s: %w", address, foreign(plainTLS(err), address, r.proof))
	}
	return &link{tunnelCarrier{conn, site}}, nil
}

// whileThere returns a context that ends when so many looks in a row have heard nothing of
// the relay.
// Another one may be in its place, which cannot tell: it does not know the connection, nor
// the key that a word on it would need. The caller has to call left.
func (l *link) whileThere(ctx context.Context, stirs int) (there context.Context, left func()) {
	there, end := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		due := time.NewTicker(stirEvery)
		defer due.Stop()
		// Looks are counted and not time: it may be we who were stopped.
		for heard, unanswered := l.signs().heard, 0; unanswered < stirs; {
			select {
			case <-due.C:
			case <-there.Done():
				return
			}
			if now := l.signs().heard; now != heard {
				heard, unanswered = now, 0
			}
			if unanswered > 0 || l.stir() {
				unanswered++
			}
		}
		end(errSilentRelay)
	})
	return there, func() {
		end(nil)
		watching.Wait()
	}
}

// stir has the relay say something, and reports whether it was asked.
func (l *link) stir() bool {
	if c, ok := l.carrier.(quicCarrier); ok {
		return c.stir()
	}
	l.probe()
	return true
}

func askTunnel(ctx context.Context, s stream, address string) error {
	_ = s.SetDeadline(time.Now().Add(tunnelTimeout))
	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := wire.WriteMessage(s, &wire.Tunnel{}); err != nil {
		return fmt.Errorf("relay %s: %w", address, err)
	}
	m, err := wire.ReadFrom(s, wire.Orchestrator)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &RelayError{address, noAnswer}
	}
	if err != nil {
		return fmt.Errorf("relay %s: %w", address, err)
	}
	answer, ok := m.(*wire.Tunnelled)
	switch {
	case !ok:
		return fmt.Errorf("relay %s: %w: %T answers a tunnel", address, wire.ErrMalformed, m)
	case answer.Error != "":
		return &RelayError{address, answer.Error}
	}
	return s.SetDeadline(time.Time{})
}

// missedFor is how long relays that do not answer keep nobody waiting who has another way:
// each file would wait for them, one after the other.
const missedFor = 10 * time.Second

var errMissed = errors.New("no relay has answered a moment ago")

// blobs returns a connection to a relay to fetch blobs over. Who has another way waits
// less for it. Errors wrap errMissed where nobody was asked.
func (r *relays) blobs(ctx context.Context, otherWay bool) (*link, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loose != nil {
		select {
		case <-r.loose.done():
			r.loose = nil
		default:
			return r.loose, nil
		}
	}
	if otherWay {
		if time.Since(r.missed) < missedFor {
			return nil, errMissed
		}
		limited, cancel := context.WithTimeout(ctx, homeDial)
		defer cancel()
		ctx = limited
	}
	var failed error
	for _, address := range r.addresses {
		l, err := r.sockets.dial(ctx, address, r.site, func() {})
		if err == nil {
			r.loose = l
			return l, nil
		}
		failed = errors.Join(failed, foreign(err, address, r.proof))
	}
	if !errors.Is(ctx.Err(), context.Canceled) { // or nobody wants it any more
		r.missed = time.Now()
	}
	return nil, failed
}

// drop closes the connection for blobs, where it is that one.
func (r *relays) drop(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loose == l && l != nil {
		l.close("done")
		r.loose = nil
	}
}

// close ends what is not a session's.
func (r *relays) close() {
	if r != nil {
		r.mu.Lock()
		l := r.loose
		r.mu.Unlock()
		r.drop(l)
	}
}

// has reports whether the address is one of the relays'.
func (r *relays) has(address string) bool { return r != nil && slices.Contains(r.addresses, address) }

// A tunnelConn is a stream to a relay as a connection, with which that to the relay ends.
type tunnelConn struct {
	stream
	site *link
	addr net.Addr
	once sync.Once
}

func newTunnelConn(s stream, site *link) *tunnelConn {
	return &tunnelConn{stream: s, site: site, addr: relayAddr(site.remote())}
}

type relayAddr string

func (relayAddr) Network() string  { return "relay" }
func (a relayAddr) String() string { return string(a) }

func (c *tunnelConn) LocalAddr() net.Addr  { return c.addr }
func (c *tunnelConn) RemoteAddr() net.Addr { return c.addr }

// Close ends both directions.
func (c *tunnelConn) Close() error {
	c.once.Do(func() {
		abandon(c.stream)
		c.site.close("the tunnel is over")
	})
	return nil
}

// tunnelCarrier is a connection to an orchestrator through a relay.
type tunnelCarrier struct {
	conn *mux.Conn
	site *link
}

func (c tunnelCarrier) open(ctx context.Context) (stream, error) {
	s, err := c.conn.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	return s, nil
}

func (c tunnelCarrier) close(reason string) {
	_ = c.conn.CloseWithError(codeDone, reason) // which closes the tunnel when that is said
}

func (c tunnelCarrier) remote() string        { return c.site.remote() }
func (c tunnelCarrier) done() <-chan struct{} { return c.conn.Context().Done() }

func (c tunnelCarrier) cause() error { return context.Cause(c.conn.Context()) }

// signs are those of the relay: what becomes of its connection is for it to notice, and
// the tunnel ends with that. Only the round trip is that of the whole way.
func (c tunnelCarrier) signs() signs {
	s := c.site.signs()
	s.latest, s.rtt = 0, s.rtt+c.conn.RTT()
	return s
}

// probe asks the relay, which answers for itself alone.
func (c tunnelCarrier) probe() { c.site.probe() }

// viaRelay returns the connection to the relay that a link goes through, or nil.
func (l *link) viaRelay() *link {
	if c, ok := l.carrier.(tunnelCarrier); ok {
		return c.site
	}
	return nil
}
