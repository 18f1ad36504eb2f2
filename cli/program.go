// Package cli is the command line: every command of quorate, one file per
// family. It is the only package that wires the others together, and it holds no
// rule of its own about plans, runs or agents: a command reads its flags, calls
// one of the packages below, and prints.
//
// Data goes to stdout, everything else to stderr. How a command ended is its
// exit code, see [Main].
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	cli "github.com/urfave/cli/v2"
)

// A program is one invocation of the binary.
type program struct {
	con     *console
	version string
	// Of the global flags:
	server, identity, output string
	// arguments is the command line, with the flags of each command behind its name.
	arguments []string
}

// Main runs the command that args name, args[0] being the program, and returns
// the exit code: 0 done, 1 error, 2 usage, 3 changes found, 4 the run ended with
// failures, 5 refused, 6 timeout, 7 waiting for an operator, 130 interrupted.
func Main(version string, args []string) int {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		sig := <-signals
		// A second signal ends the process at once, as it would any other.
		signal.Stop(signals)
		stop(signalled{sig})
	}()
	p := &program{con: newConsole(os.Stdin, os.Stdout, os.Stderr, os.Getenv), version: versionOf(version)}
	err := p.run(ctx, asDirectord(args))
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = interrupted(context.Cause(ctx))
	}
	return p.con.report(err)
}

// signalled is the cause of a context that a signal ended.
type signalled struct{ os.Signal }

func (s signalled) Error() string { return s.Signal.String() }

// run parses the arguments and runs the command.
func (p *program) run(ctx context.Context, args []string) error {
	app := p.app()
	arranged, err := arrange(app, args)
	if err != nil {
		return err
	}
	p.arguments = arranged
	return app.RunContext(ctx, arranged)
}

// app declares the commands.
func (p *program) app() *cli.App {
	app := &cli.App{
		Name:  "quorate",
		Usage: "an event-sourced deployment orchestrator",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "server", EnvVars: []string{"QUORATE_SERVER"}, Usage: "`ADDRESS,...` of orchestrators' APIs: unix:///path or https://host:port"},
			&cli.StringFlag{Name: "identity", EnvVars: []string{"QUORATE_IDENTITY"}, Usage: "`FILE` with the operator's certificate and key, for https"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, EnvVars: []string{"QUORATE_OUTPUT"}, Value: string(formatTable), Usage: "`FORMAT` of the output: table, json, yaml or ndjson"},
		},
		Commands: []*cli.Command{
			p.planCommand(), p.applyCommand(), p.orchestrateCommand(), p.execCommand(), p.graphCommand(), p.componentCommand(),
			p.runCommand(), p.logCommand(), p.replayCommand(), p.explainCommand(), p.auditCommand(),
			p.serverCommand(), p.agentCommand(), p.relayCommand(), p.tokenCommand(), p.operatorCommand(), p.clusterCommand(), p.devCommand(), p.demoCommand(),
			p.doctorCommand(), p.configCommand(), p.directordCommand(), p.versionCommand(), p.completionCommand(),
		},
		Before: func(c *cli.Context) error {
			p.server, p.identity, p.output = c.String("server"), c.String("identity"), c.String("output")
			_, err := parseFormat(p.output)
			return err
		},
		Writer: &helpWriter{out: p.con.out}, ErrWriter: p.con.err,
		HideVersion: true, HideHelpCommand: true,
		// Values of --var hold commas; flags that take lists split them by hand.
		DisableSliceFlagSeparator: true,
		CustomAppHelpTemplate:     appHelp,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              usageError,
		Action: func(c *cli.Context) error {
			if err := cli.ShowAppHelp(c); err != nil {
				return err
			}
			return nil
		},
	}
	finish(app.Commands)
	return app
}

// finish sets what all commands have in common.
func finish(commands []*cli.Command) {
	for _, cmd := range commands {
		cmd.HideHelpCommand = true
		cmd.OnUsageError = usageError
		cmd.CustomHelpTemplate = commandHelp
		if len(cmd.Subcommands) > 0 {
			cmd.CustomHelpTemplate = familyHelp
			if cmd.Action == nil {
				cmd.Action = showFamily
			}
		}
		finish(cmd.Subcommands)
	}
}

// showFamily prints the help of a command that only groups others.
func showFamily(c *cli.Context) error { return cli.ShowSubcommandHelp(c) }

func usageError(c *cli.Context, err error, _ bool) error {
	return usage(commandLine(c)+" --help", "%v", err)
}

// commandLine is the command as it would be typed.
func commandLine(c *cli.Context) string {
	if c.Command == nil || c.Command.HelpName == "" {
		return "quorate"
	}
	return c.Command.HelpName
}

// versionOf falls back to what the Go toolchain recorded.
func versionOf(linked string) string {
	if linked != "" {
		return linked
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return "devel"
	}
	return fmt.Sprintf("devel-%s%s", revision, dirty)
}
