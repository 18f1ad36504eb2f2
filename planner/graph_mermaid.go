package planner

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// mermaidEdgesMax is the number of edges that Mermaid draws by default.
const mermaidEdgesMax = 500

var mermaidEscapes = strings.NewReplacer(
	"#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "&", "#amp;", "`", "#96;", "\n", " ", "\r", " ")

// Mermaid writes the graph as a Mermaid flowchart. Nodes are named t0, t1, ... by
// position in the plan and labelled with the tasks' ids; requirements on the
// same host only are dotted, the critical path is thick.
func (p *Plan) Mermaid(w io.Writer) error {
	b := bufio.NewWriter(w)
	edges := p.edges()
	if len(edges) > mermaidEdgesMax {
		fmt.Fprintf(b, "%%%% %d edges: set Mermaid's maxEdges above that, its default is %d\n", len(edges), mermaidEdgesMax)
	}
	b.WriteString("flowchart LR\n")
	byService := map[string][]string{}
	for i := range p.Tasks {
		t := &p.Tasks[i]
		node := fmt.Sprintf("t%d", i)
		byService[t.Service] = append(byService[t.Service], node)
		fmt.Fprintf(b, "  %s[\"%s\"]\n", node, mermaidEscapes.Replace(t.ID))
	}
	for _, e := range edges {
		arrow := "-->"
		switch {
		case e.critical:
			arrow = "==>"
		case e.scope != ScopeAll:
			arrow = "-.->"
		}
		fmt.Fprintf(b, "  t%d %s t%d\n", e.from, arrow, e.to)
	}
	colors := p.serviceColors()
	for i, name := range p.serviceNames() {
		c := colors[name]
		fmt.Fprintf(b, "  classDef s%d fill:%s,stroke:%s,color:#0f172a\n", i, c.fill, c.stroke)
		fmt.Fprintf(b, "  class %s s%d\n", strings.Join(byService[name], ","), i)
	}
	if path := p.CriticalPath(); len(path) > 1 {
		fmt.Fprintf(b, "  classDef critical stroke:%s,stroke-width:3px\n", criticalColor)
		var nodes []string
		for _, i := range path {
			nodes = append(nodes, fmt.Sprintf("t%d", i))
		}
		fmt.Fprintf(b, "  class %s critical\n", strings.Join(nodes, ","))
	}
	return b.Flush()
}
