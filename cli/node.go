package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/gateway"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/nodeagent/verb"
	"quorate/raft"
)

// A nodeConfig says how an orchestrator is put together.
type nodeConfig struct {
	dir string
	// listen is the agents' address (UDP), http the operators' (TLS over TCP, may be empty).
	listen, http string
	// socket is the path of the API's unix socket.
	socket  string
	log     string // logRaft or logEmbedded
	raft    raft.Config
	replica uint64
	version string
	logger  *slog.Logger
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

	group  *errgroup.Group
	cancel context.CancelFunc
	closed []io.Closer // in the order of opening
}

// startNode opens everything under the data directory and starts to serve. The
// orchestrator works until ctx ends or something breaks; see wait and stop.
func startNode(ctx context.Context, cfg nodeConfig) (*node, error) {
	n := &node{cfg: cfg}
	if err := n.start(ctx); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// start opens everything; on an error close releases what was opened.
func (n *node) start(ctx context.Context) error {
	cfg := &n.cfg
	if err := os.MkdirAll(cfg.dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	ctx, n.cancel = context.WithCancel(ctx)
	n.group, ctx = errgroup.WithContext(ctx)
	// The log first: whoever holds its lock owns the directory.
	log, err := n.openLog(ctx)
	if err != nil {
		return err
	}
	ca, err := pki.LoadOrCreate(filepath.Join(cfg.dir, "pki"))
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	if err := writeOperator(ca, filepath.Join(cfg.dir, operatorFile)); err != nil {
		return err
	}
	blobs, err := eventlog.OpenBlobs(filepath.Join(cfg.dir, "blobs"))
	if err != nil {
		return fmt.Errorf("blobs: %w", err)
	}
	n.orch, err = orchestrator.New(orchestrator.Config{
		Log: log, Blobs: blobs, CA: ca, Replica: cfg.replica, Version: cfg.version, Verbs: verb.Lookup, Logger: cfg.logger,
	})
	if err != nil {
		return err
	}
	return n.serve(ctx, ca)
}

func (n *node) openLog(ctx context.Context) (engine.Log, error) {
	if n.cfg.log == logEmbedded {
		log, err := eventlog.OpenEmbedded(n.cfg.dir)
		if err != nil {
			return nil, err
		}
		n.closed = append(n.closed, log)
		return log, nil
	}
	log, err := raft.Start(ctx, n.cfg.raft)
	switch {
	case errors.Is(err, raft.ErrNotBootstrapped):
		return nil, hinted(err, "start a new cluster with --bootstrap; if there was one, find out what became of its disk first")
	case errors.Is(err, raft.ErrDamaged), errors.Is(err, raft.ErrBehind), errors.Is(err, raft.ErrStoreBehind):
		return nil, hinted(err, "look at what is left with \"quorate replay --verify --data-dir %s\"", n.cfg.dir)
	case err != nil:
		return nil, err
	}
	n.closed = append(n.closed, log)
	return log, nil
}

// operatorFile is the first operator's certificate and key, in the data directory.
const operatorFile = "operator.pem"

// writeOperator leaves an identity for the first operator: without one nobody
// could use the API but from this machine.
func writeOperator(ca *pki.CA, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	bundle, err := ca.IssueOperator("admin")
	if err != nil {
		return fmt.Errorf("operator identity: %w", err)
	}
	return pki.WriteFile(path, bundle, 0o600)
}

// serve opens the sockets and starts the parts.
func (n *node) serve(ctx context.Context, ca *pki.CA) error {
	conn, err := net.ListenPacket("udp", n.cfg.listen)
	if err != nil {
		return fmt.Errorf("agents' address: %w", err)
	}
	n.agent = conn.LocalAddr()
	local, err := api.ListenUnix(n.cfg.socket)
	if err != nil {
		_ = conn.Close()
		return err
	}
	handler := api.NewHandler(n.orch)
	n.closed = append(n.closed, handler)
	n.group.Go(func() error { return n.orch.Run(ctx) })
	n.group.Go(func() error {
		return gateway.Serve(ctx, gateway.Config{
			Orchestrator: n.orch, Conn: conn, Hosts: n.hosts(n.cfg.listen), Logger: n.cfg.logger,
			ResetKeyPath: filepath.Join(n.cfg.dir, "pki", "reset.key"),
		})
	})
	n.group.Go(func() error { return api.ServeListener(ctx, handler, local) })
	if n.cfg.http == "" {
		return nil
	}
	cert, err := ca.IssueServer(n.hosts(n.cfg.http))
	if err != nil {
		return fmt.Errorf("server certificate: %w", err)
	}
	remote, err := net.Listen("tcp", n.cfg.http)
	if err != nil {
		return fmt.Errorf("operators' address: %w", err)
	}
	n.api = remote.Addr()
	n.group.Go(func() error {
		return api.ServeTLS(ctx, handler, remote, pki.OperatorServerTLS(cert, ca.Certificate()))
	})
	return nil
}

// hosts are the names in a certificate for an address of this node.
func (n *node) hosts(address string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, _, err := net.SplitHostPort(address); err == nil && host != "" {
		names = append(names, host)
	}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
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
	for i := len(n.closed) - 1; i >= 0; i-- {
		if err := n.closed[i].Close(); err != nil {
			n.cfg.logger.Error("closing", "error", err)
		}
	}
	n.closed = nil
}
