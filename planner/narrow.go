package planner

import (
	"slices"
)

// bridgesMax bounds the links that stand in for one task that is left out. A
// task with more becomes one that does nothing.
const bridgesMax = 1024

// narrow leaves out what --limit and --restrict leave out. What remains keeps
// its order: where a task between two others goes, the second waits for the first.
func (c *compiler) narrow() {
	if len(c.opt.Limit) == 0 && len(c.opt.Restrict) == 0 {
		return
	}
	c.restrict()
	c.limit()
	if !c.failed() {
		c.bridge()
	}
}

// markEngine marks the tasks of the engine that follow from what is left out.
func (c *compiler) markEngine(i int32, in rows) {
	n := &c.nodes[i]
	switch n.driver {
	case DriverPrint, DriverService, DriverNoop:
	default:
		return
	}
	n.narrowed = slices.ContainsFunc(in.row(i), func(l link) bool {
		from := &c.nodes[l.from]
		return from.dropped || from.narrowed || from.partial
	})
}

// restrict keeps the tasks, services and jobs that the operator names.
func (c *compiler) restrict() {
	if len(c.opt.Restrict) == 0 {
		return
	}
	wanted := make(map[string]bool, len(c.opt.Restrict)) // true once something has matched
	for _, r := range c.opt.Restrict {
		wanted[r] = false
	}
	match := func(name string) bool {
		_, named := wanted[name]
		if named {
			wanted[name] = true
		}
		return named
	}
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.driver == DriverMissing { // of the node before it
			n.dropped = c.nodes[i-1].dropped
			continue
		}
		byID, byService := match(n.id), n.service != "" && match(n.service)
		var jobs []nodeJob
		for _, j := range n.jobs {
			if j.spec.Fingerprint != "" && match(j.spec.Fingerprint) {
				jobs = append(jobs, j)
			}
		}
		if !byID && !byService {
			n.partial = len(jobs) < len(n.jobs)
			c.setJobs(n, jobs)
			n.dropped = len(jobs) == 0
		}
	}
	for _, r := range c.opt.Restrict {
		if !wanted[r] {
			wanted[r] = true
			c.errorf("unknown-task", Pos{}, c.suggest(r, c.taskNames), "there is no task, service or job %q to restrict to", r)
		}
	}
}

// taskNames yields what --restrict may name.
func (c *compiler) taskNames(yield func(string) bool) {
	for i := range c.nodes {
		if !yield(c.nodes[i].id) || c.nodes[i].service != "" && !yield(c.nodes[i].service) {
			return
		}
	}
}

// limit takes all other hosts out of the sets. A job that runs once does so on
// the host it always had, or not at all: a cluster must not be bootstrapped on
// another node because the first is left out.
func (c *compiler) limit() {
	if len(c.opt.Limit) == 0 {
		return
	}
	keep := make([]bool, len(c.hosts))
	for _, name := range c.opt.Limit {
		h, known := c.hostIndex[name]
		if !known {
			c.errorf("unknown-host", Pos{}, c.suggest(name, slices.Values(c.hosts)), "there is no host %q to limit to", name)
			continue
		}
		keep[h] = true
	}
	left := c.sets.filter(keep)
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.dropped {
			continue
		}
		var jobs []nodeJob
		for _, j := range n.jobs {
			set := left[j.set]
			if len(c.sets.list[set]) > 0 {
				jobs = append(jobs, nodeJob{j.jobSpec, set})
			}
		}
		had, hosts := len(n.jobs), len(c.sets.list[n.set])
		n.set = left[n.set]
		for _, j := range n.jobs {
			if j.runOnce && len(c.sets.list[left[j.set]]) == 0 && len(c.sets.list[n.set]) > 0 {
				c.warnf("limited-run-once", n.file.place(j.at), "", "job %d of task %q runs once, on the host %s, and is left out", j.spec.Index+1, n.id, c.hosts[c.sets.list[j.set][0]])
			}
		}
		if had > 0 {
			c.setJobs(n, jobs)
		}
		n.dropped = len(c.sets.list[n.set]) == 0
		n.narrowed = len(c.sets.list[n.set]) < hosts
	}
}

// setJobs leaves a node with some of its jobs and the hosts of those.
func (c *compiler) setJobs(n *node, jobs []nodeJob) {
	n.jobs = jobs
	sets := make([]uint32, 0, len(jobs))
	for _, j := range jobs {
		sets = append(sets, j.set)
	}
	if len(sets) > 0 {
		n.set = c.sets.union(sets)
	}
}

// bridge replaces the links of dropped nodes by links around them.
func (c *compiler) bridge() {
	in := rowsByTo(len(c.nodes), c.links)
	out := rowsByFrom(len(c.nodes), c.links)
	// around holds, for each dropped node, the links from kept nodes that lead to it.
	around := make([][]link, len(c.nodes))
	var links []link
	for _, i := range c.order {
		c.markEngine(i, in)
		var before []link
		for _, l := range in.row(i) {
			if !c.nodes[l.from].dropped {
				before = append(before, l)
				continue
			}
			for _, b := range around[l.from] {
				before = append(before, link{b.from, i, min(b.scope, l.scope)})
			}
		}
		slices.SortFunc(before, func(a, b link) int {
			if a.from != b.from {
				return int(a.from) - int(b.from)
			}
			return int(a.scope) - int(b.scope)
		})
		before = slices.CompactFunc(before, func(a, b link) bool { return a.from == b.from })
		n := &c.nodes[i]
		if n.dropped && len(before)*len(out.row(i)) <= bridgesMax {
			around[i] = before
			continue
		}
		if n.dropped {
			n.dropped, n.narrowed, n.driver, n.jobs, n.set = false, true, DriverNoop, nil, c.sets.intern(nil)
		}
		links = append(links, before...)
	}
	c.links = links
}
