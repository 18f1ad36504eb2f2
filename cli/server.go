package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"syscall"

	cli "github.com/urfave/cli/v2"

	"quorate/eventlog"
	"quorate/raft"
)

// The ports that nobody has to name.
const (
	agentsAddress = ":7440"
	raftAddress   = "127.0.0.1:7442"
)

func (p *program) serverCommand() *cli.Command {
	return &cli.Command{
		Name: "server", Category: sectionCluster, Usage: "run an orchestrator",
		Description: "Holds the log, schedules, and serves agents (QUIC, UDP) and operators (a unix socket in\n" +
			"the data directory, and HTTPS with --http). SIGTERM ends it; runs go on when it is back.\n" +
			"The first start writes an identity for operators to operator.pem in the data directory.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_DATA_DIR"}, Usage: "`DIR` of the log, the blobs and the keys"},
			&cli.StringFlag{Name: "listen", EnvVars: []string{"QUORATE_LISTEN"}, Value: agentsAddress, Usage: "`ADDRESS` for agents (UDP)"},
			&cli.StringFlag{Name: "http", EnvVars: []string{"QUORATE_HTTP"}, Usage: "`ADDRESS` for operators (HTTPS, with certificates); none without it"},
			&cli.StringFlag{Name: "log", EnvVars: []string{"QUORATE_LOG"}, Value: logRaft, Usage: "`KIND` of log: raft, or embedded for a single orchestrator for good"},
			&cli.StringFlag{Name: "raft", EnvVars: []string{"QUORATE_RAFT"}, Value: raftAddress, Usage: "`ADDRESS` for other orchestrators, with --log raft"},
			&cli.Uint64Flag{Name: "replica", EnvVars: []string{"QUORATE_REPLICA"}, Value: 1, Usage: "`NUMBER` of this orchestrator in the cluster"},
			&cli.BoolFlag{Name: "bootstrap", Usage: "start a new cluster, with --log raft; harmless where there is one"},
			&cli.StringFlag{Name: "log-level", EnvVars: []string{"QUORATE_LOG_LEVEL"}, Value: "info", Usage: "`LEVEL` of messages: debug, info, warn or error"},
		},
		Action: p.serve,
	}
}

func (p *program) serve(c *cli.Context) error {
	if err := configure(c); err != nil {
		return err
	}
	logger, err := p.logger(c)
	if err != nil {
		return err
	}
	kind := c.String("log")
	if kind != logRaft && kind != logEmbedded {
		return usage(commandLine(c)+" --help", "--log %q: want raft or embedded", kind)
	}
	dir, err := p.dataDir(c, "server")
	if err != nil {
		return err
	}
	cfg := nodeConfig{
		dir: dir, listen: c.String("listen"), http: c.String("http"), socket: filepath.Join(dir, socketName),
		log: kind, replica: c.Uint64("replica"), version: p.version, logger: logger,
		raft: raft.Config{
			DataDir: dir, Replica: c.Uint64("replica"), RaftAddress: c.String("raft"), Bootstrap: c.Bool("bootstrap"), Logger: logger,
		},
	}
	if len(cfg.socket) > socketPathMax {
		return fail(exitError, fmt.Errorf("data directory %s: its path is too long for a unix socket", dir), "choose a shorter one with --data-dir")
	}
	n, err := startNode(c.Context, cfg)
	if errors.Is(err, eventlog.ErrInUse) || errors.Is(err, syscall.EADDRINUSE) {
		return hinted(err, "another quorate is at work there: stop it, or choose another --data-dir, --listen and --http")
	}
	if err != nil {
		return err
	}
	logger.Info("serving", "data_dir", dir, "agents", n.agent.String(), "operators", addressText(n.api), "socket", cfg.socket, "log", kind)
	notifySystemd(p.con.getenv, "READY=1")
	go func() {
		<-c.Context.Done()
		notifySystemd(p.con.getenv, "STOPPING=1")
	}()
	err = n.wait()
	n.close()
	logger.Info("stopped")
	return err
}

func addressText(a net.Addr) string {
	if a == nil {
		return "none"
	}
	return a.String()
}

// socketPathMax is what the kernel takes as the path of a unix socket.
const socketPathMax = 107

// dataDir is the absolute path of --data-dir or its default.
func (p *program) dataDir(c *cli.Context, kind string) (string, error) {
	dir := c.String("data-dir")
	if dir == "" {
		dir = p.defaultDir(kind)
	}
	return filepath.Abs(dir)
}

// logger writes what a server or an agent has to say to stderr.
func (p *program) logger(c *cli.Context) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return nil, usage(commandLine(c)+" --help", "--log-level %q: want debug, info, warn or error", c.String("log-level"))
	}
	return slog.New(slog.NewTextHandler(p.con.err, &slog.HandlerOptions{Level: level})), nil
}

// notifySystemd tells the service manager that started this process about it.
func notifySystemd(getenv func(string) string, state string) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if strings.HasPrefix(path, "@") { // the abstract namespace
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return // the manager is gone: nobody to tell
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
