package planner

import (
	"fmt"
	"strings"

	"quorate/internal/yaml11"
)

// orchestrationFile decodes a Directord orchestration file.
func (d *decoder) orchestrationFile() (groups []*group, kept bool) {
	n := d.root("an orchestration file")
	if n == nil {
		return nil, true
	}
	if n.Kind != yaml11.Sequence {
		hint := ""
		if n.Get("jobs") != nil {
			hint = "write a dash before it"
		}
		d.errorf("wrong-type", n, hint, "an orchestration file must be a list, not %s", shapeOf(n))
		return nil, true
	}
	for i, item := range n.Items {
		what := fmt.Sprintf("orchestration %d", i+1)
		c, ok := d.check(item, what, d.orchestration)
		g := &group{name: c.text("name"), at: spotOf(item), async: truth(c.get("async")), targets: c.names("assign"), file: d.file}
		if len(g.targets) == 0 {
			g.targets = c.names("targets")
		}
		g.keepGoing = d.onFailure(item, what)
		if jobs := c.get("jobs"); jobs != nil {
			g.jobs = d.jobs(jobs, what)
		}
		if ok {
			groups = append(groups, g)
		}
	}
	return groups, true
}

// onFailure reads the key that makes jobs run after a failed one.
func (d *decoder) onFailure(n *yaml11.Node, what string) bool {
	v := n.Get("on_failure")
	if v == nil {
		return false
	}
	switch v.Text {
	case "continue":
		return true
	case "stop":
		return false
	}
	d.warnf("bad-value", v, "it may be continue or stop", "%s: \"on_failure\" is %q, which means nothing", what, v.Text)
	return false
}

// truth reads a value as Directord does: the classical words, any other text is
// true, a number is true unless it is zero.
func truth(n *yaml11.Node) bool {
	if n == nil || n.IsNull() {
		return false
	}
	if v, ok := n.Bool(); ok {
		return v
	}
	if v, ok := n.BigInt(); ok {
		return v.Sign() != 0
	}
	if v, ok := n.Float(); ok {
		return v != 0
	}
	switch strings.ToLower(n.Text) {
	case "", "n", "no", "f", "false", "off", "0":
		return false
	}
	return true
}
