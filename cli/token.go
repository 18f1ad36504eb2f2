package cli

import (
	"fmt"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

func (p *program) tokenCommand() *cli.Command {
	return &cli.Command{
		Name: "token", Category: sectionCluster, Usage: "make tokens that agents join with",
		Subcommands: []*cli.Command{{
			Name: "create", Usage: "make a token and print it; it is shown once and kept nowhere",
			Flags: []cli.Flag{
				&cli.DurationFlag{Name: "ttl", Value: time.Hour, Usage: "how long it may be used, a `DURATION`"},
				&cli.StringFlag{Name: "name", Usage: "the `NAME` of the agent; without one the agent proposes its own and waits for approval"},
				&cli.StringFlag{Name: "role", Value: "agent", Usage: "`ROLE` of who joins: agent"},
				&cli.StringSliceFlag{Name: "label", Usage: "`LABEL,...` of the agent, for instance controller"},
				&cli.BoolFlag{Name: "auto-approve", Usage: "let an agent that proposes its own name work at once"},
			},
			Action: p.tokenCreate,
		}},
	}
}

func (p *program) tokenCreate(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
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
		Name: c.String("name"), Role: c.String("role"), Labels: list(c, "label"),
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
