package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

// factTextMax is how much of a value a table shows, in characters.
const factTextMax = 80

// agentFacts shows what an agent remembers of its host. Where the agent cannot be
// asked, what its host has published is on record.
func (p *program) agentFacts(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want one AGENT, by name or number")
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	name := c.Args().First()
	known, err := client.Facts(c.Context, name, c.Bool("published"))
	var answered *api.Error
	if errors.As(err, &answered) && answered.Code == "unavailable" && !c.Bool("published") {
		p.con.warn("%s; this is what its host has published", answered.Message)
		known, err = client.Facts(c.Context, name, true)
	}
	if err != nil {
		return err
	}
	if known.Note != "" && !c.Bool("published") {
		p.con.note("%s", known.Note)
	}
	if known.Truncated {
		p.con.warn("the agent has more facts than an answer holds")
	}
	// The job and the time, which -o json has, would leave no room for the value.
	g := &grid{header: []any{"KIND", "NAME", "RUN", "TASK", "VALUE"}}
	for i := range known.Facts {
		f := &known.Facts[i]
		g.add(f.Kind, f.Name, f.Run, orDash(f.Task), factText(f))
	}
	return emitAll(p, known, known.Facts, g)
}

// factText is a value on one line.
func factText(f *api.Fact) string {
	if f.Absent {
		return "-"
	}
	text := string(f.Value)
	var plain string
	if json.Unmarshal(f.Value, &plain) == nil {
		text = plain
	}
	if runes := []rune(text); len(runes) > factTextMax {
		return fmt.Sprintf("%s... (%d characters)", string(runes[:factTextMax]), len(runes))
	}
	return text
}
