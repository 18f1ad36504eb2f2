package cli

import (
	"errors"
	"fmt"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

func (p *program) operatorCommand() *cli.Command {
	return &cli.Command{
		Name: "operator", Category: sectionCluster, Usage: "list, renew and revoke the identities of operators",
		Description: "\"quorate token create --role operator\" issues one, on an orchestrator's machine.",
		Subcommands: []*cli.Command{
			{Name: "ls", Usage: "list the operators on record", Action: p.operatorList},
			{Name: "renew", Usage: "renew the identity that --identity names", Action: p.operatorRenew,
				Description: "Commands do so by themselves when the end is near. The new identity has a new key; the one before\n" +
					"goes on until its end.",
				Flags: []cli.Flag{lifetimeFlag()}},
			{Name: "revoke", Usage: "end an operator's identities, for ever", ArgsUsage: "NAME", Action: p.operatorRevoke,
				Description: "On an orchestrator's machine only. Connections that are open end at once. What is issued under the name\n" +
					"later counts again.",
				Flags: []cli.Flag{reasonFlag(), yesFlag(), &cli.BoolFlag{Name: "force", Usage: "also where no identity of that name is on record"}}},
		},
	}
}

func lifetimeFlag() cli.Flag {
	return &cli.DurationFlag{Name: "lifetime", DefaultText: "8760h, a year", Usage: "how long an operator's identity is good, a `DURATION`"}
}

// lifetime reads the flag; 0 is the default.
func lifetime(c *cli.Context) (seconds int64, err error) {
	d := c.Duration("lifetime")
	if c.IsSet("lifetime") && d < time.Second {
		return 0, usage(commandLine(c)+" --help", "--lifetime %s: want more, such as 720h", d)
	}
	return int64(d / time.Second), nil
}

func (p *program) operatorList(c *cli.Context) error {
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := client.Operators(c.Context)
	if err != nil {
		return err
	}
	g := &grid{header: []any{"OPERATOR", "STATUS", "IDENTITIES", "UNTIL", "REVOKED"}}
	for _, o := range list.Operators {
		until, revoked := "-", "-"
		if o.ExpiresAt != nil {
			until = stamp(*o.ExpiresAt)
		}
		if r := o.Revoked; r != nil {
			revoked = fmt.Sprintf("%s by %s: %s", stamp(r.Time), printable(r.By), printable(r.Reason))
		}
		g.add(o.Name, o.Status, o.Identities, until, revoked)
	}
	return emitAll(p, list, list.Operators, g)
}

func (p *program) operatorRevoke(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want one operator's NAME")
	}
	name := c.Args().First()
	in := api.OperatorRevoke{RequestID: requestID(), Reason: c.String("reason"), Force: c.Bool("force")}
	if in.Reason == "" {
		return usage(commandLine(c)+" --help", "--reason is missing: the log keeps why")
	}
	if err := p.con.confirm(c.Context, c.Bool("yes"), "all identities of operator %s that were issued so far will be refused for ever", printable(name)); err != nil {
		return err
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	var revoked *api.OperatorStatus
	err = persist(c.Context, func() (err error) {
		revoked, err = client.RevokeOperator(c.Context, name, in)
		return err
	})
	if err != nil {
		return err
	}
	return p.emit(revoked, func() error {
		_, err := fmt.Fprintf(p.con.out, "operator %s is revoked\n", printable(name))
		return err
	})
}

func (p *program) operatorRenew(c *cli.Context) error {
	seconds, err := lifetime(c)
	if err != nil {
		return err
	}
	if p.identity == "" {
		return usage(commandLine(c)+" --help", "--identity FILE is missing: the identity to be renewed")
	}
	client, err := p.dialAs(false)
	if err != nil {
		return err
	}
	defer client.Close()
	issued, err := renewIdentity(c.Context, client, p.identity, seconds)
	if err != nil {
		var answered *api.Error
		if !errors.As(err, &answered) {
			err = hinted(err, "the identity before goes on as it was: let this user write to %s, and renew again", p.identity)
		}
		return err
	}
	return p.emit(struct {
		Schema    string    `json:"schema"`
		Name      string    `json:"name"`
		ExpiresAt time.Time `json:"expires_at"`
	}{api.Schema, issued.Name, issued.ExpiresAt}, func() error {
		_, err := fmt.Fprintf(p.con.out, "operator %s has an identity until %s, in %s\n", issued.Name, stamp(issued.ExpiresAt), p.identity)
		return err
	})
}
