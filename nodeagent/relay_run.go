package nodeagent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"quorate/internal/job"
	"quorate/internal/pki"
	"quorate/nodeagent/relay"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// RelayConfig is what the relay of a site needs to know.
type RelayConfig struct {
	// Servers, Token, DataDir, Name and Version are as in [Config]. Below DataDir is
	// the cache, too.
	Servers       []string
	Token         string
	DataDir, Name string
	Version       string
	// UDP and TCP are the port for the agents of the site; RunRelay closes them.
	UDP net.PacketConn
	TCP net.Listener
	// CacheBytes bounds the cache, and BytesPerSecond what is fetched into it; 0 does not.
	CacheBytes, BytesPerSecond int64
	Logger                     *slog.Logger
}

// RunRelay is the whole life of a relay: it joins the cluster where it has no identity
// yet, keeps one connection to any of the orchestrators, as an agent does that is given
// no work, and serves the agents of its site until ctx ends. It returns nil then, and
// errors as [Run] does.
func RunRelay(ctx context.Context, cfg RelayConfig) error {
	defer cfg.UDP.Close()
	defer cfg.TCP.Close()
	return run(ctx, Config{
		Servers: cfg.Servers, Token: cfg.Token, DataDir: cfg.DataDir, Name: cfg.Name, Version: cfg.Version,
		Logger: cfg.Logger, site: &cfg, WorkDir: cfg.DataDir,
	}, noWork)
}

// noWork is what a relay does with jobs: the cluster gives it none.
func noWork(context.Context, *verb.Env, *job.Job) verb.Result {
	return verb.Result{Outcome: verb.Failed, Exit: 1, Info: "a relay runs no jobs"}
}

// fileResetKey holds the key of a relay's stateless resets.
const fileResetKey = "reset.key"

// serveSite serves the agents of the site until ctx ends, or the port fails.
func (a *agent) serveSite(ctx context.Context, cfg *RelayConfig) error {
	cache, err := relay.NewCache(filepath.Join(a.cfg.DataDir, "cache"), cfg.CacheBytes, cfg.BytesPerSecond, a.openUpstream, a.log)
	if err != nil {
		return err
	}
	notices, err := relay.OpenNotices(filepath.Join(a.cfg.DataDir, "notices.db"), a.log)
	if err != nil {
		return err
	}
	key, err := pki.ResetKey(filepath.Join(a.cfg.DataDir, fileResetKey))
	if err != nil {
		return errors.Join(err, notices.Close())
	}
	err = relay.Serve(ctx, relay.Config{
		UDP: cfg.UDP, TCP: cfg.TCP, TLS: pki.SiteServerTLS(a.id.cert, a.id.ca), Open: a.openUpstream, Cache: cache, Notices: notices,
		ResetKey: key, Logger: a.log,
	})
	return errors.Join(err, notices.Close())
}

// runRelay is run, with the site's port beside it.
func (a *agent) runRelay(ctx context.Context, cfg *RelayConfig) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var site sync.WaitGroup
	var failed error
	site.Go(func() {
		defer cancel()
		if failed = a.serveSite(ctx, cfg); failed != nil {
			failed = fmt.Errorf("relay: %w", failed)
		}
	})
	err := a.run(ctx)
	cancel()
	site.Wait()
	return errors.Join(err, failed)
}

// openUpstream opens a stream to the orchestrator that the relay is connected to, and
// waits for one as long as ctx lets it.
func (a *agent) openUpstream(ctx context.Context) (relay.Stream, error) {
	for {
		online := a.blobs.whenOnline()
		if s := a.current(); s != nil {
			opened, err := s.link.open(ctx)
			if err == nil {
				return upstream{opened}, nil
			}
			select {
			case <-s.ended: // another one may be there already
				continue
			case <-online:
			case <-ctx.Done():
				return nil, err
			}
		}
		select {
		case <-online:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// What stays of a relay's connections when another one takes their place, for the
// tunnels in them: so many, for so long. Their gateways ask the agents to follow, and
// close them when the last has left.
const (
	retiredMax  = 2
	retiredTime = 40 * time.Second
)

// succeed is replace for a relay whose orchestrator before is still there.
func (a *agent) succeed(ctx context.Context, old, next *session) *session {
	select {
	case a.retired <- struct{}{}:
	default:
		return a.replace(ctx, old, next)
	}
	a.begin(ctx, next)
	close(old.retired)
	a.sessions.Go(func() {
		defer func() { <-a.retired }()
		limit := time.NewTimer(retiredTime)
		defer limit.Stop()
		select {
		case <-old.link.done():
		case <-limit.C:
		case <-ctx.Done():
		}
		old.link.close("the relay is connected elsewhere")
	})
	return next
}

// upstream is a stream of the relay's own connection.
type upstream struct{ stream }

// Cancel implements [relay.Stream].
func (s upstream) Cancel() { abandon(s.stream) }

// clusterTLS is the agent's side of a connection to an orchestrator.
func (a *agent) clusterTLS() *tls.Config {
	if a.cfg.site != nil {
		return pki.RelayTLS(a.id.cert, a.id.ca)
	}
	return pki.AgentTLS(a.id.cert, a.id.ca)
}

// Streams that are open at once on a connection to an orchestrator over TCP, where both
// sides have to agree on it: an agent's, and those of a relay, each of which is an
// agent's connection or a blob.
const (
	agentStreamsMax = 8
	relayStreamsMax = 1024
)

func streamsOf(protocol string) int {
	if protocol == wire.ALPNRelay {
		return relayStreamsMax
	}
	return agentStreamsMax
}
