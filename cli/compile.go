package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/internal/job"
	"quorate/planner"
)

// sourceFlags name the inputs of a plan.
func sourceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "services", Aliases: []string{"s"}, EnvVars: []string{"QUORATE_SERVICES"}, Usage: "`PATH` of the services, a file or a directory"},
		&cli.StringFlag{Name: "inventory", Aliases: []string{"i"}, EnvVars: []string{"QUORATE_INVENTORY"}, Usage: "`PATH` of the inventory"},
		&cli.StringFlag{Name: "roles", Aliases: []string{"r"}, EnvVars: []string{"QUORATE_ROLES"}, Usage: "`PATH` of the roles"},
	}
}

// selectFlags narrow a plan.
func selectFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "limit", Usage: "touch these `HOST,...` only"},
		&cli.StringSliceFlag{Name: "restrict", Usage: "keep these `TASK,...` (or services, or fingerprints of jobs) only"},
		&cli.StringSliceFlag{Name: "var", Usage: "set an argument of all templates, `KEY=VALUE`; may be repeated"},
		componentsFlag(),
	}
}

// sources reads the source flags; all three are needed.
func sources(c *cli.Context) (planner.Sources, error) {
	src := planner.Sources{Services: c.String("services"), Inventory: c.String("inventory"), Roles: c.String("roles")}
	var missing []string
	for _, f := range []struct{ value, name string }{{src.Services, "-s SERVICES"}, {src.Inventory, "-i INVENTORY"}, {src.Roles, "-r ROLES"}} {
		if f.value == "" {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return src, usage(commandLine(c)+" --help", "missing %s", strings.Join(missing, " "))
	}
	return src, nil
}

// options reads the flags that narrow a plan.
func (p *program) options(c *cli.Context) (planner.Options, error) {
	verbs, err := p.verbs(c)
	if err != nil {
		return planner.Options{}, err
	}
	opt := planner.Options{Verbs: verbs, Limit: list(c, "limit"), Restrict: list(c, "restrict"), Targets: list(c, "target"), ForceAsync: c.Bool("force-async")}
	for _, text := range c.StringSlice("var") {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return opt, usage(commandLine(c)+" --help", "--var %q: want KEY=VALUE", text)
		}
		opt.Vars = append(opt.Vars, job.Option{Name: name, Value: value})
	}
	slices.SortFunc(opt.Vars, func(a, b job.Option) int { return strings.Compare(a.Name, b.Name) })
	dir, err := os.Getwd()
	if err != nil {
		return opt, fmt.Errorf("working directory: %w", err)
	}
	opt.WorkDir = dir
	return opt, nil
}

// list reads a flag that may be repeated and whose values may hold commas.
func list(c *cli.Context, name string) []string {
	var out []string
	for _, v := range c.StringSlice(name) {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

// A compilation is what became of the inputs.
type compilation struct {
	plan        *planner.Plan // nil where there are errors
	inputs      *planner.Inputs
	diagnostics []planner.Diagnostic
}

// compile loads and compiles, and collects all there is to say.
func compile(src planner.Sources, opt planner.Options) *compilation {
	var c compilation
	c.inputs, c.diagnostics = planner.Load(src, opt)
	if c.errors() > 0 {
		return &c
	}
	plan, more := planner.Compile(c.inputs, opt)
	c.diagnostics = append(c.diagnostics, more...)
	if c.errors() == 0 {
		c.plan = plan
	}
	return &c
}

func (c *compilation) errors() int {
	n := 0
	for _, d := range c.diagnostics {
		if d.Severity == planner.Error {
			n++
		}
	}
	return n
}

// refusal is the error of a compilation without a plan.
func (c *compilation) refusal() error {
	n := c.errors()
	noun := "errors"
	if n == 1 {
		noun = "error"
	}
	return fail(exitRefused, fmt.Errorf("%d %s in the input; nothing was sent", n, noun))
}

// printDiagnostics prints them the way compilers do.
func (p *program) printDiagnostics(diagnostics []planner.Diagnostic) {
	for _, d := range diagnostics {
		word := p.con.paint(p.con.err, red, "error:")
		if d.Severity == planner.Warning {
			word = p.con.paint(p.con.err, yellow, "warning:")
		}
		fmt.Fprintf(p.con.err, "%s%s %s [%s]\n", place(d.Pos), word, printable(d.Message), d.Code)
		if d.Hint != "" {
			fmt.Fprintf(p.con.err, "  hint: %s\n", printable(d.Hint))
		}
	}
}

// place writes a position as far as it is known, ready for what follows.
func place(pos planner.Pos) string {
	switch {
	case pos.File == "":
		return ""
	case pos.Line == 0:
		return pos.File + ": "
	case pos.Column == 0:
		return fmt.Sprintf("%s:%d: ", pos.File, pos.Line)
	}
	return fmt.Sprintf("%s:%d:%d: ", pos.File, pos.Line, pos.Column)
}

// blobs are the plan and everything that it was made of, ready for upload.
func (c *compilation) blobs() []api.Blob {
	encoded := c.plan.Encode()
	blobs := []api.Blob{{Digest: c.plan.ID(), Size: int64(len(encoded)), Open: opener(encoded)}}
	for _, b := range c.inputs.Blobs() {
		open := opener(b.Content)
		if b.Path != "" {
			open = func() (io.ReadCloser, error) { return os.Open(b.Path) }
		}
		blobs = append(blobs, api.Blob{Digest: b.Digest, Size: b.Size, Open: open})
	}
	return blobs
}

func opener(content []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}
