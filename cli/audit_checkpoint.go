package cli

import (
	"fmt"
	"io"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

func (p *program) auditCheckpointCommand() *cli.Command {
	return &cli.Command{
		Name: "checkpoint", Usage: "have the log signed up to now, and print that",
		Description: "A checkpoint says how many records the log has, and their root, under the cluster's signature.\n" +
			"Whoever keeps one can tell for ever whether the log was changed below it: give it to\n" +
			"\"quorate audit verify --checkpoint FILE\". The cluster makes one at each run's end, and gives it to\n" +
			"what \"quorate server --checkpoint-sink\" names.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "last", Usage: "print the newest there is, and have none made"},
		},
		Action: p.auditCheckpoint,
	}
}

func (p *program) auditCheckpoint(c *cli.Context) error {
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	ask := client.SignCheckpoint
	if c.Bool("last") {
		ask = client.Checkpoint
	}
	signed, err := ask(c.Context)
	if err != nil {
		return err
	}
	if signed.Size == 0 {
		return fail(exitError, fmt.Errorf("the log is not signed yet"), "have that done: \"quorate audit checkpoint\"")
	}
	return p.emit(signed, func() error {
		_, err := io.WriteString(p.con.out, signed.Note)
		return err
	})
}

func (p *program) auditKeyCommand() *cli.Command {
	return &cli.Command{
		Name: "key", Usage: "print the key that the cluster's log is verified with",
		Description: "Keep it where those who verify can trust it: what a bundle says of its own key proves nothing.\n" +
			"It stays the same for the life of the cluster, through backups and recoveries too.",
		Flags:  []cli.Flag{&cli.StringFlag{Name: "data-dir", Usage: "`DIR` of an orchestrator, to read it from the files there"}},
		Action: p.auditKey,
	}
}

// auditKeyDocument is what audit key prints with -o json.
type auditKeyDocument struct {
	Schema string `json:"schema"`
	Key    string `json:"key"`
}

func (p *program) auditKey(c *cli.Context) error {
	out := auditKeyDocument{Schema: api.Schema}
	if dir := c.String("data-dir"); dir != "" {
		known, err := logKey(dir)
		if err != nil {
			return err
		}
		if known.Key == "" {
			return fail(exitError, fmt.Errorf("%s: the keys of its cluster are not there, or not for you to read", dir), "ask the cluster, or somebody who may read them")
		}
		out.Key = known.Key
	} else {
		client, err := p.dial()
		if err != nil {
			return err
		}
		defer client.Close()
		signed, err := client.Checkpoint(c.Context)
		if err != nil {
			return err
		}
		out.Key = signed.Key
	}
	return p.emit(out, func() error {
		_, err := fmt.Fprintln(p.con.out, out.Key)
		return err
	})
}
