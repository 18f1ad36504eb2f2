package port

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"quorate/raft/port/alpn"
)

// The protocols, as TLS negotiates them.
const (
	Raft     = alpn.Raft
	Snapshot = alpn.Snapshot
	Blob     = alpn.Blob
	Join     = alpn.Join
)

// Errors of a [Port].
var (
	// ErrUnknownReplica is wrapped where the book has no address of a replica.
	ErrUnknownReplica = errors.New("no address of this replica is known")
	// ErrOtherReplica is wrapped where another replica answers than was dialed.
	ErrOtherReplica = errors.New("another replica answers at this address")
	// ErrClosed is wrapped by what is asked of a closed port.
	ErrClosed = errors.New("port is closed")
)

// Limits of a [Port]; each 0 is its default.
type Limits struct {
	// Handshake is how long one may take, from the connection on; 5 s.
	Handshake time.Duration
	// Handshakes is how many may be under way, 256, and of one address, 64. Above
	// that the oldest is given up for the newest, so that those who only connect
	// and stay silent make room for who speaks.
	Handshakes, HandshakesPerAddress int
	// ConnectionsPerReplica is how many one replica may have open here, 64. More
	// are refused.
	ConnectionsPerReplica int
	// Joins is how many connections without a certificate may be open, 32. Above
	// that the oldest is closed. Each ends after JoinTime, 1 min.
	Joins    int
	JoinTime time.Duration
	// RaftSilence is for how long a Raft connection's peer may leave data
	// unacknowledged, or a probe of an idle connection unanswered, before the
	// connection is taken for dead; 2 s. BulkSilence is that of other protocols,
	// whose receivers may be slow; 30 s.
	RaftSilence, BulkSilence time.Duration
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Handshake:             cmp.Or(l.Handshake, 5*time.Second),
		Handshakes:            cmp.Or(l.Handshakes, 256),
		HandshakesPerAddress:  cmp.Or(l.HandshakesPerAddress, 64),
		ConnectionsPerReplica: cmp.Or(l.ConnectionsPerReplica, 64),
		Joins:                 cmp.Or(l.Joins, 32),
		JoinTime:              cmp.Or(l.JoinTime, time.Minute),
		RaftSilence:           cmp.Or(l.RaftSilence, 2*time.Second),
		BulkSilence:           cmp.Or(l.BulkSilence, 30*time.Second),
	}
}

// Config of a [Port]. Listener, Server, Client, PeerOf and Book are required.
type Config struct {
	// Listener accepts TCP connections. The port closes it.
	Listener net.Listener
	// Server and Client are the two ends' TLS configurations. Server demands of
	// each protocol but Join that the client shows a replica's certificate; Client
	// that the server does.
	Server, Client *tls.Config
	// PeerOf tells which replica is at the other end of a connection that one of
	// the two configurations has verified.
	PeerOf func(tls.ConnectionState) (replica uint64, err error)
	// Admit refuses a replica's connection for a protocol by an error; nil refuses none.
	// It is not asked about Join.
	Admit func(protocol string, replica uint64, remote net.Addr) error
	// Book resolves replicas to addresses.
	Book *Book
	// Logger gets what goes wrong with connections; nil discards it.
	Logger *slog.Logger
	Limits Limits
}

// A Port is where an orchestrator speaks to others. It is safe for concurrent use.
type Port struct {
	cfg    Config
	limits Limits
	log    *slog.Logger

	ctx    context.Context // of the handlers; ends at Close
	cancel context.CancelFunc

	mu         sync.Mutex
	closed     bool
	serving    bool
	handlers   map[string]Handler
	handshakes queue             // of connections in their handshake, the oldest first
	joins      queue             // of connections without a certificate
	open       map[net.Conn]peer // the TCP connections that handlers serve
	perReplica map[uint64]int
	goroutines sync.WaitGroup // handshakes and handlers; added to under mu while not closed
}

// A peer is whose connection it is.
type peer struct {
	protocol string
	replica  uint64 // 0 on Join
}

// A Handler serves one connection from a replica; from is 0 on Join. The
// connection is closed when it returns. Ctx ends when the port closes, which
// closes the connection too.
type Handler = func(ctx context.Context, conn net.Conn, from uint64)

// New makes a port. It accepts nothing before [Port.Serve].
func New(cfg Config) *Port {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Port{
		cfg: cfg, limits: cfg.Limits.withDefaults(), log: log,
		handlers: map[string]Handler{}, open: map[net.Conn]peer{}, perReplica: map[uint64]int{},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Handle serves a protocol's connections from now on; nil ends it for new ones.
// Without a handler they are refused, and who dials has to come again.
func (p *Port) Handle(protocol string, serve func(ctx context.Context, conn net.Conn, from uint64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if serve == nil {
		delete(p.handlers, protocol)
	} else {
		p.handlers[protocol] = serve
	}
}

// Review asks Admit again about the connections that are open, and closes those that it
// refuses by now.
func (p *Port) Review() {
	p.mu.Lock()
	open := maps.Clone(p.open)
	p.mu.Unlock()
	for conn, of := range open {
		if err := p.may(of, conn.RemoteAddr()); err != nil {
			p.log.Debug("raft port: connection ended", "remote", conn.RemoteAddr().String(), "err", err)
			_ = conn.Close() // its handler hears of it
		}
	}
}

// may is Admit's answer.
func (p *Port) may(of peer, remote net.Addr) error {
	if p.cfg.Admit == nil || of.protocol == Join {
		return nil
	}
	return p.cfg.Admit(of.protocol, of.replica, remote)
}

// Logger is the port's own, for those who serve its connections.
func (p *Port) Logger() *slog.Logger { return p.log }

// Addr is where the port listens.
func (p *Port) Addr() net.Addr { return p.cfg.Listener.Addr() }

// Serve accepts connections until ctx ends or the port is closed, closes it, and
// returns nil when all handlers have returned.
func (p *Port) Serve(ctx context.Context) error {
	p.mu.Lock()
	if p.closed || p.serving {
		p.mu.Unlock()
		return fmt.Errorf("raft port: %w", ErrClosed)
	}
	p.serving = true
	p.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = p.shut() })
	defer stop()
	p.acceptAll()
	return p.Close()
}

// Close closes the listener and every connection, and returns when all handlers
// have returned. It must not be called by one.
func (p *Port) Close() error {
	err := p.shut()
	p.goroutines.Wait()
	return err
}

// shut closes without waiting.
func (p *Port) shut() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	conns := p.handshakes.conns()
	for c := range p.open {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	p.cancel()
	err := p.cfg.Listener.Close()
	for _, c := range conns {
		_ = c.Close() // nothing is lost that a handler was told of
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("raft port: %w", err)
	}
	return nil
}
