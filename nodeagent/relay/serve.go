package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/internal/admission"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// What one connection of an agent may take: a control tunnel, another while it moves,
// and a few blobs. Agents are near, so that small windows will do.
const (
	handshakeTimeout      = 5 * time.Second
	idleTimeout           = 30 * time.Second
	keepAlive             = 10 * time.Second
	streamsMax            = 8
	streamWindowBytes     = 256 << 10
	connectionWindowBytes = 1 << 20
	// firstTimeout is what an agent gets to say what a stream is for.
	firstTimeout = 10 * time.Second
	// enrolTimeout bounds a connection of somebody without a certificate.
	enrolTimeout = time.Minute
)

// limits is what the port for agents takes at a time. An agent has two connections, one of
// which is for notices, and a few more while it looks for a better one; those behind one
// NAT share an address.
func limits() admission.Limits {
	handshakes := admission.Handshakes{All: 512, PerAddress: 64}
	return admission.Limits{
		Connections: 8192, ConnectionsPerAddress: 1024, Unproven: 32, UnprovenPerAddress: 8,
		UDP: handshakes, TCP: handshakes, HandshakeTimeout: handshakeTimeout,
	}
}

// Config says what a relay works with.
type Config struct {
	// UDP and TCP are the port of the agents; Serve closes them.
	UDP net.PacketConn
	TCP net.Listener
	// TLS is the side of the relay, see pki.SiteServerTLS.
	TLS *tls.Config
	// Open opens a stream to whichever orchestrator the relay is connected to, and
	// waits for one as long as its context lets it.
	Open  func(context.Context) (Stream, error)
	Cache *Cache
	// Notices are those of the site, or nil where none are taken.
	Notices *Notices
	// ResetKey is by what agents notice a restart at once, see pki.ResetKey.
	ResetKey [32]byte
	Logger   *slog.Logger
}

// A relay is one Serve.
type relay struct {
	cfg       Config
	log       *slog.Logger
	admission *admission.Admission
	shares    *shares
	refusals  *refusals
	tasks     sync.WaitGroup
}

// Serve accepts the agents of a site until ctx ends, and returns when all connections
// are closed: nil, or why one of the sockets failed.
func Serve(ctx context.Context, cfg Config) error {
	r := &relay{cfg: cfg, log: cfg.Logger, admission: admission.New(limits()), shares: newShares(), refusals: newRefusals(cfg.Logger)}
	conf := pki.Observed(cfg.TLS, r.refusals.shaking)
	whole := ctx
	ctx, cancel := context.WithCancelCause(whole)
	defer cancel(nil)
	key := quic.StatelessResetKey(cfg.ResetKey)
	transport := &quic.Transport{
		Conn:                cfg.UDP,
		StatelessResetKey:   &key,
		VerifySourceAddress: r.admission.MustProve,
		ConnContext: func(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
			ctx, err := r.admission.Context(ctx, info.RemoteAddr, info.AddrVerified)
			if err != nil {
				r.refusals.note(err.Error(), info.RemoteAddr)
			}
			return ctx, err
		},
	}
	listener, err := transport.Listen(conf, &quic.Config{
		HandshakeIdleTimeout: handshakeTimeout, MaxIdleTimeout: idleTimeout, KeepAlivePeriod: keepAlive,
		InitialStreamReceiveWindow: streamWindowBytes, MaxStreamReceiveWindow: streamWindowBytes,
		InitialConnectionReceiveWindow: connectionWindowBytes, MaxConnectionReceiveWindow: connectionWindowBytes,
		MaxIncomingStreams: streamsMax, MaxIncomingUniStreams: -1, Allow0RTT: false, // its data can be replayed
	})
	if err != nil {
		return fmt.Errorf("relay on %s: %w", cfg.UDP.LocalAddr(), errors.Join(err, transport.Close(), cfg.UDP.Close(), cfg.TCP.Close()))
	}
	r.tasks.Go(func() { cancel(r.acceptQUIC(ctx, listener)) })
	r.tasks.Go(func() { cancel(r.acceptTCP(ctx, conf)) })
	r.tasks.Go(func() { r.refusals.run(ctx) })
	<-ctx.Done()
	err = context.Cause(ctx)
	// Nothing is left to be done about errors: the sockets go in any case.
	_ = listener.Close()
	_ = transport.Close()
	_ = cfg.UDP.Close()
	_ = cfg.TCP.Close()
	r.tasks.Wait()
	cfg.Cache.Wait()
	if whole.Err() != nil {
		return nil
	}
	return err
}

// acceptPause is how long to wait where this process has no descriptors left.
const acceptPause = 100 * time.Millisecond

func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.ENOBUFS)
}

func (r *relay) acceptQUIC(ctx context.Context, listener *quic.Listener) error {
	for {
		c, err := listener.Accept(ctx)
		if err != nil {
			return fmt.Errorf("agents over UDP: %w", err)
		}
		admission.Shaken(c.Context())
		r.tasks.Go(func() { r.serve(ctx, quicConn{c}) })
	}
}

func (r *relay) acceptTCP(ctx context.Context, conf *tls.Config) error {
	for {
		raw, err := r.cfg.TCP.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !exhausted(err) {
				return fmt.Errorf("agents over TCP: %w", err)
			}
			if !sleep(ctx, acceptPause) { // others may give theirs back
				return ctx.Err()
			}
			continue
		}
		t, err := r.admission.TCP(raw.RemoteAddr())
		if err != nil {
			r.refusals.note(err.Error(), raw.RemoteAddr())
			_ = raw.Close()
			continue
		}
		r.tasks.Go(func() {
			defer t.Release()
			c, err := overTCP(ctx, raw, conf)
			if err != nil {
				return
			}
			t.Shaken()
			r.serve(ctx, c)
		})
	}
}

// serve answers the streams of a connection to its end.
func (r *relay) serve(ctx context.Context, c agentConn) {
	defer c.end("")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.end("the relay stops") })
	defer stop()
	enrols, crowd := c.protocol() == wire.ALPNSiteEnrol, "the agent has too many connections"
	if enrols {
		crowd = "others want to enrol: try again"
	}
	done, err := r.shares.connection(c, func() {
		r.refusals.note(crowd, c.remote())
		c.end(crowd)
	})
	if err != nil {
		r.refusals.note(err.Error(), c.remote())
		c.end(err.Error())
		return
	}
	defer done()
	if enrols {
		overdue := time.AfterFunc(enrolTimeout, func() { c.end("the enrolment took too long") })
		defer overdue.Stop()
	}
	var streams sync.WaitGroup
	defer streams.Wait()
	go func() { // ends with the connection, which ends with ctx
		<-c.ended()
		cancel()
	}()
	for {
		s, err := c.accept(ctx)
		if err != nil {
			return
		}
		streams.Go(func() {
			if err := r.answer(ctx, c, s, enrols); err == nil {
				finish(s)
			} else if s.Cancel(); ctx.Err() == nil {
				r.log.Debug("a stream of an agent ended", "address", c.remote().String(), "error", err)
			}
		})
		if enrols { // one tunnel is all that it may have
			return
		}
	}
}

// finish is for a stream whose direction from here is closed: cancelling that would take
// back what is still on its way. The other direction has nothing more to say.
func finish(s Stream) {
	_ = s.SetReadDeadline(time.Now().Add(firstTimeout))
	if n, err := s.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		s.Cancel()
	}
}

// answer does what the first message of a stream asks for.
func (r *relay) answer(ctx context.Context, c agentConn, s Stream, enrols bool) error {
	if err := s.SetReadDeadline(time.Now().Add(firstTimeout)); err != nil {
		return err
	}
	message, err := wire.ReadFrom(s, wire.Agent)
	if err != nil {
		return err
	}
	switch m := message.(type) {
	case *wire.Tunnel:
		return r.tunnel(ctx, c, s)
	case *wire.BlobRequest:
		if !enrols {
			return r.blob(ctx, c, s, m)
		}
	case *wire.Watch:
		if !enrols {
			return r.notices(ctx, c, s, m)
		}
	}
	return errors.New("protocol: a tunnel, a blob or notices are to be asked for on this stream")
}
