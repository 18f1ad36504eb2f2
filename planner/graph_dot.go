package planner

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

var dotEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ", "\r", " ")

func dotQuote(s string) string { return `"` + dotEscapes.Replace(s) + `"` }

// Dot writes the graph in Graphviz's language. Nodes carry the ids of the
// tasks; requirements on the same host only are dashed, with an empty arrow where
// they are but an order, and the critical path is bold.
func (p *Plan) Dot(w io.Writer) error {
	b := bufio.NewWriter(w)
	b.WriteString("digraph plan {\n  rankdir=LR;\n" +
		"  graph [fontname=\"Helvetica\", nodesep=0.25, ranksep=0.7];\n" +
		"  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11];\n" +
		"  edge [color=\"#94a3b8\", arrowsize=0.7];\n")
	colors := p.serviceColors()
	onPath := p.onCriticalPath()
	for i := range p.Tasks {
		t := &p.Tasks[i]
		c := colors[t.Service]
		fmt.Fprintf(b, "  %s [fillcolor=%q, color=%q, tooltip=%s", dotQuote(t.ID), c.fill, c.stroke, dotQuote(p.taskSummary(i)))
		if onPath[i] {
			fmt.Fprintf(b, ", color=%q, penwidth=2", criticalColor)
		}
		b.WriteString("];\n")
	}
	for _, e := range p.edges() {
		fmt.Fprintf(b, "  %s -> %s", dotQuote(p.Tasks[e.from].ID), dotQuote(p.Tasks[e.to].ID))
		var attrs []string
		switch e.scope {
		case ScopeSameHost:
			attrs = append(attrs, "style=dashed")
		case ScopeAfterSameHost:
			attrs = append(attrs, "style=dashed", "arrowhead=empty")
		}
		switch {
		case e.critical:
			attrs = append(attrs, fmt.Sprintf("color=%q, penwidth=2", criticalColor))
		case e.implied:
			attrs = append(attrs, `color="#dbe2ea"`)
		}
		if len(attrs) > 0 {
			fmt.Fprintf(b, " [%s]", strings.Join(attrs, ", "))
		}
		b.WriteString(";\n")
	}
	b.WriteString("}\n")
	return b.Flush()
}

// criticalColor marks the critical path in every drawing.
const criticalColor = "#ea580c"

func (p *Plan) onCriticalPath() map[int]bool {
	on := map[int]bool{}
	for _, i := range p.CriticalPath() {
		on[int(i)] = true
	}
	return on
}

// taskSummary is the tooltip of a task, one line.
func (p *Plan) taskSummary(i int) string {
	t := &p.Tasks[i]
	parts := []string{t.ID, "driver " + string(t.Driver)}
	if hosts := p.taskHosts(i); len(hosts) > 0 {
		const shown = 12
		text := strings.Join(hosts[:min(shown, len(hosts))], ", ")
		if len(hosts) > shown {
			text += fmt.Sprintf(" and %d more", len(hosts)-shown)
		}
		parts = append(parts, "hosts "+text)
	}
	if len(t.Jobs) > 0 {
		parts = append(parts, plural(len(t.Jobs), "job"))
	}
	if len(t.Provides) > 0 {
		parts = append(parts, "provides "+strings.Join(t.Provides, ", "))
	}
	if t.Source.File != "" {
		parts = append(parts, fmt.Sprintf("%s:%d", t.Source.File, t.Source.Line))
	}
	return strings.Join(parts, " · ")
}

// taskHosts returns the names of a task's hosts.
func (p *Plan) taskHosts(i int) []string {
	hosts := []string{}
	if set := int(p.Tasks[i].HostSet); set < len(p.HostSets) {
		for _, h := range p.HostSets[set] {
			hosts = append(hosts, p.Hosts[h])
		}
	}
	return hosts
}

// plural counts a noun: "1 job", "3 jobs".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
