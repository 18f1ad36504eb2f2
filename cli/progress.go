package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"quorate/engine/api"
)

// A reporter shows the events of a run as they come.
type reporter interface {
	event(e api.RunEvent) error
	// waiting says what a run that says nothing waits for.
	waiting(why string) error
	// tick is called every redrawEvery.
	tick()
	close()
}

const redrawEvery = 200 * time.Millisecond

// reporter chooses how events are shown: as they are with -o ndjson, as lines
// per task otherwise, with a line in motion where there is a terminal.
func (p *program) reporter(quiet bool) reporter {
	switch {
	case p.format() == formatNDJSON:
		return &rawReporter{p}
	case quiet:
		return &lineReporter{con: p.con, out: io.Discard}
	case p.format() == formatTable:
		return &lineReporter{con: p.con, out: p.con.out, live: p.con.outTerminal}
	}
	return &lineReporter{con: p.con, out: p.con.err, live: p.con.errTerminal}
}

// rawReporter prints events as NDJSON.
type rawReporter struct{ p *program }

func (r *rawReporter) event(e api.RunEvent) error { return r.p.printJSON(e, "") }
func (r *rawReporter) waiting(string) error       { return nil }
func (r *rawReporter) tick()                      {}
func (r *rawReporter) close()                     {}

// lineReporter prints a line for each task that has settled. Where live is set,
// the last line of the terminal shows what is under way.
type lineReporter struct {
	con  *console
	out  io.Writer
	live bool

	started  time.Time // by this process's clock
	summary  api.Summary
	tasks    map[string]*taskProgress
	underWay []string // tasks with steps under way, in the order they started
	drawn    bool
}

// taskProgress is what has been seen of a task.
type taskProgress struct {
	first   time.Time
	running int // steps
	steps   int
	changed bool
	why     string // why it ran, as the first agent that says so tells
}

func (r *lineReporter) event(e api.RunEvent) error {
	if r.tasks == nil {
		r.tasks, r.started = map[string]*taskProgress{}, time.Now()
	}
	if e.Summary != nil {
		r.summary = *e.Summary
	}
	var err error
	switch e.Type {
	case "step-started":
		t := r.task(e)
		t.running++
		if t.running == 1 {
			r.underWay = append(r.underWay, e.Task)
		}
	case "job-ended":
		t := r.task(e)
		t.changed = t.changed || e.Job != nil && e.Job.Changed
	case "step-ended":
		err = r.stepEnded(e)
	case "task-ended":
		err = r.taskEnded(e)
	case "run-waiting":
		err = r.waiting(e.Reason)
	case "run-resumed":
		err = r.printf("resumed %s\n", printable(e.Reason))
	case "run-cancelling":
		err = r.printf("%s %s\n", r.con.paint(r.out, yellow, "cancelling"), printable(e.Reason))
	}
	return err
}

func (r *lineReporter) waiting(why string) error {
	return r.printf("%s %s\n", r.con.paint(r.out, yellow, "waiting"), printable(why))
}

// printf prints lines above the line in motion.
func (r *lineReporter) printf(format string, args ...any) error {
	r.clear()
	_, err := fmt.Fprintf(r.out, format, args...)
	r.draw()
	return err
}

func (r *lineReporter) task(e api.RunEvent) *taskProgress {
	t := r.tasks[e.Task]
	if t == nil {
		t = &taskProgress{first: e.Time}
		r.tasks[e.Task] = t
	}
	return t
}

func (r *lineReporter) stepEnded(e api.RunEvent) error {
	t := r.task(e)
	t.running = max(t.running-1, 0)
	if t.running == 0 {
		r.underWay = slices.DeleteFunc(r.underWay, func(id string) bool { return id == e.Task })
	}
	switch e.Outcome {
	case "succeeded":
		t.steps++
		if t.why == "" {
			t.why = e.Reason
		}
		return nil
	case "skipped":
		return nil
	}
	line := fmt.Sprintf("        %s %s@%s %s", r.con.paint(r.out, red, e.Outcome), e.Task, e.Host, printable(e.Reason))
	return r.printf("%s\n", strings.TrimRight(line, " "))
}

// taskEnded prints the line of a task.
func (r *lineReporter) taskEnded(e api.RunEvent) error {
	t := r.task(e)
	r.underWay = slices.DeleteFunc(r.underWay, func(id string) bool { return id == e.Task })
	word, color := e.Outcome, yellow
	switch e.Outcome {
	case "succeeded":
		word, color = "ok", green
	case "failed":
		color = red
	}
	var details []string
	if t.steps > 0 {
		details = append(details, count(t.steps, "host"))
		switch {
		case !t.changed:
			details = append(details, "unchanged")
		case e.Check:
			details = append(details, "may change")
		}
	}
	if spent := e.Time.Sub(t.first); spent >= time.Millisecond {
		details = append(details, elapsed(spent))
	}
	if why := cmp.Or(e.Reason, t.why); why != "" {
		details = append(details, printable(why))
	}
	width := len(fmt.Sprint(r.summary.Tasks))
	line := fmt.Sprintf("[%*d/%d] %s %s", width, r.summary.TasksDone, r.summary.Tasks, r.con.paint(r.out, color, fmt.Sprintf("%-9s", word)), e.Task)
	if len(details) > 0 {
		line += " (" + strings.Join(details, ", ") + ")"
	}
	for _, m := range e.Messages {
		line += "\n        " + printable(m)
	}
	return r.printf("%s\n", line)
}

func (r *lineReporter) tick() {
	r.clear()
	r.draw()
}

func (r *lineReporter) close() { r.clear() }

// clear takes the line in motion away, so that others can be printed.
func (r *lineReporter) clear() {
	if r.drawn {
		fmt.Fprint(r.out, "\r\x1b[K")
		r.drawn = false
	}
}

// draw prints the line in motion. It never wraps: a wrapped line could not be
// taken away again.
func (r *lineReporter) draw() {
	if !r.live || r.tasks == nil {
		return
	}
	line := fmt.Sprintf("%d/%d tasks  %s", r.summary.TasksDone, r.summary.Tasks, time.Since(r.started).Round(time.Second))
	if len(r.underWay) > 0 {
		line += "  " + some(r.underWay, 3)
	}
	if r.summary.Failed > 0 {
		line += fmt.Sprintf("  %d failed", r.summary.Failed)
	}
	if runes := []rune(line); len(runes) >= r.con.columns() {
		line = string(runes[:max(r.con.columns()-1, 0)])
	}
	fmt.Fprint(r.out, r.con.paint(r.out, dim, line))
	r.drawn = true
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
