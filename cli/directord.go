package cli

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

// directordName is what the program answers to as Directord.
const directordName = "directord"

const directordHelp = `Takes the command lines of Directord, for scripts that were written for it. A link
to quorate that is called directord does so by itself.

  directord orchestrate FILE... [--restrict FP...] [--target N...] [--ignore-cache]
                        [--force-async] [--poll | --wait | --stream | --finger-print] [--check]
  directord exec --verb V TEXT... [--target N...] [--poll | --wait | --stream] [--check] [--force-async]
  directord manage --list-jobs | --list-nodes | --job-info ID|last | --analyze-parent ID
                   | --analyze-job ID | --analyze-all | --export-jobs FILE | --export-nodes FILE
                   [--filter success|failed|processing]
  directord exec --verb V --exec-help

An ID is RUN/TASK of a parent and RUN/TASK/JOB of a job. --socket-path names the
orchestrator's socket, as --server does.`

func (p *program) directordCommand() *cli.Command {
	return &cli.Command{
		Name: directordName, Category: sectionOther, Usage: "take Directord's own command lines", ArgsUsage: "ARGUMENTS",
		Description: directordHelp, Flags: []cli.Flag{componentsFlag()}, SkipFlagParsing: true,
		Action: p.directord,
	}
}

// asDirectord lets a link of that name be the command of that name.
func asDirectord(args []string) []string {
	if len(args) > 0 && filepath.Base(args[0]) == directordName {
		return append([]string{"quorate", directordName}, args[1:]...)
	}
	return args
}

// directord ends as Directord does, with 2 for a mistake on the command line and 1 for
// whatever else goes wrong.
func (p *program) directord(c *cli.Context) error {
	err := p.oldCommand(c)
	if err == nil {
		return nil
	}
	f := classify(err)
	if f.code != exitUsage && f.code != exitInterrupted {
		return fail(exitError, f.err, f.hints...)
	}
	return err
}

func (p *program) oldCommand(c *cli.Context) error {
	line, err := readOldLine(c.Args().Slice())
	if err != nil {
		return err
	}
	if _, asked := line.globals["help"]; asked {
		_, err := fmt.Fprintln(p.con.out, directordHelp)
		return err
	}
	if _, asked := line.globals["version"]; asked {
		_, err := fmt.Fprintln(p.con.out, p.version)
		return err
	}
	p.oldGlobals(line)
	switch line.command {
	case "":
		fmt.Fprintln(p.con.err, directordHelp)
		return ended(exitError)
	case "server":
		return refusedOld("directord server", `use "quorate server --bootstrap", which keeps its log and needs no transport`)
	case "client":
		return refusedOld("directord client", `use "quorate agent --server ADDRESS --token TOKEN", with a token of "quorate token create"`)
	case "bootstrap":
		return refusedOld("directord bootstrap", `install the binary on the nodes and join them with "quorate token create" and "quorate agent"`)
	case "manage":
		return p.oldManage(c, line)
	case "orchestrate":
		return p.oldOrchestrate(c, line)
	case "exec":
		return p.oldExec(c, line)
	}
	return unknown("command", line.command, append(slices.Sorted(maps.Keys(oldCommands())), "server", "client", "bootstrap"), "quorate directord")
}

// oldGlobals takes what has a meaning of Directord's global options and says what
// has none.
func (p *program) oldGlobals(line *oldLine) {
	for _, name := range slices.Sorted(maps.Keys(line.globals)) {
		switch name {
		case "debug":
		case "socket-path":
			p.server = "unix://" + line.globals[name]
		default:
			p.con.note("--%s means nothing here and is passed over", name)
		}
	}
	if path := p.con.getenv("DIRECTORD_SOCKET_PATH"); path != "" && p.server == "" {
		p.server = "unix://" + path
	}
}

// refusedOld says what to use instead of a command of Directord.
func refusedOld(what, instead string) error {
	return fail(exitError, fmt.Errorf("%s is not done here: %s", what, instead))
}

// oldManage answers directord manage.
func (p *program) oldManage(c *cli.Context, line *oldLine) error {
	if state := line.first("filter"); line.has("filter") && !slices.Contains([]string{"success", "failed", "processing"}, state) {
		return oldUsage("--filter %q: want success, failed or processing", state)
	}
	switch {
	case line.has("purge-jobs"):
		p.con.note(`--purge-jobs does nothing: the log keeps every run, and no job is in the way of another; "quorate exec CACHEEVICT all" lets agents forget`)
		return nil
	case line.has("purge-nodes"):
		p.con.note(`--purge-nodes does nothing: agents that are away need no purge; "quorate agent revoke NAME" ends one for good`)
		return nil
	case line.has("dump-cache"):
		return refusedOld("--dump-cache", `the memory of an agent is its own; "quorate agent facts NAME" shows it`)
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	m := &oldManager{program: p, ctx: c.Context, client: client, filter: line.first("filter")}
	switch {
	case line.has("list-nodes"):
		return m.listNodes()
	case line.has("list-jobs"):
		return m.listJobs()
	case line.has("job-info"):
		return m.jobInfo(line.first("job-info"))
	case line.has("export-jobs"):
		return m.exportJobs(line.first("export-jobs"))
	case line.has("export-nodes"):
		return m.exportNodes(line.first("export-nodes"))
	case line.has("analyze-parent"):
		return m.analyzeParent(line.first("analyze-parent"))
	case line.has("analyze-job"):
		return m.analyzeJob(line.first("analyze-job"))
	case line.has("analyze-all"):
		return m.analyzeAll()
	}
	return oldUsage("manage: want one of --%s", strings.Join(oldCommands()["manage"].exclusive, ", --"))
}

// An oldTable is printed as Directord prints its tables: a header, a rule, rows.
type oldTable struct {
	header []string
	rows   [][]string
}

// widths are those of the columns.
func (t *oldTable) widths() []int {
	widths := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, cell := range row {
			for line := range strings.SplitSeq(cell, "\n") {
				widths[i] = max(widths[i], len([]rune(line)))
			}
		}
	}
	return widths
}

// fits reports whether the table is no wider than so many columns.
func (t *oldTable) fits(columns int) bool {
	all := -2 // nothing is behind the last one
	for _, w := range t.widths() {
		all += w + 2
	}
	return all <= columns
}

// without takes out a column.
func (t *oldTable) without(column string) {
	i := slices.Index(t.header, column)
	t.header = slices.Delete(t.header, i, i+1)
	for n := range t.rows {
		t.rows[n] = slices.Delete(t.rows[n], i, i+1)
	}
}

func (p *program) printOld(t *oldTable) error {
	widths := t.widths()
	rule := make([]string, len(t.header))
	for i, w := range widths {
		rule[i] = strings.Repeat("-", w)
	}
	for _, row := range append([][]string{t.header, rule}, t.rows...) {
		if err := p.printOldRow(row, widths); err != nil {
			return err
		}
	}
	return nil
}

// printOldRow prints a row, whose cells may have several lines.
func (p *program) printOldRow(row []string, widths []int) error {
	height := 1
	cells := make([][]string, len(row))
	for i, cell := range row {
		cells[i] = strings.Split(cell, "\n")
		height = max(height, len(cells[i]))
	}
	for n := range height {
		var b strings.Builder
		for i := range cells {
			text := ""
			if n < len(cells[i]) {
				text = printable(cells[i][n])
			}
			fmt.Fprintf(&b, "%-*s  ", widths[i], text)
		}
		if _, err := fmt.Fprintln(p.con.out, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// noData is what Directord says of an empty list; scripts wait for its end.
func (p *program) noData() error {
	fmt.Fprintln(p.con.out, "No data found")
	return ended(exitError)
}

// live are the agents that are there, without those that only run local tasks.
func live(agents []api.Agent) []api.Agent {
	var out []api.Agent
	for _, a := range agents {
		if a.Status == "connected" && (a.Name != controllerName || !slices.Contains(a.Labels, controllerLabel)) {
			out = append(out, a)
		}
	}
	return out
}
