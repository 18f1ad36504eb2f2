// Package gateway holds the connections of agents: it sends each agent what the
// log has committed for it, and puts into the log what agents report.
//
// It decides nothing. What it sends follows from the folded state, so a gateway
// that lags can only repeat old commands; what it receives counts when the
// reducer says so. An agent is never believed: every size, number and name that
// comes from one is checked here before it is used.
package gateway

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"quorate/engine/orchestrator"
	"quorate/internal/admission"
	"quorate/internal/pki"
)

// Config says what a gateway works with.
type Config struct {
	Orchestrator *orchestrator.Orchestrator
	// Conn is the UDP socket that agents connect to. Serve closes it.
	Conn net.PacketConn
	// TCP is what agents connect to that UDP does not reach, or nil. Serve closes it.
	TCP net.Listener
	// Hosts are the names and addresses that the server's certificate carries.
	Hosts []string
	// ResetKeyPath is the file of the key by which agents notice a restart at
	// once; it is created where there is none. Empty uses a key of this process.
	ResetKeyPath string
	Logger       *slog.Logger
	// Limits bound what agents may use; zero fields take the defaults.
	Limits Limits
}

// A gateway is one Serve.
type gateway struct {
	o      *orchestrator.Orchestrator
	logger *slog.Logger
	limits Limits

	admission *admission.Admission
	guesses   *throttle // enrolments without a token that counts
	sessions  sessions
	commits   *committer
	presence  *presence
	damper    damper
	arrivals  arrivals
	crowd     crowd
	keys      planKeys
	facts     factsDesk
	turns     *turns        // of blob transfers
	strangers *throttle     // of what is said about those whose protocol is not served
	bulkRate  *rate.Limiter // of all blobs together, or nil
	relaying  relayDesk

	handshakesTCP admission.Queue

	tasks sync.WaitGroup
}

// Serve accepts agents until ctx ends. Then it tells them to go to the other
// gateways, where there are some, and returns nil when all connections are closed.
func Serve(ctx context.Context, cfg Config) error {
	if cfg.Orchestrator == nil || cfg.Conn == nil {
		return errors.New("gateway: an orchestrator and a socket are needed")
	}
	logger := cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	g := &gateway{o: cfg.Orchestrator, logger: logger, limits: cfg.Limits.orDefault()}
	g.admission = admission.New(g.limits.admission())
	g.guesses = newThrottle(g.limits.GuessesPerAddress, g.limits.Guesses)
	g.strangers = newThrottle(1, strangersMax)
	g.sessions.byAgent = map[uint64]*session{}
	g.commits = newCommitter(g.o, logger)
	g.presence = newPresence(g.o, g.limits.PartingHold, logger)
	g.turns = newTurns(g.limits.BlobStreams)
	g.bulkRate = newRate(g.limits.BulkRate)
	g.relaying.handshakes = admission.NewQueue(g.limits.HandshakesAtOnce)
	g.handshakesTCP = admission.NewQueue(g.limits.HandshakesAtOnce)
	if cfg.TCP != nil {
		defer cfg.TCP.Close()
	}
	return g.serve(ctx, cfg)
}

func (g *gateway) serve(ctx context.Context, cfg Config) error {
	key, err := pki.ResetKey(cfg.ResetKeyPath)
	if err != nil {
		cfg.Conn.Close()
		return err
	}
	cert, err := g.o.CA().IssueServer(cfg.Hosts)
	if err != nil {
		cfg.Conn.Close()
		return fmt.Errorf("gateway's certificate: %w", err)
	}
	if !g.awaitMembership(ctx) {
		cfg.Conn.Close()
		return nil
	}
	conf := pki.ServerTLS(cert, g.o.CA().Certificate())
	g.relaying.tls = pki.TunnelTLS(conf)
	conf = g.observed(conf, 0)
	listener, err := listen(cfg.Conn, conf, key, g.admission)
	if err != nil {
		cfg.Conn.Close()
		return err
	}
	stop := g.o.Observe(g.sessions.observe, nil)
	defer stop()
	defer g.o.ServeFacts(g.agentFacts)()
	// Connections outlive ctx until the agents have gone elsewhere.
	live, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.tasks.Go(func() { g.commits.run(live) })
	g.tasks.Go(func() { g.presence.run(live) })
	g.tasks.Go(func() { g.presence.leftovers(live, g.sessions.nonceOf) })
	g.tasks.Go(func() { g.balance(ctx) })
	g.tasks.Go(func() { g.announce(ctx) })
	g.tasks.Go(func() { g.tellCrowd(ctx) })
	g.tasks.Go(func() { g.watchMajority(ctx) })
	err = g.acceptBoth(ctx, live, listener, cfg.TCP, conf)
	if ctx.Err() != nil {
		g.dismissAll()
	}
	cancel()
	listener.close()
	g.tasks.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// acceptAll hands every connection to a goroutine of its own: nothing may hold up
// the queue, which is short. It accepts until accepting ends; connections are
// served as long as ctx lets them.
func (g *gateway) acceptAll(accepting, ctx context.Context, listener *listener) error {
	for {
		c, err := listener.accept(accepting)
		if err != nil {
			return err
		}
		g.tasks.Go(func() { g.attend(ctx, c) })
	}
}

// acceptBoth accepts over QUIC, and over TCP where there is a listener, until
// accepting ends or one of the two fails.
func (g *gateway) acceptBoth(accepting, ctx context.Context, overQUIC *listener, overTCP net.Listener, conf *tls.Config) error {
	either, accepting := errgroup.WithContext(accepting)
	either.Go(func() error { return g.acceptAll(accepting, ctx, overQUIC) })
	if overTCP != nil {
		either.Go(func() error { return g.acceptTCP(accepting, ctx, overTCP, conf) })
	}
	return either.Wait()
}

// attend serves a connection to its end.
func (g *gateway) attend(ctx context.Context, c *connection) {
	defer c.close(codeDone, "")
	// Before the log is read every agent is unknown, and a token that was spent looks
	// fresh.
	if g.o.CaughtUp(ctx) != nil {
		return
	}
	if c.enrols() {
		g.enrol(ctx, c)
		return
	}
	g.serveAgent(ctx, c)
}

// nonce names a session.
func nonce() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
