package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/nodeagent"
	"quorate/planner"
)

// controllerName and controllerLabel are of the agent that local tasks run on.
const (
	controllerName  = "controller"
	controllerLabel = "controller"
)

// An embedded is an orchestrator in this process, with its agents.
type embedded struct {
	dir    string
	client *api.Client
	node   *node
	agents *agentGroup
	// broken is closed when the orchestrator has ended by itself.
	broken chan struct{}
	// resumed are the runs that an earlier process left unfinished.
	resumed []uint64
	// temporary holds the socket where the path in the data directory is too long.
	temporary string
}

// startEmbedded starts an orchestrator and an agent for every host of the plan.
func (p *program) startEmbedded(c *cli.Context, plan *planner.Plan) (*embedded, error) {
	dir, err := p.dataDir(c, "embedded")
	if err != nil {
		return nil, err
	}
	if c.Bool("check") {
		p.con.note("embedded: this machine is checked as user %s; log and agents are in %s", userName(), dir)
	} else {
		err = p.con.confirm(c.Context, c.Bool("yes"), "every job will run on this very machine, as user %s, for %s below %s",
			userName(), count(len(plan.Hosts), "host"), filepath.Join(dir, "agents"))
		if err != nil {
			return nil, err
		}
		p.con.note("embedded: every job runs on this machine as user %s; log and agents are in %s", userName(), dir)
	}
	e, err := p.openEmbedded(c.Context, dir, "")
	if err != nil {
		return nil, err
	}
	hosts := map[string]bool{}
	for _, h := range plan.Hosts {
		hosts[h] = true
	}
	if err := e.populate(c.Context, p, hosts, c.Bool("check") && !c.Bool("yes")); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

// embeddedAgents lists the hosts that have an agent in a data directory; the
// controller is none.
func embeddedAgents(dir string) []string {
	entries, err := os.ReadDir(filepath.Join(dir, "agents"))
	if err != nil {
		return nil // nothing has run there yet
	}
	var names []string
	for _, e := range entries {
		if e.Name() != controllerName && enrolled(filepath.Join(dir, "agents", e.Name())) {
			names = append(names, e.Name())
		}
	}
	return names
}

func userName() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return fmt.Sprintf("%d", os.Geteuid())
}

// openEmbedded starts an orchestrator without agents. http may be empty.
func (p *program) openEmbedded(ctx context.Context, dir, http string) (*embedded, error) {
	e := &embedded{dir: dir, broken: make(chan struct{})}
	socket := filepath.Join(dir, socketName)
	if len(socket) > socketPathMax {
		temporary, err := temporaryDir("quorate-", socketName)
		if err != nil {
			return nil, err
		}
		e.temporary, socket = temporary, filepath.Join(temporary, socketName)
	}
	var err error
	// Not ended by the signal that ends the command: the API has to answer until
	// the command has said what became of the run.
	e.node, err = startNode(context.WithoutCancel(ctx), nodeConfig{
		dir: dir, addresses: addresses{Listen: "127.0.0.1:0", HTTP: http}, socket: socket, log: logEmbedded,
		version: p.version, logger: quietLogger(p.con),
	})
	if err != nil {
		e.stop()
		return nil, hinted(err, "is another quorate at work in %s? choose another --data-dir", dir)
	}
	go func() {
		_ = e.node.wait()
		close(e.broken)
	}()
	e.agents = newAgentGroup(ctx, e.node, p.version, quietLogger(p.con))
	if e.client, err = api.Dial(e.node.address()); err == nil {
		err = e.ready(ctx)
	}
	if err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

// quietLogger passes on what has gone wrong only: progress is shown otherwise.
func quietLogger(con *console) *slog.Logger {
	return slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: slog.LevelError}))
}

// readyMax bounds how long an orchestrator and agents of one's own may take to start.
const (
	readyMax   = time.Minute
	readyPause = 20 * time.Millisecond
)

// ready waits until the orchestrator leads and has read its log.
func (e *embedded) ready(ctx context.Context) error {
	return until(ctx, readyMax, "the orchestrator did not start", func() (bool, error) {
		return e.leads(ctx), nil
	})
}

// leads reports whether the orchestrator answers, leads and has read its log.
func (e *embedded) leads(ctx context.Context) bool {
	status, err := e.client.Status(ctx)
	return err == nil && status.Leader && status.Epoch > 0
}

// until asks a condition again and again.
func until(ctx context.Context, limit time.Duration, what string, condition func() (bool, error)) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		done, err := condition()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limited.Done():
			return fmt.Errorf("%s within %s", what, limit)
		case <-time.After(readyPause):
		}
	}
}

// populate starts the agents of the hosts, of runs that an earlier process left
// unfinished, and the controller. Where only a check was asked for there must be none
// of these runs.
func (e *embedded) populate(ctx context.Context, p *program, hosts map[string]bool, checking bool) error {
	var err error
	if e.resumed, err = e.unfinished(ctx, hosts); err != nil {
		return err
	}
	if checking && len(e.resumed) > 0 {
		return fail(exitRefused, fmt.Errorf("run %d of an earlier process is unfinished, and would go on beside the check", e.resumed[0]),
			"finish it with a command that is no check, check in another --data-dir, or say --yes")
	}
	for _, id := range e.resumed {
		p.con.note("run %d of an earlier process is unfinished: it goes on now", id)
	}
	hosts[controllerName] = true
	names := slices.Sorted(maps.Keys(hosts))
	for _, name := range names {
		var labels []string
		if name == controllerName {
			labels = []string{controllerLabel}
		}
		if err := e.agents.add(ctx, e.client, filepath.Join(e.dir, "agents"), name, labels); err != nil {
			return err
		}
	}
	return e.agents.connected(ctx, e.client, names)
}

// unfinished lists the runs under way, and adds their hosts.
func (e *embedded) unfinished(ctx context.Context, hosts map[string]bool) ([]uint64, error) {
	runs, err := e.client.Runs(ctx, 0)
	if err != nil {
		return nil, err
	}
	var ids []uint64
	for _, r := range runs {
		if r.Done() {
			continue
		}
		ids = append(ids, r.ID)
		run, err := e.client.Run(ctx, fmt.Sprint(r.ID))
		if err != nil {
			return nil, err
		}
		for _, t := range run.Tasks {
			for _, s := range t.Steps {
				if s.Host != "" {
					hosts[s.Host] = true
				}
			}
		}
	}
	return ids, nil
}

// finish waits for the runs that an earlier process left: they would not go on
// without this one.
func (e *embedded) finish(ctx context.Context, con *console) error {
	for _, id := range e.resumed {
		f := following{client: e.client, run: id, embedded: e}
		err := f.events(ctx, &lineReporter{con: con, out: io.Discard})
		if err != nil && !errors.Is(err, errWaiting) {
			return err
		}
		run, err := f.show(ctx)
		if err != nil {
			return err
		}
		con.note("run %d of an earlier process: %s", id, run.Status)
	}
	return nil
}

// stop ends agents and orchestrator. Jobs under way go on; the next start on the
// same directory adopts them.
func (e *embedded) stop() {
	if e.agents != nil {
		e.agents.stop()
	}
	e.sign()
	if e.client != nil {
		_ = e.client.Close()
	}
	if e.node != nil {
		if err := e.node.stop(); err != nil {
			e.node.cfg.logger.Error("orchestrator", "error", err)
		}
	}
	if e.temporary != "" {
		_ = os.RemoveAll(e.temporary)
	}
}

// signMax bounds how long an orchestrator that ends takes to sign its log.
const signMax = 2 * time.Second

// sign has the log signed up to its end: nobody else will before it is read.
func (e *embedded) sign() {
	if e.node == nil || e.node.orch == nil || e.client == nil || !e.node.orch.Leading() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), signMax)
	defer cancel()
	if _, err := e.node.orch.SignCheckpoint(ctx); err != nil {
		e.node.cfg.logger.Debug("the end of the log is not signed", "error", err)
	}
}

// An agentGroup is agents in this process.
type agentGroup struct {
	server  string
	version string
	logger  *slog.Logger
	ctx     context.Context // of the agents, not of a call
	cancel  context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	failed  error
}

func newAgentGroup(ctx context.Context, n *node, version string, logger *slog.Logger) *agentGroup {
	g := &agentGroup{server: localAddress(n.agent), version: version, logger: logger}
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return g
}

// localAddress is how a socket on all addresses is reached from this machine.
func localAddress(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// add starts an agent with its data under dir/NAME. An agent that is enrolled
// already keeps its identity.
func (g *agentGroup) add(ctx context.Context, client *api.Client, dir, name string, labels []string) error {
	if !filepath.IsLocal(name) || strings.ContainsRune(name, filepath.Separator) || name == "." {
		return fail(exitRefused, fmt.Errorf("host %q: the name cannot be a directory's", name))
	}
	cfg := nodeagent.Config{
		Servers: []string{g.server}, DataDir: filepath.Join(dir, name), WorkDir: filepath.Join(dir, name, "root"),
		Name: name, Version: g.version, Logger: g.logger.With("agent", name),
	}
	if err := os.MkdirAll(cfg.WorkDir, 0o700); err != nil {
		return fmt.Errorf("agent %s: %w", name, err)
	}
	if !enrolled(cfg.DataDir) {
		token, err := client.CreateToken(ctx, api.TokenCreate{Name: name, Role: "agent", Labels: labels, TTLSeconds: 3600})
		if err != nil {
			return fmt.Errorf("token for agent %s: %w", name, err)
		}
		cfg.Token = token.Token
	}
	g.done.Go(func() {
		if err := nodeagent.Run(g.ctx, cfg); err != nil && !errors.Is(err, context.Canceled) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.failed = errors.Join(g.failed, fmt.Errorf("agent %s: %w", name, err))
		}
	})
	return nil
}

// connected waits until the agents are there.
func (g *agentGroup) connected(ctx context.Context, client *api.Client, names []string) error {
	return until(ctx, readyMax, "the agents did not connect", func() (bool, error) {
		g.mu.Lock()
		failed := g.failed
		g.mu.Unlock()
		if failed != nil {
			return false, failed
		}
		agents, err := client.Agents(ctx)
		if err != nil {
			return false, err
		}
		missing := slices.Clone(names)
		for _, a := range agents {
			if a.Status == "connected" {
				missing = slices.DeleteFunc(missing, func(n string) bool { return n == a.Name })
			}
		}
		return len(missing) == 0, nil
	})
}

func (g *agentGroup) stop() {
	g.cancel()
	g.done.Wait()
}
