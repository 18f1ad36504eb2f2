package cli

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"quorate/engine/history"
)

// The measures of the drawing, in pixels.
const (
	svgNames     = 250.0
	svgChart     = 900.0
	svgSide      = 24.0
	svgSpans     = 76.0
	svgTop       = 118.0
	svgRow       = 20.0
	svgBar       = 12.0
	svgRowsMax   = 1500
	svgNameRunes = 38
)

const timelineStyle = `
svg{font-family:Inter,ui-sans-serif,system-ui,"Segoe UI","DejaVu Sans",sans-serif;font-size:11.5px}
.head{font-size:17px;font-weight:700;fill:#0f172a}
.facts,.key{fill:#475569}
.name{fill:#0f172a;text-anchor:end}
.name.critical{font-weight:700;fill:#c2410c}
.span{fill:#475569}
.span.failed{fill:#b91c1c;font-weight:700}
.tick{fill:#94a3b8;font-size:10px;text-anchor:middle}
.grid{stroke:#e2e8f0}
.leader{stroke:#7c3aed;stroke-dasharray:4 3}
.leads{fill:#7c3aed;font-size:10px}
.dependencies{fill:#e2e8f0}.slot{fill:#fbbf24}.dispatch,.report{fill:#38bdf8}.execution{fill:#22a06b}
.between{fill:#a8a29e}.operator{fill:#c026d3}.failed .execution{fill:#dc2626}
.path{fill:none;stroke:#ea580c;stroke-width:1.8}
`

// timelineSVG draws the run: a row for each step, or for each task where those are too
// many, its time in the colours of what it was spent with, and the critical path. It
// is a whole XML document and needs neither scripts nor fonts from elsewhere.
func timelineSVG(w io.Writer, t *history.Timeline) error {
	d := &timelineDrawing{Writer: bufio.NewWriter(w), t: t, rows: rowsOf(t, foldAuto, svgRowsMax), at: map[*history.StepTime]float64{}}
	d.open()
	d.axis()
	for i, r := range d.rows {
		d.row(r, svgTop+svgRow*float64(i))
	}
	d.path()
	d.WriteString("</svg>\n")
	return d.Flush()
}

type timelineDrawing struct {
	*bufio.Writer
	t    *history.Timeline
	rows []*timelineRow
	at   map[*history.StepTime]float64 // the middle of its row
}

// x is where a time is drawn.
func (d *timelineDrawing) x(at time.Time) float64 {
	total := max(float64(d.t.Elapsed), 1)
	part := float64(at.Sub(d.t.CreatedAt)) / total
	return svgSide + svgNames + svgChart*min(max(part, 0), 1)
}

func (d *timelineDrawing) height() float64 { return svgTop + svgRow*float64(len(d.rows)) + 34 }

func (d *timelineDrawing) open() {
	t := d.t
	width, height := svgSide*2+svgNames+svgChart+svgSpans, d.height()
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">`+"\n", width, height, width, height)
	title := fmt.Sprintf("Run %d %s after %s", t.Run, t.Status, took(t.Elapsed))
	facts := fmt.Sprintf("%s on %s · created %s by %s · plan %.12s · critical path of %s",
		count(len(t.Steps), "step"), count(hostsOf(t), "host"), stamp(t.CreatedAt), t.By, t.PlanID, count(len(t.Critical), "step"))
	fmt.Fprintf(d, "<title>%s</title>\n<style>%s</style>\n", svgText(title), timelineStyle)
	fmt.Fprintf(d, `<rect width="%.0f" height="%.0f" fill="#ffffff"/>`+"\n", width, height)
	fmt.Fprintf(d, `<text class="head" x="%.0f" y="32">%s</text><text class="facts" x="%.0f" y="52">%s</text>`+"\n", svgSide, svgText(title), svgSide, svgText(facts))
	d.legend()
}

// legend explains the colours.
func (d *timelineDrawing) legend() {
	x := svgSide
	for _, m := range classMarks {
		if m.class == history.Report {
			continue
		}
		text := strings.ToUpper(m.text[:1]) + m.text[1:]
		fmt.Fprintf(d, `<rect class="%s" x="%.0f" y="66" width="14" height="10" rx="2"/><text class="key" x="%.0f" y="75">%s</text>`+"\n", m.class, x, x+19, text)
		x += 36 + 6.6*float64(len(text))
	}
	fmt.Fprintf(d, `<rect class="path" x="%.0f" y="66" width="14" height="10" rx="2"/><text class="key" x="%.0f" y="75">Critical path</text>`+"\n", x, x+19)
}

// axis draws the times, and when another orchestrator began to lead.
func (d *timelineDrawing) axis() {
	const ticks = 6
	bottom := d.height() - 30
	for i := range ticks + 1 {
		after := d.t.Elapsed * history.Span(i) / ticks
		x := d.x(d.t.CreatedAt.Add(after.Duration()))
		fmt.Fprintf(d, `<line class="grid" x1="%.1f" y1="%.0f" x2="%.1f" y2="%.0f"/><text class="tick" x="%.1f" y="%.0f">%s</text>`+"\n", x, svgTop-6, x, bottom, x, bottom+14, svgText(took(after)))
	}
	for _, l := range d.t.Leaders {
		x := d.x(l.At)
		anchor, at := "start", x+4
		if x > svgSide+svgNames+svgChart*0.8 {
			anchor, at = "end", x-4
		}
		fmt.Fprintf(d, `<line class="leader" x1="%.1f" y1="%.0f" x2="%.1f" y2="%.0f"/><text class="leads" x="%.1f" y="%.0f" text-anchor="%s">#%d orchestrator %d leads</text>`+"\n",
			x, svgTop-18, x, bottom, at, svgTop-10, anchor, l.Seq, l.Replica)
	}
}

func (d *timelineDrawing) row(r *timelineRow, y float64) {
	class, failed := "name", ""
	if r.critical {
		class = "name critical"
	}
	if r.failed {
		failed = " failed"
	}
	fmt.Fprintf(d, `<g class="row%s"><text class="%s" x="%.0f" y="%.1f">%s</text>`, failed, class, svgSide+svgNames-10, y+svgBar-1, svgText(shortened(r.name, svgNameRunes)))
	for _, s := range r.steps {
		d.at[s] = y + svgBar/2
		d.step(s, y, len(r.steps) > 1)
	}
	fmt.Fprintf(d, `<text class="span%s" x="%.0f" y="%.1f">%s</text></g>`+"\n", failed, svgSide+svgNames+svgChart+8, y+svgBar-1, svgText(took(r.span())))
}

// step draws the parts of one step's time; of many steps in a row the waits are left
// out, and the rest can be seen through.
func (d *timelineDrawing) step(s *history.StepTime, y float64, many bool) {
	for i := range s.Segments {
		g := &s.Segments[i]
		if many && g.Class == history.Dependencies {
			continue
		}
		top, height, opacity := y, svgBar, ""
		switch {
		case g.Class == history.Dependencies:
			top, height = y+svgBar/2-1, 2
		case many:
			opacity = ` fill-opacity="0.55"`
		}
		from, to := d.x(g.From), d.x(g.To)
		fmt.Fprintf(d, `<rect class="%s" x="%.2f" y="%.1f" width="%.2f" height="%.1f"%s><title>%s</title></rect>`,
			g.Class, from, top, max(to-from, 0.4), height, opacity, svgText(fmt.Sprintf("%s: %s %s", s.Step, g.Class, took(g.Span()))))
	}
}

// path frames the steps of the critical path, and leads from one to the next.
func (d *timelineDrawing) path() {
	last := 0.0
	byName := map[string]*history.StepTime{}
	for s := range d.at {
		byName[s.Step] = s
	}
	for i, l := range d.t.Critical {
		y := d.at[byName[l.Step]]
		from, to := d.x(l.From), d.x(l.To)
		fmt.Fprintf(d, `<rect class="path" x="%.2f" y="%.1f" width="%.2f" height="%.1f" rx="2"/>`, from, y-svgBar/2-1.5, max(to-from, 1), svgBar+3)
		if i > 0 {
			fmt.Fprintf(d, `<path class="path" d="M%.2f %.1fV%.1f"/>`, from, last, y)
		}
		last = y
		d.WriteString("\n")
	}
}

// svgText escapes a text; what XML cannot hold becomes U+FFFD.
func svgText(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
