package cli

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"quorate/engine/history"
)

// A folding says what has a row of its own in a drawing.
type folding int

const (
	foldAuto folding = iota
	foldStep
	foldTask
	foldHost
)

func foldingOf(text string) (folding, error) {
	switch text {
	case "":
		return foldAuto, nil
	case "step":
		return foldStep, nil
	case "task":
		return foldTask, nil
	case "host":
		return foldHost, nil
	}
	return 0, fmt.Errorf("--by %q: want step, task or host", text)
}

// A timelineRow is one step, or all of a task or of a host.
type timelineRow struct {
	name     string
	critical bool
	failed   bool
	steps    []*history.StepTime
}

// rowsOf puts steps into rows, in their order. With foldAuto there are at most rowsMax
// where that is possible.
func rowsOf(t *history.Timeline, by folding, rowsMax int) (rows []*timelineRow) {
	if by == foldAuto {
		for by = foldStep; by < foldHost; by++ {
			if rows = rowsOf(t, by, rowsMax); len(rows) <= rowsMax {
				return rows
			}
		}
		return rowsOf(t, foldHost, rowsMax)
	}
	at := map[string]*timelineRow{}
	for i := range t.Steps {
		s := &t.Steps[i]
		name := map[folding]string{foldStep: s.Step, foldTask: s.Task, foldHost: s.Host}[by]
		if name == "" {
			name = "(orchestrator)"
		}
		row := at[name]
		if row == nil {
			row = &timelineRow{name: name}
			at[name] = row
			rows = append(rows, row)
		}
		row.steps = append(row.steps, s)
		row.critical = row.critical || s.Critical
		row.failed = row.failed || s.Status == "failed"
	}
	for _, row := range rows {
		if n := len(row.steps); by != foldStep && n > 1 {
			row.name += fmt.Sprintf(" (%d)", n)
		}
	}
	return rows
}

// span is from the first step that did not wait for others any more until the last one
// was settled.
func (r *timelineRow) span() (parts history.Span) {
	var from, to int64
	for _, s := range r.steps {
		for i := range s.Segments {
			g := &s.Segments[i]
			if g.Class == history.Dependencies {
				continue
			}
			if from == 0 || g.From.UnixNano() < from {
				from = g.From.UnixNano()
			}
			to = max(to, g.To.UnixNano())
		}
	}
	return history.Span(to - from)
}

// classMarks are what the classes look like in a terminal.
var classMarks = [...]struct {
	class history.Class
	mark  byte
	color string
	text  string
}{
	{history.Dependencies, '.', dim, "waits for steps"},
	{history.Slot, ':', yellow, "for a slot"},
	{history.Dispatch, '~', cyan, "network"},
	{history.Execution, '#', green, "runs"},
	{history.Between, '-', dim, "between jobs"},
	{history.Report, '~', cyan, "network"},
	{history.Operator, '?', magenta, "operator"},
}

const (
	cyan    = "36"
	magenta = "35"
)

// cells draws the row in so many columns. A column shows what most of its time was
// spent with; a job that is too short for a column gets one where nothing longer ran.
func (r *timelineRow) cells(t *history.Timeline, columns int) []byte {
	total := max(int64(t.Elapsed), 1)
	start := t.CreatedAt.UnixNano()
	times := make([][len(classMarks)]int64, columns)
	column := func(nanos int64) int {
		return int(min(max(float64(nanos-start)/float64(total)*float64(columns), 0), float64(columns-1)))
	}
	edge := func(c int) int64 { return start + int64(float64(total)/float64(columns)*float64(c)) }
	runs := map[int]bool{}
	for _, s := range r.steps {
		for i := range s.Segments {
			g := &s.Segments[i]
			from, to := g.From.UnixNano(), g.To.UnixNano()
			for c := column(from); c <= column(to); c++ {
				times[c][g.Class] += max(min(to, edge(c+1))-max(from, edge(c)), 0)
			}
			if g.Class == history.Execution {
				runs[column(from+(to-from)/2)] = true
			}
		}
	}
	out := []byte(strings.Repeat(" ", columns))
	for c := range times {
		best := -1
		for class, spent := range times[c] {
			// Of a row of many steps, those that run count more than those that wait.
			if len(r.steps) > 1 && class != int(history.Dependencies) && class != int(history.Slot) {
				spent *= int64(len(r.steps))
			}
			if spent > 0 && (best < 0 || spent >= times[c][best]) {
				best, times[c][class] = class, spent
			}
		}
		switch {
		case runs[c] && (best < 0 || best != int(history.Operator)):
			out[c] = classMarks[history.Execution].mark
		case best >= 0:
			out[c] = classMarks[best].mark
		}
	}
	return out
}

const (
	ganttRowsMax  = 48
	ganttNameMax  = 30
	ganttSpanCols = 8
	ganttColsMin  = 20
)

// printGantt draws the rows and explains the marks.
func (p *program) printGantt(t *history.Timeline, by folding) error {
	width := columnsDefault
	if p.con.outTerminal {
		width = p.con.columns()
	}
	rows := rowsOf(t, by, ganttRowsMax)
	more := 0
	if len(rows) > ganttRowsMax {
		rows, more = mostTelling(rows), len(rows)-ganttRowsMax
	}
	names := 0
	for _, r := range rows {
		names = max(names, utf8.RuneCountInString(printable(r.name)))
	}
	names = min(names, ganttNameMax, width/2)
	columns := max(width-names-4-ganttSpanCols, ganttColsMin)
	fmt.Fprintf(p.con.out, "  %*s  %s\n", names, "", axis(t, columns))
	for _, r := range rows {
		name := fmt.Sprintf("%-*s", names, shortened(printable(r.name), names))
		star := " "
		if r.critical {
			star, name = p.con.paint(p.con.out, bold, "*"), p.con.paint(p.con.out, bold, name)
		}
		span := took(r.span())
		if r.failed {
			span = p.con.paint(p.con.out, red, fmt.Sprintf("%*s", ganttSpanCols-1, span+"!"))
		} else {
			span = fmt.Sprintf("%*s", ganttSpanCols-2, span)
		}
		if _, err := fmt.Fprintf(p.con.out, "%s %s  %s%s\n", star, name, p.painted(r.cells(t, columns), r.failed), span); err != nil {
			return err
		}
	}
	if more > 0 {
		p.con.note("and %d more rows: --by task and --by host fold them, --svg draws all", more)
	}
	return p.printLegend(width)
}

// mostTelling keeps the rows of the critical path, those that failed, and then the
// longest, in their order.
func mostTelling(rows []*timelineRow) []*timelineRow {
	weight := func(r *timelineRow) history.Span {
		w := r.span()
		if r.critical || r.failed {
			w += 1 << 60
		}
		return w
	}
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b *timelineRow) int {
		switch wa, wb := weight(a), weight(b); {
		case wa > wb:
			return -1
		case wa < wb:
			return 1
		}
		return 0
	})
	keep := map[*timelineRow]bool{}
	for _, r := range sorted[:ganttRowsMax] {
		keep[r] = true
	}
	return slices.DeleteFunc(rows, func(r *timelineRow) bool { return !keep[r] })
}

// axis is the line with times above the rows.
func axis(t *history.Timeline, columns int) string {
	const ticks = 4
	line := []byte(strings.Repeat(" ", columns+ganttSpanCols))
	for i := range ticks + 1 {
		label := took(t.Elapsed * history.Span(i) / ticks)
		at := columns * i / ticks
		if i == ticks {
			at = columns + ganttSpanCols - 2 - len(label)
		} else if i > 0 {
			at -= len(label) / 2
		}
		copy(line[max(at, 0):], label)
	}
	return strings.TrimRight(string(line), " ")
}

// painted colours a row's cells on a terminal.
func (p *program) painted(cells []byte, failed bool) string {
	var b strings.Builder
	for len(cells) > 0 {
		n := 1
		for n < len(cells) && cells[n] == cells[0] {
			n++
		}
		text := string(cells[:n])
		color := ""
		for _, m := range classMarks {
			if m.mark == cells[0] {
				color = m.color
			}
		}
		if color == green && failed {
			color = red
		}
		if color != "" {
			text = p.con.paint(p.con.out, color, text)
		}
		b.WriteString(text)
		cells = cells[n:]
	}
	return b.String()
}

func (p *program) printLegend(width int) error {
	var words []string
	for _, m := range classMarks {
		if m.class != history.Report {
			words = append(words, string(m.mark)+" "+m.text)
		}
	}
	words = append(words, "* critical path", "! failed")
	line, used := "", 0
	for _, w := range words {
		if used > 0 && used+2+len(w) > width {
			line, used = line+"\n", 0
		} else if used > 0 {
			line, used = line+"  ", used+2
		}
		line, used = line+w, used+len(w)
	}
	_, err := fmt.Fprintln(p.con.out, p.con.paint(p.con.out, dim, line))
	return err
}
