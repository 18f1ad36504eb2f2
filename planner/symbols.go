package planner

import (
	"fmt"
	"strings"
)

// linkSymbols finds who provides what and makes the links between tasks.
func (c *compiler) linkSymbols() {
	provider := c.providers()
	for i := range c.nodes {
		t := c.nodes[i].task
		if t == nil {
			continue
		}
		for _, want := range t.requires {
			c.nodes[i].symbols = append(c.nodes[i].symbols, want.text)
			if from, known := provider[want.text]; known {
				c.links = append(c.links, link{from: from, to: int32(i)})
			} else if !c.partial {
				c.missingProvider(&c.nodes[i], want, provider)
			}
		}
		c.neededBy(int32(i), t, provider)
	}
	c.links = sortLinks(len(c.nodes), c.links)
}

// providers maps each symbol to the task that provides it. Only tasks of
// services with hosts count.
func (c *compiler) providers() map[string]int32 {
	provider := make(map[string]int32, len(c.nodes))
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.task == nil {
			continue
		}
		for _, s := range n.task.provides {
			first, again := provider[s.text]
			if !again {
				provider[s.text] = int32(i)
				continue
			}
			c.errorf("duplicate-provider", n.file.place(s.at), "give one of the services no host, or provide another symbol",
				"%q is provided by task %q and by task %q (%s)", s.text, n.id, c.nodes[first].id, c.providedAt(first, s.text))
		}
	}
	return provider
}

// providedAt is where a task provides a symbol.
func (c *compiler) providedAt(i int32, symbol string) string {
	n := &c.nodes[i]
	for _, s := range n.task.provides {
		if s.text == symbol {
			return at(n.file, s.at)
		}
	}
	return n.where()
}

// missingProvider explains why nothing provides a symbol.
func (c *compiler) missingProvider(n *node, want name, provider map[string]int32) {
	var idle []string
	for _, p := range c.idleProviders()[want.text] {
		idle = append(idle, fmt.Sprintf("service %q (%s)", p.service.id.text, at(p.service.file, p.at)))
	}
	hint := ""
	switch {
	case len(idle) > 0:
		hint = strings.Join(idle, " and ") + " would provide it, but no host has a role that lists it"
		if len(idle) > 1 {
			hint = strings.Join(idle, " and ") + " would provide it, but no host has a role that lists one of them"
		}
	default:
		hint = c.suggest(want.text, keysOf(provider))
	}
	c.errorf("missing-provider", n.file.place(want.at), hint, "task %q requires %q, which no task provides", n.id, want.text)
}

// An idleProvider is a service without hosts that would provide a symbol.
type idleProvider struct {
	service *service
	at      spot
}

// idleProviders maps symbols to the services without hosts that provide them.
func (c *compiler) idleProviders() map[string][]idleProvider {
	if c.idleSymbols == nil {
		c.idleSymbols = map[string][]idleProvider{}
		for _, s := range c.idle {
			for k := range s.tasks {
				for _, p := range s.tasks[k].provides {
					c.idleSymbols[p.text] = append(c.idleSymbols[p.text], idleProvider{s, p.at})
				}
			}
		}
	}
	return c.idleSymbols
}

// neededBy makes the providers of the symbols wait for the task.
func (c *compiler) neededBy(i int32, t *task, provider map[string]int32) {
	n := &c.nodes[i]
	for _, s := range t.neededBy {
		if len(t.provides) == 0 {
			c.warnf("needed-by-nothing", n.file.place(s.at), "give the task something to provide", "task %q is needed by %q but provides nothing, so nothing waits for it", n.id, s.text)
			return
		}
		to, known := provider[s.text]
		switch {
		case known:
			c.links = append(c.links, link{from: i, to: to})
			for _, own := range t.provides {
				c.nodes[to].symbols = append(c.nodes[to].symbols, own.text)
			}
		case c.partial || len(c.idleProviders()[s.text]) > 0:
			// What would wait is left out of the plan.
		default:
			c.warnf("needed-by-unknown", n.file.place(s.at), c.suggest(s.text, keysOf(provider)), "task %q is needed by %q, which no task provides", n.id, s.text)
		}
	}
}

// findCycles reports tasks that wait for each other, or for themselves.
func (c *compiler) findCycles() {
	out := rowsByFrom(len(c.nodes), c.links)
	level, order := levels(len(c.nodes), out)
	c.order = order
	if len(order) == len(c.nodes) {
		return
	}
	stuck := make([]bool, len(c.nodes))
	for i := range stuck {
		stuck[i] = level[i] < 0
	}
	less := func(a, b int32) bool { return c.nodes[a].id < c.nodes[b].id }
	for _, cycle := range cycles(len(c.nodes), out, stuck, less) {
		c.reportCycle(cycle)
	}
}

func (c *compiler) reportCycle(cycle []int32) {
	first := &c.nodes[cycle[0]]
	if len(cycle) == 1 {
		c.errorf("cycle", first.place(), "", "task %q waits for itself: it %s", first.id, c.reason(cycle[0], cycle[0]))
		return
	}
	var path, reasons []string
	for k, i := range cycle {
		path = append(path, c.nodes[i].id)
		before := cycle[(k+len(cycle)-1)%len(cycle)]
		reasons = append(reasons, fmt.Sprintf("%q (%s) %s", c.nodes[i].id, c.nodes[i].where(), c.reason(before, i)))
	}
	path = append(path, first.id)
	c.errorf("cycle", first.place(), strings.Join(reasons, "; "), "tasks wait for each other in a circle: %s", strings.Join(path, " -> "))
}

// reason says why task to waits for task from.
func (c *compiler) reason(from, to int32) string {
	a, b := c.nodes[from].task, c.nodes[to].task
	if a == nil || b == nil {
		return "comes after it"
	}
	for _, want := range b.requires {
		for _, s := range a.provides {
			if s.text == want.text {
				return fmt.Sprintf("requires %q of %q", s.text, c.nodes[from].id)
			}
		}
	}
	for _, s := range a.neededBy {
		for _, own := range b.provides {
			if s.text == own.text {
				return fmt.Sprintf("provides %q, and %q is needed by that", s.text, c.nodes[from].id)
			}
		}
	}
	return "waits for " + c.nodes[from].id
}
