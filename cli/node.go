package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/denial"
	"quorate/engine/gateway"
	"quorate/engine/orchestrator"
	"quorate/engine/snapshot"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/nodeagent/verb"
)

// A nodeConfig says how an orchestrator is put together.
type nodeConfig struct {
	dir string
	addresses
	// socket is the path of the API's unix socket.
	socket string
	log    string // logRaft or logEmbedded
	// What to do in a directory that holds no member yet.
	bootstrap bool
	join      joining
	version   string
	logger    *slog.Logger
	sinks     []orchestrator.Sink // of checkpoints
	retention orchestrator.Retention
	limits    gateway.Limits
}

// The logs that an orchestrator can work on.
const (
	logRaft     = "raft"
	logEmbedded = "embedded"
)

// A node is an orchestrator at work in this process.
type node struct {
	cfg   nodeConfig
	agent net.Addr // where the gateway listens
	api   net.Addr // where operators connect; nil where they do not
	orch  *orchestrator.Orchestrator
	// member is which of the cluster's this is, at which addresses.
	member *membership
	at     reachable
	peers  *peers // the others; nil with logEmbedded

	sockets sockets
	group   *errgroup.Group
	cancel  context.CancelFunc
	closed  []io.Closer // in the order of opening
	denials *denial.Ledger
}

// startNode opens everything under the data directory and starts to serve; ctx
// bounds that and nothing else. The orchestrator works until it is stopped or
// something breaks; see wait and stop.
func startNode(ctx context.Context, cfg nodeConfig) (*node, error) {
	n := &node{cfg: cfg, denials: denial.NewLedger(nil)}
	made := missing(cfg.dir)
	err := n.start(ctx)
	if err == nil {
		return n, nil
	}
	if len(n.closed) > 0 { // the directory is its own
		tidy(cfg.dir, made)
	}
	n.close()
	return nil, err
}

// start opens everything; on an error close releases what was opened.
func (n *node) start(ctx context.Context) error {
	cfg := &n.cfg
	lock, err := lockDir(cfg.dir)
	if err != nil {
		return err
	}
	n.closed = append(n.closed, lock)
	if err := wantRestored(cfg.dir); err != nil {
		return err
	}
	starting := ctx
	// Not ended by the signal that ends the command: a leader hands over before.
	ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	n.group, ctx = errgroup.WithContext(ctx)
	if err := n.openSockets(); err != nil {
		return err
	}
	log, err := n.openLog(starting, ctx)
	if err != nil {
		return err
	}
	ca, err := n.authority()
	if err != nil {
		return err
	}
	if n.peers == nil { // who waits for the embedded log to be there finds it as well
		if err := writeOperator(ca, n.operatorPath()); err != nil {
			return err
		}
	}
	blobs, err := eventlog.OpenBlobs(n.blobsDir())
	if err != nil {
		return fmt.Errorf("blobs: %w", err)
	}
	oc := orchestrator.Config{
		Log: log, Blobs: blobs, CA: ca, Replica: n.member.Replica, Version: cfg.version, Verbs: verb.Lookup, Logger: cfg.logger,
		States: filepath.Join(cfg.dir, snapshot.DirName), Sinks: cfg.sinks,
		Retention: cfg.retention, Denials: n.denials,
	}
	if n.peers != nil {
		n.peers.configure(n, &oc)
	}
	if n.orch, err = orchestrator.New(oc); err != nil {
		return err
	}
	return n.serve(ctx, ca)
}

func (n *node) pkiDir() string   { return filepath.Join(n.cfg.dir, "pki") }
func (n *node) blobsDir() string { return filepath.Join(n.cfg.dir, "blobs") }

// openLog opens the log. What it takes to get there ends with starting, what
// goes on behind it with ctx.
func (n *node) openLog(starting, ctx context.Context) (engine.Log, error) {
	if n.cfg.log == logRaft {
		return n.openRaft(starting, ctx)
	}
	n.member = &membership{Replica: 1}
	if _, err := n.authority(); err != nil { // before there is a log, which says that it is in use
		return nil, err
	}
	log, err := eventlog.OpenEmbedded(n.cfg.dir)
	if err != nil {
		return nil, err
	}
	n.closed = append(n.closed, log)
	return log, nil
}

// serve starts the parts behind the sockets.
func (n *node) serve(ctx context.Context, ca *pki.CA) error {
	local, err := api.ListenUnix(n.cfg.socket)
	if err != nil {
		return err
	}
	options := []api.Option{api.WithBackup(n.backup)}
	if n.peers != nil {
		options = append(options, api.WithProbe(n.peers.probe))
	}
	handler := api.NewHandler(n.orch, options...)
	n.closed = append(n.closed, handler)
	agents, agentsTCP := n.sockets.takeAgents()
	n.group.Go(func() error { return n.explainRaft(n.orch.Run(ctx)) })
	n.group.Go(func() error {
		return gateway.Serve(ctx, gateway.Config{
			Orchestrator: n.orch, Conn: agents, TCP: agentsTCP, Hosts: n.hosts(n.cfg.Listen), Logger: n.cfg.logger,
			ResetKeyPath: filepath.Join(n.pkiDir(), "reset.key"), Limits: n.cfg.limits,
		})
	})
	n.group.Go(func() error { return api.ServeListener(ctx, handler, local) })
	if n.peers != nil {
		n.peers.serve(ctx, n)
	}
	n.group.Go(func() error { return n.appoint(ctx) })
	if n.api == nil {
		return nil
	}
	cert, err := ca.IssueServer(n.hosts(n.cfg.HTTP))
	if err != nil {
		return fmt.Errorf("server certificate: %w", err)
	}
	remote := n.sockets.takeOperators()
	n.group.Go(func() error {
		return api.ServeTLS(ctx, handler, remote, n.observed(pki.OperatorServerTLS(cert, ca.Certificate()), entryAPI, ca.Certificate()))
	})
	return nil
}

// hosts are the names in a certificate for an address of this node.
func (n *node) hosts(address string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	for _, host := range []string{namedHost(address), n.cfg.Advertise, n.at.host} {
		if host != "" {
			names = append(names, host)
		}
	}
	return names
}

// address is how clients on this machine reach the API.
func (n *node) address() string { return "unix://" + n.cfg.socket }

// wait blocks until the node has ended, and returns why.
func (n *node) wait() error {
	err := n.group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// retire lets others take over what they can, and then ends the node.
func (n *node) retire() {
	n.handOver(context.Background())
	n.cancel()
}

// stop ends the node and releases the directory.
func (n *node) stop() error {
	n.cancel()
	err := n.wait()
	n.close()
	return err
}

func (n *node) close() {
	if n.cancel != nil {
		n.cancel()
	}
	n.sockets.close()
	for i := len(n.closed) - 1; i >= 0; i-- {
		if err := n.closed[i].Close(); err != nil {
			n.cfg.logger.Error("closing", "error", err)
		}
	}
	n.closed = nil
}
