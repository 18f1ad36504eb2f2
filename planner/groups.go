package planner

import (
	"fmt"
	"slices"
	"strings"
)

// addGroups makes nodes of orchestrations. A host does those that are not async
// one after another, in the order of the files, whatever becomes of each; the
// others are not ordered.
func (c *compiler) addGroups() {
	last := map[uint32]int32{} // by host, the newest group in its queue
	for k, g := range c.in.groups {
		c.missing = nil
		hosts, ok := c.groupHosts(g, k)
		if !ok {
			continue
		}
		at := len(c.nodes)
		c.addNode(node{
			id: c.groupID(g, k), group: g, file: g.file, at: g.at,
			driver: DriverDirectord, set: c.sets.internList(hosts),
		}, hosts, g.jobs)
		if g.async || c.opt.ForceAsync || at == len(c.nodes) {
			continue
		}
		for _, h := range c.sets.list[c.nodes[at].set] {
			if before, queued := last[h]; queued {
				c.links = append(c.links, link{from: before, to: int32(at), scope: ScopeAfterSameHost})
			}
			last[h] = int32(at)
		}
		c.links = dropRepeats(c.links)
	}
}

// dropRepeats keeps one link of a task to each task before it. All links of the
// newest task are at the end.
func dropRepeats(links []link) []link {
	if len(links) == 0 {
		return links
	}
	k := len(links)
	for k > 0 && links[k-1].to == links[len(links)-1].to {
		k--
	}
	tail := links[k:]
	slices.SortFunc(tail, func(a, b link) int { return int(a.from) - int(b.from) })
	return links[:k+len(slices.Compact(tail))]
}

// groupHosts returns the hosts of an orchestration, in the order in which they
// are named: the operator's targets, else its own, else every known host.
func (c *compiler) groupHosts(g *group, k int) (hosts []uint32, ok bool) {
	what := fmt.Sprintf("orchestration %d", k+1)
	if g.name != "" {
		what = fmt.Sprintf("orchestration %q", g.name)
	}
	if len(c.opt.Targets) > 0 {
		return c.operatorTargets()
	}
	if len(g.targets) > 0 {
		return c.resolve(g.targets, g.file, what)
	}
	if len(c.opt.Everywhere) > 0 {
		for _, n := range c.opt.Everywhere {
			hosts = append(hosts, c.host(n))
		}
		return hosts, true
	}
	if c.opt.Everywhere != nil || !c.closed {
		c.errorf("no-targets", g.file.place(g.at), `name them with "--target HOST,...", or in the file`, "%s is for every host, but no host is known", what)
		return nil, false
	}
	for h := range c.hosts {
		hosts = append(hosts, uint32(h))
	}
	return hosts, true
}

// operatorTargets are the hosts named beside the files.
func (c *compiler) operatorTargets() (hosts []uint32, ok bool) {
	for _, n := range c.opt.Targets {
		h, known := c.hostIndex[n]
		if !known && c.closed {
			if !c.targetsReported {
				c.errorf("unknown-target", Pos{}, c.suggest(n, slices.Values(c.hosts)), "the target %q is no known host", n)
			}
			continue
		}
		if !known {
			h = c.host(n)
		}
		if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	c.targetsReported = true
	return hosts, len(hosts) > 0
}

// groupID names an orchestration's task after its name, or its position among
// all orchestrations.
func (c *compiler) groupID(g *group, k int) string {
	isName := bytesOf(nameBytes)
	words := strings.FieldsFunc(g.name, func(r rune) bool { return !isName(string(r)) })
	base := strings.Trim(strings.Join(words, "-"), "-.")
	if base == "" {
		base = fmt.Sprintf("play-%d", k+1)
	}
	id := base
	for n := 2; ; n++ {
		if _, taken := c.ids[id]; !taken {
			return id
		}
		id = fmt.Sprintf("%s-%d", base, n)
	}
}
