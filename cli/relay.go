package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize"
	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/nodeagent"
)

// relayAddress is the port for the agents of a site that nobody has to name.
const relayAddress = ":7443"

func (p *program) relayCommand() *cli.Command {
	return &cli.Command{
		Name: "relay", Category: sectionCluster, Usage: "run the relay of a site; list, show and revoke relays",
		Description: "Without a command it runs the relay of a site: one connection to the cluster, the agents of\n" +
			"the site behind it (\"quorate agent --relay ADDRESS\"), and each file that they need fetched once.\n" +
			"It sees what files are fetched, and nothing else of what the cluster and the agents say.\n" +
			"The token is needed once: \"quorate token create --role relay --name SITE\".",
		Flags: []cli.Flag{
			configFlag(),
			&cli.StringSliceFlag{Name: "server", EnvVars: []string{"QUORATE_AGENT_SERVER"}, Usage: "`ADDRESS,...` of orchestrators for agents, host:port"},
			&cli.StringFlag{Name: "listen", EnvVars: []string{"QUORATE_RELAY_LISTEN"}, Value: relayAddress, Usage: "`ADDRESS` for the agents of the site (UDP and TCP)"},
			&cli.StringFlag{Name: "token", EnvVars: []string{"QUORATE_TOKEN"}, Usage: "the `TOKEN` to join with, or @FILE"},
			&cli.StringFlag{Name: "token-file", EnvVars: []string{"QUORATE_TOKEN_FILE"}, Usage: "`FILE` that holds the token"},
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_RELAY_DATA_DIR"}, Usage: "`DIR` of the identity and the cache"},
			&cli.StringFlag{Name: "name", EnvVars: []string{"QUORATE_RELAY_NAME"}, Usage: "`NAME` of the site to propose where the token has none"},
			&cli.StringFlag{Name: "cache-bytes", EnvVars: []string{"QUORATE_RELAY_CACHE_BYTES"}, Value: "10GiB", Usage: "`BYTES` of the cache at most"},
			&cli.StringFlag{Name: "rate", EnvVars: []string{"QUORATE_RELAY_RATE"}, Usage: "`BYTES` per second of files at most, for instance 1.5MB; no limit without it"},
			&cli.StringFlag{Name: "log-level", EnvVars: []string{"QUORATE_LOG_LEVEL"}, Value: "info", Usage: "`LEVEL` of messages: debug, info, warn or error"},
		},
		Action: p.runRelay,
		Subcommands: []*cli.Command{
			{Name: "ls", Usage: "list relays", Action: p.relayList},
			{Name: "show", Usage: "show a relay and the agents behind it", ArgsUsage: "RELAY", Action: p.relayShow},
			{Name: "approve", Usage: "let a pending relay serve", ArgsUsage: "RELAY", Action: p.agentApprove},
			{Name: "revoke", Usage: "end a relay's right to connect, for ever", ArgsUsage: "RELAY", Action: p.agentRevoke,
				Flags: []cli.Flag{reasonFlag(), yesFlag()}},
		},
	}
}

func (p *program) runRelay(c *cli.Context) error {
	if err := configure(c); err != nil {
		return err
	}
	cfg := nodeagent.RelayConfig{Version: p.version, Name: c.String("name")}
	var err error
	if cfg.Servers, err = addressList(c, "server", "orchestrator:7440"); err != nil {
		return err
	}
	if cfg.CacheBytes, err = byteCount(c, "cache-bytes"); err != nil {
		return err
	}
	if cfg.BytesPerSecond, err = byteCount(c, "rate"); err != nil {
		return err
	}
	if cfg.Logger, err = p.logger(c); err != nil {
		return err
	}
	if cfg.DataDir, err = p.dataDir(c, "relay"); err != nil {
		return err
	}
	if cfg.Token, err = joinToken(c); err != nil {
		return err
	}
	if len(cfg.Servers) == 0 && !enrolled(cfg.DataDir) {
		return usage(commandLine(c)+" --help", "missing --server ADDRESS")
	}
	if cfg.Token == "" && !enrolled(cfg.DataDir) {
		return usage(commandLine(c)+" --help", "%s holds no identity: a token is needed to join, see \"quorate token create --role relay\"", cfg.DataDir)
	}
	if cfg.UDP, cfg.TCP, err = bothPorts(c.String("listen")); err != nil {
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			err = hinted(err, "no interface of this machine has that address, \"ip address\" lists those that there are: leave the host out, as in --listen %s", relayAddress)
		}
		return explainStart(err)
	}
	cfg.Logger.Info("listening for the agents of the site", "agents", cfg.UDP.LocalAddr().String(), "data_dir", cfg.DataDir)
	notifySystemd(p.con.getenv, "READY=1")
	return explainRelay(nodeagent.RunRelay(c.Context, cfg))
}

// explainRelay adds what to do about a relay that ended.
func explainRelay(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, nodeagent.ErrNoServers):
		return hinted(err, "name one with --server ADDRESS")
	case errors.Is(err, nodeagent.ErrLocked):
		return hinted(err, "stop that one, or choose another --data-dir")
	case errors.Is(err, nodeagent.ErrIncomplete):
		return hinted(err, "revoke the relay, make a new token, and start with an empty data directory")
	case errors.As(err, new(*nodeagent.ForeignError)):
		return hinted(err, `name the orchestrator that made the token with --server, or make a token on this one with "quorate token create --role relay"`)
	}
	return err
}

// byteCount reads a flag such as 10GiB or 1.5MB; an empty one is 0.
func byteCount(c *cli.Context, flag string) (int64, error) {
	text := c.String(flag)
	if text == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(strings.TrimSuffix(text, "/s"))
	if err == nil && n == 0 && flag == "rate" {
		return 0, usage(commandLine(c)+" --help", "--rate %s would let no file through: want for instance 1.5MB, or no --rate for no limit", text)
	}
	if err != nil || n == 0 || n > 1<<60 {
		return 0, usage(commandLine(c)+" --help", "--%s %q: want bytes, for instance 500MB or 10GiB", flag, text)
	}
	return int64(n), nil
}

// portTries bounds the search for a port that is free for both where any will do.
const portTries = 20

// bothPorts listens on the address over UDP and over TCP.
func bothPorts(address string) (net.PacketConn, net.Listener, error) {
	var failed error
	for range portTries {
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			return nil, nil, &addressError{"listen", "agents' address", err}
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		failed = errors.Join(&addressError{"listen", "agents' address over TCP", err}, udp.Close())
		if _, port, _ := net.SplitHostPort(address); port != "0" {
			break
		}
	}
	return nil, nil, failed
}

func (p *program) relayList(c *cli.Context) error {
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	relays, err := client.Relays(c.Context)
	if err != nil {
		return err
	}
	all, err := client.Agents(c.Context)
	if err != nil {
		return err
	}
	g := &grid{header: []any{"RELAY", "STATUS", "AGENTS", "SEEN", "REASON"}}
	for _, r := range relays {
		g.add(r.Name, agentStatus(&r), len(behind(all, r.Name)), stamp(r.SeenAt), r.Reason)
	}
	return emitAll(p, api.Agents{Schema: api.Schema, Agents: notNil(relays)}, relays, g)
}

// behind are the agents whose newest connection came through the relay.
func behind(all []api.Agent, relay string) (some []api.Agent) {
	for _, a := range all {
		if a.Relay == relay {
			some = append(some, a)
		}
	}
	return some
}

// A relayView is a relay with its agents.
type relayView struct {
	*api.Agent
	Agents []string `json:"agents"`
}

// asRelay has an error that nobody is of the name speak of relays where the command does.
func asRelay(c *cli.Context, err error) error {
	var missing *api.Error
	if errors.As(err, &missing) && missing.Code == "not-found" && strings.HasPrefix(commandLine(c), "quorate relay ") {
		missing.Message, missing.Hint = fmt.Sprintf("no relay %q", c.Args().First()), `"quorate relay ls" lists them`
	}
	return err
}

func (p *program) relayShow(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want one RELAY, by name or number")
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	r, err := client.Agent(c.Context, c.Args().First())
	if err != nil {
		return asRelay(c, err)
	}
	if r.Kind != roleRelay {
		return fail(exitRefused, fmt.Errorf("%s is an agent, and no relay", r.Name), "\"quorate agent show "+r.Name+"\" shows it, and \"quorate relay ls\" lists relays")
	}
	all, err := client.Agents(c.Context)
	if err != nil {
		return err
	}
	view := relayView{Agent: r, Agents: []string{}}
	connected := 0
	for _, a := range behind(all, r.Name) {
		view.Agents = append(view.Agents, a.Name)
		if a.Status == "connected" {
			connected++
		}
	}
	return p.emit(view, func() error {
		g := &grid{header: []any{"FIELD", "VALUE"}}
		g.add("name", r.Name)
		g.add("number", r.ID)
		g.add("status", agentStatus(r))
		if r.Reason != "" {
			g.add("reason", r.Reason)
		}
		g.add("hostname", orDash(r.Hostname))
		g.add("address", orDash(r.Address))
		g.add("version", orDash(r.Version))
		g.add("enrolled", stamp(r.EnrolledAt))
		g.add("seen", seen(r))
		g.add("agents", fmt.Sprintf("%d, %d of them connected", len(view.Agents), connected))
		g.add("", some(view.Agents, 20))
		return p.printGrid(g)
	})
}
