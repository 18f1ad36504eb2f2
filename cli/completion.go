package cli

import (
	"fmt"
	"strings"

	cli "github.com/urfave/cli/v2"
)

func (p *program) completionCommand() *cli.Command {
	return &cli.Command{
		Name: "completion", Category: sectionOther, Usage: "print a completion script for a shell", ArgsUsage: "bash|zsh|fish",
		Description: "For bash: source <(quorate completion bash)\nFor zsh:  source <(quorate completion zsh)\nFor fish: quorate completion fish | source",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usage(commandLine(c)+" --help", "want one shell: bash, zsh or fish")
			}
			var err error
			switch shell := c.Args().First(); shell {
			case "bash":
				_, err = fmt.Fprint(p.con.out, bashCompletion(c.App))
			case "zsh":
				_, err = fmt.Fprint(p.con.out, "autoload -U +X bashcompinit && bashcompinit\n"+bashCompletion(c.App))
			case "fish":
				var script string
				if script, err = c.App.ToFishCompletion(); err == nil {
					_, err = fmt.Fprint(p.con.out, script)
				}
			default:
				return usage(commandLine(c)+" --help", "unknown shell %q: want bash, zsh or fish", shell)
			}
			return err
		},
	}
}

// bashCompletion lists the words that may follow each command, so that
// completing starts no process. Where none fits, files are offered.
func bashCompletion(app *cli.App) string {
	var b strings.Builder
	b.WriteString("_quorate() {\n  local cur=${COMP_WORDS[COMP_CWORD]} path= words= w\n" +
		"  for w in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case \"$path $w\" in\n")
	var paths [][]*cli.Command
	collect(app.Commands, nil, &paths)
	for _, path := range paths {
		fmt.Fprintf(&b, "      %q) path=%q ;;\n", joinNames(path[:len(path)-1])+" "+path[len(path)-1].Name, joinNames(path))
	}
	b.WriteString("    esac\n  done\n  case \"$path\" in\n")
	fmt.Fprintf(&b, "    '') words=%q ;;\n", strings.Join(append(names(app.Commands), flagWords(app.Flags)...), " "))
	for _, path := range paths {
		last := path[len(path)-1]
		words := append(names(last.Subcommands), flagWords(last.Flags)...)
		fmt.Fprintf(&b, "    %q) words=%q ;;\n", joinNames(path), strings.Join(words, " "))
	}
	b.WriteString("  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _quorate quorate\n")
	return b.String()
}

func collect(commands []*cli.Command, above []*cli.Command, paths *[][]*cli.Command) {
	for _, cmd := range commands {
		path := append(append([]*cli.Command{}, above...), cmd)
		*paths = append(*paths, path)
		collect(cmd.Subcommands, path, paths)
	}
}

// joinNames is how the script writes the commands read so far: " run show".
func joinNames(path []*cli.Command) string {
	s := ""
	for _, cmd := range path {
		s += " " + cmd.Name
	}
	return s
}

func names(commands []*cli.Command) []string {
	var out []string
	for _, cmd := range commands {
		out = append(out, cmd.Name)
	}
	return out
}

func flagWords(flags []cli.Flag) []string {
	out := []string{"--help"}
	for _, f := range flags {
		out = append(out, "--"+f.Names()[0])
	}
	return out
}
