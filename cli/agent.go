package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/nodeagent"
)

func (p *program) agentCommand() *cli.Command {
	return &cli.Command{
		Name: "agent", Category: sectionCluster, Usage: "run an agent; list, approve and revoke agents",
		Description: "Without a command it runs the agent of this machine. The token is needed once: the\n" +
			"identity that it buys is kept in the data directory, and so are the addresses of the\n" +
			"orchestrators, as the cluster tells them: a later start needs no --server.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.StringSliceFlag{Name: "server", EnvVars: []string{"QUORATE_AGENT_SERVER"}, Usage: "`ADDRESS,...` of orchestrators for agents, host:port"},
			&cli.StringSliceFlag{Name: "relay", EnvVars: []string{"QUORATE_AGENT_RELAY"}, Usage: "`ADDRESS,...` of relays of this site, which come before --server"},
			&cli.StringFlag{Name: "token", EnvVars: []string{"QUORATE_TOKEN"}, Usage: "the `TOKEN` to join with, or @FILE"},
			&cli.StringFlag{Name: "token-file", EnvVars: []string{"QUORATE_TOKEN_FILE"}, Usage: "`FILE` that holds the token"},
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_AGENT_DATA_DIR"}, Usage: "`DIR` of the identity, the journal and the running jobs"},
			&cli.StringFlag{Name: "work-dir", EnvVars: []string{"QUORATE_AGENT_WORK_DIR"}, Usage: "`DIR` where relative paths of jobs begin; / for root"},
			&cli.StringFlag{Name: "name", EnvVars: []string{"QUORATE_AGENT_NAME"}, Usage: "`NAME` to propose where the token has none"},
			&cli.DurationFlag{Name: "offline-after-reboot", EnvVars: []string{"QUORATE_AGENT_OFFLINE_AFTER_REBOOT"}, Value: 5 * time.Minute,
				Usage: "`TIME` without a connection after which what was shipped goes on though the host has restarted; 0 waits for one"},
			&cli.StringFlag{Name: "log-level", EnvVars: []string{"QUORATE_LOG_LEVEL"}, Value: "info", Usage: "`LEVEL` of messages: debug, info, warn or error"},
		},
		Action: p.runAgent,
		Subcommands: []*cli.Command{
			{Name: "ls", Usage: "list agents", Action: p.agentList},
			{Name: "show", Usage: "show an agent", ArgsUsage: "AGENT", Action: p.agentShow},
			{Name: "facts", Usage: "show what an agent remembers of its host, and what that has published", ArgsUsage: "AGENT", Action: p.agentFacts,
				Flags: []cli.Flag{&cli.BoolFlag{Name: "published", Usage: "do not ask the agent: show what is on record"}}},
			{Name: "approve", Usage: "let a pending agent work", ArgsUsage: "AGENT", Action: p.agentApprove},
			p.agentDrainCommand(), p.agentUndrainCommand(), p.agentCalmCommand(), p.agentPolicyCommand(),
			{Name: "revoke", Usage: "end an agent's right to connect, for ever", ArgsUsage: "AGENT", Action: p.agentRevoke,
				Flags: []cli.Flag{reasonFlag(), yesFlag()}},
		},
	}
}

func (p *program) runAgent(c *cli.Context) error {
	if err := configure(c); err != nil {
		return err
	}
	servers, err := addressList(c, "server", "orchestrator:7440")
	if err != nil {
		return err
	}
	relays, err := addressList(c, "relay", "relay:7443")
	if err != nil {
		return err
	}
	logger, err := p.logger(c)
	if err != nil {
		return err
	}
	dir, err := p.dataDir(c, "agent")
	if err != nil {
		return err
	}
	token, err := joinToken(c)
	if err != nil {
		return err
	}
	if len(servers)+len(relays) == 0 && !enrolled(dir) {
		return usage(commandLine(c)+" --help", "missing --server ADDRESS")
	}
	if token == "" && !enrolled(dir) {
		return usage(commandLine(c)+" --help", "%s holds no identity: a token is needed to join, see \"quorate token create\"", dir)
	}
	if c.Duration("offline-after-reboot") < 0 {
		return usage(commandLine(c)+" --help", "--offline-after-reboot %s: want a time, or 0 to wait for a connection", c.Duration("offline-after-reboot"))
	}
	notifySystemd(p.con.getenv, "READY=1")
	if p.con.getenv("GOGC") == "" {
		collectFrom(agentHeapBytes, agentGCPercent)
	}
	err = nodeagent.Run(c.Context, nodeagent.Config{
		Servers: servers, Relays: relays, Token: token, DataDir: dir, WorkDir: c.String("work-dir"), Name: c.String("name"),
		Version: p.version, Logger: logger, OfflineAfterReboot: c.Duration("offline-after-reboot"),
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if errors.Is(err, nodeagent.ErrNoServers) {
		return hinted(err, "name one with --server ADDRESS")
	}
	if errors.Is(err, nodeagent.ErrLocked) {
		return hinted(err, "stop that one, or choose another --data-dir: two agents need two of them")
	}
	if errors.Is(err, nodeagent.ErrIncomplete) {
		return hinted(err, "revoke the agent, make a new token, and start with an empty data directory")
	}
	if errors.As(err, new(*nodeagent.ForeignError)) {
		return hinted(err, `name the orchestrator that made the token with --server, or make a token on this one with "quorate token create"`)
	}
	return err
}

// addressList reads addresses of the form host:port.
func addressList(c *cli.Context, flag, example string) ([]string, error) {
	addresses := list(c, flag)
	for _, address := range addresses {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return nil, usage(commandLine(c)+" --help", "--%s %q: want host:port, for instance %s", flag, address, example)
		}
	}
	return addresses, nil
}

// joinToken reads the token from its flag, which may name a file, or from the file of
// the other flag.
func joinToken(c *cli.Context) (string, error) {
	token := c.String("token")
	if path := c.String("token-file"); token == "" && path != "" {
		token = "@" + path
	}
	return tokenFrom(token, "write the token to it, which \"quorate token create\" prints on the orchestrator's machine")
}

// enrolled reports whether a data directory holds an agent's identity.
func enrolled(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "identity.crt"))
	return err == nil
}

func (p *program) agentList(c *cli.Context) error {
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	agents, err := client.Agents(c.Context)
	if err != nil {
		return err
	}
	// Address and version, which "agent show" and -o json have, would not fit 80 columns.
	g := &grid{header: []any{"AGENT", "STATUS", "LABELS", "OPEN", "SEEN", "REASON"}}
	for _, a := range agents {
		g.add(a.Name, agentStatus(&a), some(a.Labels, 4), a.Open, stamp(a.SeenAt), a.Reason)
	}
	return emitAll(p, api.Agents{Schema: api.Schema, Agents: notNil(agents)}, agents, g)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// changeAgent runs a command that changes an agent, as often as it takes to know its
// outcome, and prints the agent.
func (p *program) changeAgent(c *cli.Context, do func(ctx context.Context, client *api.Client, name string) (*api.Agent, error)) error {
	return p.onAgent(c, func(ctx context.Context, client *api.Client, name string) (agent *api.Agent, err error) {
		err = persist(ctx, func() (err error) {
			agent, err = do(ctx, client, name)
			return err
		})
		return agent, err
	})
}

// onAgent runs a command about one agent and prints the agent.
func (p *program) onAgent(c *cli.Context, do func(ctx context.Context, client *api.Client, name string) (*api.Agent, error)) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want one AGENT, by name or number")
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	agent, err := do(c.Context, client, c.Args().First())
	if err != nil {
		return asRelay(c, err)
	}
	return p.emit(agent, func() error { return p.printAgent(agent) })
}

func (p *program) printAgent(a *api.Agent) error {
	g := &grid{header: []any{"FIELD", "VALUE"}}
	g.add("name", a.Name)
	g.add("number", a.ID)
	g.add("status", agentStatus(a))
	if a.Reason != "" {
		g.add("reason", a.Reason)
	}
	g.add("labels", some(a.Labels, len(a.Labels)))
	g.add("hostname", orDash(a.Hostname))
	g.add("address", orDash(a.Address))
	g.add("transport", orDash(a.Transport))
	if a.Relay != "" {
		g.add("relay", a.Relay)
	}
	g.add("version", orDash(a.Version))
	if a.Protocol != 0 {
		g.add("protocol", a.Protocol)
	}
	g.add("enrolled", stamp(a.EnrolledAt))
	g.add("seen", seen(a))
	g.add("open attempts", a.Open)
	if d := a.Drain; d != nil {
		g.add("drained", fmt.Sprintf("by %s, %s", d.By, stamp(d.Since)))
		g.add("drained for", orDash(d.Reason))
	}
	g.steadiness(a.Steadiness)
	if err := p.printGrid(g); err != nil || a.Steadiness == nil || len(a.Steadiness.Changes) == 0 {
		return err
	}
	return p.printGrids(comings(a.Steadiness))
}

// seen says when an agent was last seen to come or go, and which of them it was.
func seen(a *api.Agent) string {
	switch at := stamp(a.SeenAt); a.Status {
	case "connected":
		return at + ", when it connected"
	case "disconnected":
		if a.SeenAt.IsZero() {
			return at
		}
		return at + ", when its connection was found to be over"
	default:
		return at
	}
}

func (p *program) agentShow(c *cli.Context) error {
	return p.onAgent(c, func(ctx context.Context, client *api.Client, name string) (*api.Agent, error) {
		return client.Agent(ctx, name)
	})
}

func (p *program) agentApprove(c *cli.Context) error {
	in := api.AgentChange{RequestID: requestID()}
	return p.changeAgent(c, func(ctx context.Context, client *api.Client, name string) (*api.Agent, error) {
		return client.Approve(ctx, name, in)
	})
}

func (p *program) agentRevoke(c *cli.Context) error {
	in := api.AgentChange{RequestID: requestID(), Reason: c.String("reason")}
	if in.Reason == "" {
		return usage(commandLine(c)+" --help", "--reason is missing: the log keeps why")
	}
	if c.NArg() == 1 {
		if err := p.con.confirm(c.Context, c.Bool("yes"), "%s will be revoked for ever", c.Args().First()); err != nil {
			return err
		}
	}
	return p.changeAgent(c, func(ctx context.Context, client *api.Client, name string) (*api.Agent, error) {
		return client.Revoke(ctx, name, in)
	})
}
