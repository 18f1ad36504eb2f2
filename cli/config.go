package cli

import (
	"fmt"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

// A setting is one that a command has, and where its value comes from.
type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Origin is flag, environment, file or default; From the variable or the file.
	Origin string `json:"origin"`
	From   string `json:"from,omitempty"`
	// Environment is the variable that would set it.
	Environment string `json:"environment,omitempty"`
}

// settings is the answer of config explain.
type settings struct {
	Schema   string    `json:"schema"`
	Command  string    `json:"command"`
	Settings []setting `json:"settings"`
}

// hiddenSettings are those whose values are secrets.
var hiddenSettings = []string{"token"}

func (p *program) configCommand() *cli.Command {
	explain := &cli.Command{
		Name: "explain", Usage: "show every setting with its value, and where that comes from",
		Description: "COMMAND is server, agent or relay, with the flags that it would be started with. Without\n" +
			"one it shows the settings of all commands. A flag comes before the environment, that before\n" +
			"the file of --config, and that before the default.",
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return unknown("command", c.Args().First(), []string{"server", "agent", "relay"}, commandLine(c))
			}
			return p.printSettings("quorate", p.globalSettings(c))
		},
	}
	for _, of := range []*cli.Command{p.serverCommand(), p.agentCommand(), p.relayCommand()} {
		explain.Subcommands = append(explain.Subcommands, p.explainSettings(of))
	}
	return &cli.Command{
		Name: "config", Category: sectionOther, Usage: "explain where settings come from", Subcommands: []*cli.Command{explain},
	}
}

// explainSettings takes the flags of a command, and tells of them instead of running it.
func (p *program) explainSettings(of *cli.Command) *cli.Command {
	return &cli.Command{
		Name: of.Name, Usage: "those of quorate " + of.Name, Flags: of.Flags,
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usage(commandLine(c)+" --help", "%q is one too many", c.Args().First())
			}
			all := p.origins(c.Command.Flags, func(name string) bool { return slices.Contains(c.LocalFlagNames(), name) })
			if err := configure(c); err != nil {
				return err
			}
			for i := range all {
				s := &all[i]
				if s.Origin == "default" && slices.Contains(c.LocalFlagNames(), s.Name) {
					s.Origin, s.From = "file", c.String("config")
				}
				s.Value = p.settingValue(c, of.Name, s.Name)
			}
			return p.printSettings("quorate "+of.Name, all)
		},
	}
}

// globalSettings are those that all commands have.
func (p *program) globalSettings(c *cli.Context) []setting {
	all := p.origins(c.App.Flags, c.IsSet)
	for i := range all {
		all[i].Value = map[string]string{"server": p.server, "identity": p.identity, "output": p.output}[all[i].Name]
	}
	return all
}

// origins tells flags from variables of the environment: either sets a flag.
func (p *program) origins(flags []cli.Flag, set func(string) bool) (all []setting) {
	for _, f := range flags {
		s := setting{Name: f.Names()[0], Origin: "default"}
		if s.Name == "help" {
			continue
		}
		if e, ok := f.(cli.DocGenerationFlag); ok && len(e.GetEnvVars()) > 0 {
			s.Environment = e.GetEnvVars()[0]
		}
		switch {
		case !set(s.Name):
		case p.typed(f.Names()):
			s.Origin = "flag"
		default:
			s.Origin, s.From = "environment", s.Environment
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b setting) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// typed reports whether a flag stands on the command line.
func (p *program) typed(names []string) bool {
	return slices.ContainsFunc(p.arguments, func(arg string) bool {
		word, isFlag := strings.CutPrefix(arg, "-")
		word, _, _ = strings.Cut(strings.TrimPrefix(word, "-"), "=")
		return isFlag && slices.Contains(names, word)
	})
}

// settingValue is a value for people: what is a secret is not shown.
func (p *program) settingValue(c *cli.Context, command, name string) string {
	switch v := c.Value(name).(type) {
	case cli.StringSlice:
		return strings.Join(v.Value(), ",")
	case string:
		switch {
		case slices.Contains(hiddenSettings, name) && v != "":
			return "(hidden)"
		case name == "data-dir":
			if dir, err := p.dataDir(c, command); err == nil {
				return dir
			}
		}
		return v
	default:
		return fmt.Sprint(v)
	}
}

func (p *program) printSettings(command string, all []setting) error {
	g := &grid{header: []any{"SETTING", "VALUE", "FROM"}}
	for _, s := range all {
		from := s.Origin
		if s.From != "" {
			from += " " + s.From
		}
		g.add(s.Name, orDash(s.Value), from)
	}
	return p.emit(settings{Schema: api.Schema, Command: command, Settings: all}, func() error { return p.printGrid(g) })
}
