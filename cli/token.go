package cli

import (
	"fmt"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

func (p *program) tokenCommand() *cli.Command {
	return &cli.Command{
		Name: "token", Category: sectionCluster, Usage: "make tokens that agents, relays and orchestrators join with",
		Subcommands: []*cli.Command{{
			Name: "create", Usage: "make a token and print it; it is shown once and kept nowhere",
			Description: "An agent joins with the token, the relay of a site with one of --role relay, and an orchestrator\n" +
				"with one of --role orchestrator (\"quorate cluster add\" prints the whole command). An operator\n" +
				"needs none: --role operator prints an identity, a certificate and its key, for the HTTPS address\n" +
				"of \"quorate server --http\". It is shown once, and issued on the orchestrator's machine only:\n\n" +
				"  (umask 077; quorate token create --role operator --name alice > alice.pem)\n" +
				"  quorate --server https://HOST:PORT --identity alice.pem run ls",
			Flags: []cli.Flag{
				&cli.DurationFlag{Name: "ttl", Value: time.Hour, Usage: "how long a token may be used, a `DURATION`"},
				&cli.StringFlag{Name: "name", Usage: "the `NAME` of the agent, site or operator; without one an agent proposes its own and waits for approval"},
				&cli.StringFlag{Name: "role", Value: roleAgent, Usage: "`ROLE` of whom it is for: agent, relay, orchestrator or operator"},
				&cli.StringSliceFlag{Name: "label", Usage: "`LABEL,...` of the agent, for instance controller"},
				&cli.BoolFlag{Name: "auto-approve", Usage: "let an agent that proposes its own name work at once"},
				lifetimeFlag(),
			},
			Action: p.tokenCreate,
		}},
	}
}

// The roles that somebody can have.
const (
	roleAgent        = "agent"
	roleRelay        = "relay"
	roleOrchestrator = "orchestrator"
	roleOperator     = "operator"
)

func (p *program) tokenCreate(c *cli.Context) error {
	switch role := c.String("role"); role {
	case roleAgent, roleRelay, roleOrchestrator:
		return p.joinToken(c, role)
	case roleOperator:
		return p.operatorIdentity(c)
	default:
		return usage(commandLine(c)+" --help", "--role %q: want agent, relay, orchestrator or operator", role)
	}
}

func (p *program) joinToken(c *cli.Context, role string) error {
	if c.IsSet("lifetime") {
		return usage(commandLine(c)+" --help", "--lifetime is for operators: a token is good for --ttl")
	}
	if role == roleOrchestrator {
		for _, flag := range []string{"name", "label", "auto-approve"} {
			if c.IsSet(flag) {
				return usage(commandLine(c)+" --help", "--%s is for agents: an orchestrator is called as its host", flag)
			}
		}
	}
	if role == roleRelay && c.IsSet("label") {
		return usage(commandLine(c)+" --help", "--label is for agents: a relay is given no work")
	}
	ttl := c.Duration("ttl")
	if ttl < time.Second {
		return usage(commandLine(c)+" --help", "--ttl %s: want at least 1s", ttl)
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	token, err := client.CreateToken(c.Context, api.TokenCreate{
		Name: c.String("name"), Role: role, Labels: list(c, "label"),
		TTLSeconds: int64(ttl / time.Second), AutoApprove: c.Bool("auto-approve"),
	})
	if err != nil {
		return err
	}
	return p.emit(token, func() error {
		if _, err := fmt.Fprintln(p.con.out, token.Token); err != nil {
			return err
		}
		p.con.note("the token may be used once, until %s", stamp(token.ExpiresAt))
		return nil
	})
}

// operatorIdentity prints a bundle for --identity. The key is in it: only what is
// meant to be kept goes to stdout, so that it can be redirected to a file.
func (p *program) operatorIdentity(c *cli.Context) error {
	for _, flag := range []string{"ttl", "label", "auto-approve"} {
		if c.IsSet(flag) {
			return usage(commandLine(c)+" --help", "--%s is for agents: an operator's identity has none of it", flag)
		}
	}
	name := c.String("name")
	if name == "" {
		return usage(commandLine(c)+" --help", "--name is missing: the log says by it who did what")
	}
	seconds, err := lifetime(c)
	if err != nil {
		return err
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	operator, err := client.CreateOperator(c.Context, api.OperatorCreate{Name: name, LifetimeSeconds: seconds})
	if err != nil {
		return err
	}
	err = p.emit(operator, func() error {
		_, err := fmt.Fprint(p.con.out, operator.Bundle)
		return err
	})
	if err != nil {
		return err
	}
	p.con.note("whoever has it acts as operator %s, until %s; it is shown this once", operator.Name, stamp(operator.ExpiresAt))
	p.con.note("keep it in a file of mode 0600, and use it with --identity FILE --server https://HOST:PORT")
	return nil
}
