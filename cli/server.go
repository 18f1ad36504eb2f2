package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/orchestrator"
	"quorate/engine/sink"
	"quorate/eventlog"
)

// gcPercent is how much a server's memory may grow until garbage is collected. It
// has little on its hands: a fifth less memory is worth a few percent of a core.
const gcPercent = 50

// The ports that nobody has to name.
const (
	agentsAddress = ":7440"
	raftAddress   = "127.0.0.1:7442"
)

func (p *program) serverCommand() *cli.Command {
	return &cli.Command{
		Name: "server", Category: sectionCluster, Usage: "run an orchestrator",
		Description: "Holds the log, schedules, and serves agents (QUIC over UDP, or TLS over TCP where UDP is\n" +
			"blocked) and operators (a unix socket in the data directory, and HTTPS with --http). SIGTERM ends it; runs go on when it is back, or\n" +
			"on another orchestrator. The first start writes an identity for operators to operator.pem in\n" +
			"the data directory.\n\n" +
			"The first orchestrator of a cluster is started with --bootstrap, the others with --join and\n" +
			"--token as \"quorate cluster add\" prints it. Started again in its directory, each is the member\n" +
			"that it was; --bootstrap and --join then mean nothing.",
		Flags: append([]cli.Flag{
			configFlag(),
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_DATA_DIR"}, Usage: "`DIR` of the log, the blobs and the keys"},
			&cli.StringFlag{Name: "listen", EnvVars: []string{"QUORATE_LISTEN"}, Value: agentsAddress, Usage: "`ADDRESS` for agents (UDP)"},
			&cli.StringFlag{Name: "listen-tcp", EnvVars: []string{"QUORATE_LISTEN_TCP"}, Usage: "`ADDRESS` for agents that UDP does not reach (TLS over TCP), or off; the port of --listen without it"},
			&cli.StringFlag{Name: "http", EnvVars: []string{"QUORATE_HTTP"}, Usage: "`ADDRESS` for operators (HTTPS, with certificates); none without it"},
			&cli.StringFlag{Name: "raft", EnvVars: []string{"QUORATE_RAFT"}, Value: raftAddress, Usage: "`ADDRESS` for other orchestrators (TCP); :7442 to be reached from other machines"},
			&cli.StringFlag{Name: "advertise", EnvVars: []string{"QUORATE_ADVERTISE"}, Usage: "`HOST` under which others reach this machine, where the addresses do not say"},
			&cli.BoolFlag{Name: "bootstrap", Usage: "start a new cluster; harmless where there is one"},
			&cli.StringSliceFlag{Name: "join", EnvVars: []string{"QUORATE_JOIN"}, Usage: "join the cluster of an orchestrator at one of `ADDRESS,...`, its --raft"},
			&cli.StringFlag{Name: "token", EnvVars: []string{"QUORATE_TOKEN"}, Usage: "the `TOKEN` to join with, or @FILE"},
			&cli.Uint64Flag{Name: "replace", Usage: "join in place of the orchestrator of this `NUMBER`, which is lost"},
			&cli.BoolFlag{Name: "force-replace", Usage: "replace it also where it answers"},
			&cli.StringSliceFlag{Name: "checkpoint-sink", EnvVars: []string{"QUORATE_CHECKPOINT_SINK"}, Usage: "keep signed checkpoints of the log outside of the cluster, while this one leads: `file:PATH` or https://URL; may be repeated"},
			&cli.StringFlag{Name: "log", EnvVars: []string{"QUORATE_LOG"}, Value: logRaft, Usage: "`KIND` of log: raft, or embedded for a single orchestrator for good"},
			&cli.StringFlag{Name: "log-level", EnvVars: []string{"QUORATE_LOG_LEVEL"}, Value: "info", Usage: "`LEVEL` of messages: debug, info, warn or error"},
		}, append(bulkRateFlags(), retentionFlags()...)...),
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
	cfg, err := p.nodeConfig(c, logger)
	if err != nil {
		return err
	}
	if p.con.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	n, err := startNode(c.Context, cfg)
	if err != nil {
		return explainDamage(explainStart(err), cfg.dir)
	}
	logger.Info("serving", "data_dir", cfg.dir, "replica", n.member.Replica, "agents", n.agent.String(), "operators", addressText(n.api),
		"orchestrators", orNone(n.at.raft), "socket", cfg.socket, "log", cfg.log)
	notifySystemd(p.con.getenv, "READY=1")
	go func() { // ends with the process
		<-c.Context.Done()
		notifySystemd(p.con.getenv, "STOPPING=1")
		n.retire()
	}()
	err = n.wait()
	n.close()
	logger.Info("stopped")
	return explainDamage(err, cfg.dir)
}

// nodeConfig is what the flags say.
func (p *program) nodeConfig(c *cli.Context, logger *slog.Logger) (nodeConfig, error) {
	help := commandLine(c) + " --help"
	kind := c.String("log")
	join, err := joiningOf(c, help, kind)
	if err != nil {
		return nodeConfig{}, err
	}
	if host := c.String("advertise"); strings.ContainsAny(host, "/ ") || net.ParseIP(host) == nil && strings.Contains(host, ":") {
		return nodeConfig{}, usage(help, "--advertise %q: want a host name or an IP address, without a port", host)
	}
	sinks, err := checkpointSinks(c, help)
	if err != nil {
		return nodeConfig{}, err
	}
	limits, err := gatewayLimits(c, help)
	if err != nil {
		return nodeConfig{}, err
	}
	retention, err := retentionOf(c, help)
	if err != nil {
		return nodeConfig{}, err
	}
	dir, err := p.dataDir(c, "server")
	if err != nil {
		return nodeConfig{}, err
	}
	at, member, err := startedAt(c, dir)
	if err != nil {
		return nodeConfig{}, err
	}
	// Only who is about to join needs the token: a file that is gone since must
	// not keep a member from starting again.
	if !member && len(join.addresses) > 0 {
		if join.token, err = tokenFrom(c.String("token"), "write the token to it, which \"quorate cluster add\" prints on a member"); err != nil {
			return nodeConfig{}, err
		}
	}
	if member && (len(join.addresses) > 0 || c.IsSet("token")) {
		logger.Info("this directory holds a member of a cluster, which starts again: --join, --token and --replace mean nothing", "data_dir", dir)
	}
	cfg := nodeConfig{
		dir: dir, addresses: at,
		socket: filepath.Join(dir, socketName), log: kind, bootstrap: c.Bool("bootstrap"), join: join, version: p.version, logger: logger,
		sinks: sinks, limits: limits,
		retention: retention,
	}
	if len(cfg.socket) > socketPathMax {
		return cfg, fail(exitError, fmt.Errorf("data directory %s: its path is too long for a unix socket", dir), "choose a shorter one with --data-dir")
	}
	return cfg, nil
}

// joiningOf reads which cluster is to be joined, if any, by an orchestrator with a log of
// a kind.
func joiningOf(c *cli.Context, help, kind string) (joining, error) {
	join := joining{addresses: list(c, "join"), replaces: c.Uint64("replace"), force: c.Bool("force-replace")}
	switch {
	case kind != logRaft && kind != logEmbedded:
		return join, usage(help, "--log %q: want raft or embedded", kind)
	case kind == logEmbedded && len(join.addresses) > 0:
		return join, usage(help, "--join needs --log raft: the embedded log is of a single orchestrator")
	case c.Bool("bootstrap") && len(join.addresses) > 0:
		return join, usage(help, "--bootstrap starts a new cluster and --join joins one: give one of them")
	case join.force && join.replaces == 0:
		return join, usage(help, "--force-replace needs --replace NUMBER")
	case join.replaces != 0 && len(join.addresses) == 0:
		return join, usage(help, "--replace needs --join ADDRESS of an orchestrator that is up")
	}
	_, err := addressList(c, "join", "orchestrator:7442")
	return join, err
}

// checkpointSinks are where else checkpoints are kept.
func checkpointSinks(c *cli.Context, help string) (sinks []orchestrator.Sink, err error) {
	for _, text := range c.StringSlice("checkpoint-sink") {
		s, err := sink.Parse(text)
		if err != nil {
			return nil, usage(help, "--checkpoint-sink %v", err)
		}
		sinks = append(sinks, s)
	}
	return sinks, nil
}

// startedAt is where to serve: as the flags say, or else as when this directory
// was served last, or else as by default. It reports whether it is of a member.
func startedAt(c *cli.Context, dir string) (at addresses, member bool, err error) {
	at = addresses{Listen: c.String("listen"), ListenTCP: c.String("listen-tcp"), HTTP: c.String("http"), Raft: c.String("raft"), Advertise: c.String("advertise")}
	m, err := memberDocument(dir)
	if err != nil || m == nil || m.At == nil {
		return at, m != nil, err
	}
	for flag, value := range map[string]struct{ now, last *string }{
		"listen": {&at.Listen, &m.At.Listen}, "listen-tcp": {&at.ListenTCP, &m.At.ListenTCP}, "http": {&at.HTTP, &m.At.HTTP},
		"raft": {&at.Raft, &m.At.Raft}, "advertise": {&at.Advertise, &m.At.Advertise},
	} {
		if !c.IsSet(flag) {
			*value.now = *value.last
		}
	}
	return at, true, nil
}

// explainStart adds what to do about a server that does not start.
func explainStart(err error) error {
	flag := "--listen, --http or --raft"
	if at := new(addressError); errors.As(err, &at) {
		flag = "--" + at.flag
	}
	switch {
	case errors.Is(err, eventlog.ErrInUse):
		return hinted(err, "another quorate is at work there: stop it, or choose another --data-dir")
	case errors.Is(err, syscall.EADDRINUSE):
		return hinted(err, "some other program has that port, \"ss -lntup\" tells which: stop it, or choose another %s", flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return hinted(err, "no interface of this machine has that address, \"ip address\" lists those that there are: leave the host out, as in %s :PORT, and name what others reach with --advertise", flag)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return hinted(err, "name a directory that this user may write to with --data-dir")
	}
	return err
}

// explainDamage adds what is left to do where no other orchestrator has the log.
func explainDamage(err error, dir string) error {
	if errors.As(err, new(*eventlog.CorruptError)) {
		return hinted(err, "put the file back from a copy of the directory, if there is one; what is left can be looked at with \"quorate replay --verify --data-dir %s\"", dir)
	}
	return err
}

// orNone is an address for a message.
func orNone(address string) string {
	if address == "" {
		return "none"
	}
	return address
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
