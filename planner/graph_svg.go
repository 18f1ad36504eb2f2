package planner

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// The bounds of a box: its label is cut where it does not fit, the tooltip has
// it whole.
const (
	boxWidthMin   = 116.0
	boxWidthMax   = 260.0
	boxPadding    = 14.0
	titleSize     = 12.5
	subtitleSize  = 10.5
	svgWidthMin   = 640.0
	svgIDShown    = 12
	svgColumnsMax = 400 // more levels than this get no headings
)

const svgStyle = `
svg{font-family:Inter,ui-sans-serif,system-ui,"Segoe UI","DejaVu Sans",sans-serif}
.name{font-size:12.5px;font-weight:600;fill:#0f172a}
.sub{font-size:10.5px;fill:#64748b}
.head{font-size:17px;font-weight:700;fill:#0f172a}
.facts{font-size:12px;fill:#475569}
.level{font-size:10px;font-weight:600;fill:#94a3b8;letter-spacing:.06em}
.edge{fill:none;stroke:#94a3b8;stroke-width:1.3}
.edge.implied{stroke:#d3dce6;stroke-width:1}
.edge.same-host{stroke-dasharray:5 3}
.edge.after-same-host{stroke-dasharray:2 3}
.edge.critical{stroke:#ea580c;stroke-width:2.4}
.box{stroke-width:1.1}
.critical .box{stroke:#ea580c;stroke-width:2.2}
`

// SVG writes the graph as a picture: one column per level, one box per task in
// the colour of its service, the critical path marked. It is a whole XML
// document and needs neither scripts nor fonts from elsewhere.
func (p *Plan) SVG(w io.Writer) error {
	d := &svgDrawing{Writer: bufio.NewWriter(w), plan: p, layout: newLayout(p, p.boxWidth), colors: p.serviceColors()}
	d.open()
	d.headings()
	for _, pass := range []func(planEdge) bool{
		func(e planEdge) bool { return e.implied && !e.critical },
		func(e planEdge) bool { return !e.implied && !e.critical },
		func(e planEdge) bool { return e.critical },
	} {
		for _, e := range d.layout.edges {
			if pass(e.planEdge) {
				d.edge(e)
			}
		}
	}
	onPath := p.onCriticalPath()
	for i := range p.Tasks {
		d.box(i, onPath[i])
	}
	d.WriteString("</svg>\n")
	return d.Flush()
}

type svgDrawing struct {
	*bufio.Writer
	plan   *Plan
	layout *layout
	colors map[string]graphColor
}

func (d *svgDrawing) open() {
	width, height := max(svgWidthMin, d.layout.width), max(headHeight+marginFoot, d.layout.height)
	fmt.Fprintf(d, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">`+"\n", width, height, width, height)
	facts := fmt.Sprintf("%s on %s · %s · critical path of %d",
		plural(len(d.plan.Tasks), "task"), plural(len(d.plan.Hosts), "host"),
		plural(len(d.layout.columns), "level"), len(d.plan.CriticalPath()))
	title := "Plan " + d.plan.ID()[:svgIDShown]
	fmt.Fprintf(d, "<title>%s: %s</title>\n<style>%s</style>\n", title, facts, svgStyle)
	d.WriteString(`<defs>` + svgMarker("arrow", "#94a3b8", 5) + svgMarker("arrow-implied", "#d3dce6", 5) +
		svgMarker("arrow-critical", criticalColor, 4) + "</defs>\n")
	fmt.Fprintf(d, `<rect width="%.0f" height="%.0f" fill="#ffffff"/>`+"\n", width, height)
	fmt.Fprintf(d, `<text class="head" x="%.0f" y="34">%s</text><text class="facts" x="%.0f" y="54">%s</text>`+"\n",
		marginSide, title, marginSide, facts)
	d.legend(width)
}

// legend explains the lines, in the upper right corner.
func (d *svgDrawing) legend(width float64) {
	entries := []struct{ class, text string }{
		{"critical", "critical path"}, {"", "requires"}, {"same-host", "on the same host"},
		{"after-same-host", "after, same host"}, {"implied", "implied"},
	}
	x := width - marginSide - 150
	for i, e := range entries {
		y := 18 + 12*float64(i)
		fmt.Fprintf(d, `<line class="%s" x1="%.0f" y1="%.1f" x2="%.0f" y2="%.1f"/><text class="sub" x="%.0f" y="%.1f">%s</text>`+"\n",
			strings.TrimSpace("edge "+e.class), x, y, x+32, y, x+40, y+3.5, e.text)
	}
}

func svgMarker(id, color string, size int) string {
	return fmt.Sprintf(`<marker id="%s" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="%d" markerHeight="%d" orient="auto"><path d="M0 0.8L10 5L0 9.2z" fill="%s"/></marker>`, id, size, size, color)
}

func (d *svgDrawing) headings() {
	if len(d.layout.columns) > svgColumnsMax {
		return
	}
	for i, column := range d.layout.columns {
		n := &d.layout.nodes[column[0]]
		fmt.Fprintf(d, `<text class="level" x="%.1f" y="%.1f">%d</text><line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#e2e8f0"/>`+"\n",
			n.x, headHeight-18, i+1, n.x, headHeight-12, n.x+n.width, headHeight-12)
	}
}

// edge draws one path: curves between the columns, straight lines through them.
func (d *svgDrawing) edge(e layoutEdge) {
	var path strings.Builder
	nodes := d.layout.nodes
	from := &nodes[e.via[0]]
	x, y := from.x+from.width, from.y
	fmt.Fprintf(&path, "M%.1f %.1f", x, y)
	for i, n := range e.via[1:] {
		to := &nodes[n]
		bend := (to.x - x) / 2
		fmt.Fprintf(&path, "C%.1f %.1f %.1f %.1f %.1f %.1f", x+bend, y, to.x-bend, to.y, to.x, to.y)
		x, y = to.x, to.y
		if i < len(e.via)-2 {
			x += to.width
			fmt.Fprintf(&path, "H%.1f", x)
		}
	}
	class, marker := "edge", "arrow"
	switch {
	case e.critical:
		class, marker = "edge critical", "arrow-critical"
	case e.implied:
		class, marker = "edge implied", "arrow-implied"
	}
	if e.scope != ScopeAll {
		class += " " + e.scope.String()
	}
	fmt.Fprintf(d, `<path class="%s" d="%s" marker-end="url(#%s)" data-from="%d" data-to="%d"/>`+"\n", class, path.String(), marker, e.from, e.to)
}

func (d *svgDrawing) box(i int, critical bool) {
	t, n := &d.plan.Tasks[i], &d.layout.nodes[i]
	c := d.colors[t.Service]
	class := "task"
	if critical {
		class = "task critical"
	}
	top := n.y - n.height/2
	room := n.width - 2*boxPadding
	fmt.Fprintf(d, `<g class="%s" data-task="%d"><title>%s</title>`, class, i, xmlText(d.plan.taskSummary(i)))
	fmt.Fprintf(d, `<rect class="box" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="7" fill="%s" stroke="%s"/>`, n.x, top, n.width, n.height, c.fill, c.stroke)
	fmt.Fprintf(d, `<rect x="%.1f" y="%.1f" width="3.5" height="%.1f" rx="1.75" fill="%s"/>`, n.x+5, top+8, n.height-16, c.accent)
	fmt.Fprintf(d, `<text class="name" x="%.1f" y="%.1f">%s</text>`, n.x+boxPadding+2, top+18, xmlText(fitText(t.Name, titleSize, room)))
	fmt.Fprintf(d, `<text class="sub" x="%.1f" y="%.1f">%s</text></g>`+"\n", n.x+boxPadding+2, top+33, xmlText(fitText(d.plan.boxSubtitle(i), subtitleSize, room)))
}

// boxSubtitle names the service and where the task runs.
func (p *Plan) boxSubtitle(i int) string {
	t := &p.Tasks[i]
	text := t.Service
	switch {
	case t.Driver != DriverDirectord:
		text += " · " + string(t.Driver)
	case len(p.taskHosts(i)) == 1:
		text += " · " + p.taskHosts(i)[0]
	default:
		text += " · " + plural(len(p.taskHosts(i)), "host")
	}
	return text
}

func (p *Plan) boxWidth(i int) float64 {
	text := max(textWidth(p.Tasks[i].Name, titleSize), textWidth(p.boxSubtitle(i), subtitleSize))
	return min(boxWidthMax, max(boxWidthMin, text+2*boxPadding+4))
}

// textWidth estimates the width of a line, generously: the fonts at hand differ.
func textWidth(s string, size float64) float64 {
	width := 0.0
	for _, r := range s {
		switch {
		case r >= 0x1100:
			width += 1.05
		case unicode.IsUpper(r) || r == 'm' || r == 'w' || r == '_':
			width += 0.78
		case strings.ContainsRune("iljtfr.,-:;'|!·() ", r):
			width += 0.42
		default:
			width += 0.62
		}
	}
	return width * size
}

// fitText cuts a text with an ellipsis where it is wider than the room.
func fitText(s string, size, room float64) string {
	if textWidth(s, size) <= room {
		return s
	}
	runes := []rune(s)
	for len(runes) > 0 && textWidth(string(runes)+"…", size) > room {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// xmlText escapes a text; what XML cannot hold becomes U+FFFD.
func xmlText(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
