package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/job"
)

// Version is the version of the rules by which inputs become plans. A plan names
// the one it was made by.
const Version = "1"

// Compile turns inputs into a plan. It reads nothing but its arguments. Where a
// diagnostic is an Error, of this or of loading, the plan is nil.
func Compile(in *Inputs, opt Options) (*Plan, []Diagnostic) {
	c := &compiler{in: in, opt: opt, sets: newHostSets(), ids: map[string]int32{}, hostIndex: map[string]uint32{}, partial: in.partial}
	c.knownHosts()
	c.addServices()
	c.addGroups()
	c.linkSymbols()
	c.findCycles()
	c.narrow()
	if in.failed || c.failed() {
		return nil, c.sorted()
	}
	return c.emit(), c.sorted()
}

// A compiler holds what is known while compiling.
type compiler struct {
	report
	in  *Inputs
	opt Options

	// partial is true where tasks are missing that were written: then what nothing
	// provides is not worth a word.
	partial bool

	hosts     []string
	hostIndex map[string]uint32
	// closed is true where hosts are all that there are; else naming one makes it known.
	closed bool

	sets  *hostSets
	nodes []node
	ids   map[string]int32 // position of a node by its id
	links []link
	order []int32 // nodes in a topological order; incomplete where there is a cycle
	// idle are the services without hosts, idleSymbols what they would provide.
	idle        []*service
	idleSymbols map[string][]idleProvider
	// missing are the hosts that the node which is next is for and that nobody knows.
	missing []string
	// targetsReported is true once unknown targets of the operator are reported.
	targetsReported bool
}

// A node is a task on its way into the plan.
type node struct {
	id      string
	service string
	task    *task  // of a service, or nil
	group   *group // an orchestration, or nil
	file    *inputFile
	at      spot
	driver  Driver
	set     uint32
	jobs    []nodeJob
	symbols []string // what it requires, others' needed-by included
	// absent are the hosts that the node before this one lacks: this one records them.
	absent []string
	// dropped is true where --limit or --restrict leaves the task out, narrowed and partial
	// as in Task.
	dropped, narrowed, partial bool
}

// A nodeJob is a job with the hosts it is for.
type nodeJob struct {
	*jobSpec
	set uint32
}

func (n *node) place() Pos { return n.file.place(n.at) }

// where is the node's place for use inside a message.
func (n *node) where() string { return at(n.file, n.at) }

// knownHosts numbers the hosts: those of the inventory in its order, then the
// known nodes.
func (c *compiler) knownHosts() {
	for _, h := range c.in.hosts {
		c.host(h.name.text)
	}
	for _, h := range c.opt.Hosts {
		c.host(h)
	}
	c.closed = len(c.hosts) > 0
}

// host returns the number of a host, making it known where it was not.
func (c *compiler) host(name string) uint32 {
	if i, known := c.hostIndex[name]; known {
		return i
	}
	i := uint32(len(c.hosts))
	c.hosts = append(c.hosts, name)
	c.hostIndex[name] = i
	return i
}

// addServices makes nodes of the tasks of services that have hosts.
func (c *compiler) addServices() {
	assigned := c.in.assign(&c.report)
	for i, s := range c.in.services {
		hosts := assigned.of[i]
		if len(hosts) == 0 {
			c.idle = append(c.idle, s)
			continue
		}
		set := c.sets.intern(hosts)
		for k := range s.tasks {
			t := &s.tasks[k]
			c.addNode(node{
				id: s.id.text + "-" + t.id.text, service: s.id.text, task: t, file: s.file, at: t.id.at,
				driver: t.driver, set: set,
			}, hosts, t.jobs)
		}
	}
}

// addNode gives a node its jobs and its place. hosts are in the order that decides
// which one is first.
func (c *compiler) addNode(n node, hosts []uint32, jobs []jobSpec) {
	if other, again := c.ids[n.id]; again {
		c.partial = true
		c.errorf("duplicate-task", n.place(), "rename one of them: a task is called SERVICE-TASK", "the task %q is also in %s", n.id, c.nodes[other].where())
		return
	}
	n.jobs = make([]nodeJob, 0, len(jobs))
	used := make([]uint32, 0, len(jobs))
	for i := range jobs {
		set, ok := c.jobHosts(&n, &jobs[i], hosts)
		if ok {
			n.jobs = append(n.jobs, nodeJob{&jobs[i], set})
			used = append(used, set)
		}
	}
	if len(used) > 0 {
		n.set = c.sets.union(used)
	}
	c.ids[n.id] = int32(len(c.nodes))
	c.nodes = append(c.nodes, n)
	c.addMissing(n)
}

// addMissing adds a task that fails for the hosts that the newest node names and
// that nobody knows: it runs on the others, and the run says that it is not whole.
func (c *compiler) addMissing(of node) {
	missing := c.missing
	c.missing = nil
	if len(missing) == 0 {
		return
	}
	id := of.id + "-unknown-hosts"
	for n := 2; ; n++ {
		if _, taken := c.ids[id]; !taken {
			break
		}
		id = fmt.Sprintf("%s-unknown-hosts-%d", of.id, n)
	}
	slices.Sort(missing)
	c.ids[id] = int32(len(c.nodes))
	c.nodes = append(c.nodes, node{id: id, service: of.service, file: of.file, at: of.at,
		driver: DriverMissing, set: c.sets.intern(nil), absent: slices.Compact(missing)})
}

// jobHosts returns the set of hosts of one job.
func (c *compiler) jobHosts(n *node, j *jobSpec, hosts []uint32) (set uint32, ok bool) {
	if len(j.assign) > 0 {
		if hosts, ok = c.resolve(j.assign, n.file, fmt.Sprintf("job %d of task %q", j.spec.Index+1, n.id)); !ok {
			return 0, false
		}
		c.warnEscape(n, j, hosts)
	} else if !j.runOnce {
		return n.set, true
	}
	if j.runOnce {
		hosts = hosts[:1]
	}
	return c.sets.internList(hosts), true
}

// warnEscape warns of a job of a service that is assigned to hosts that do not
// have the service.
func (c *compiler) warnEscape(n *node, j *jobSpec, hosts []uint32) {
	if n.task == nil {
		return
	}
	var outside []string
	for _, h := range hosts {
		if _, inside := slices.BinarySearch(c.sets.list[n.set], h); !inside {
			outside = append(outside, c.hosts[h])
		}
	}
	if len(outside) > 0 {
		c.warnf("assign-escapes", n.file.place(j.assign[0].at), "", "job %d of task %q is assigned to %s, where the service %q is not", j.spec.Index+1, n.id, strings.Join(outside, ", "), n.service)
	}
}

// resolve returns the hosts of the names, in their order, each once. Unknown ones
// are left out with a warning, as long as one is known.
func (c *compiler) resolve(names []name, file *inputFile, what string) (hosts []uint32, ok bool) {
	var unknown []name
	for _, n := range names {
		h, known := c.hostIndex[n.text]
		if !known && c.closed {
			unknown = append(unknown, n)
			continue
		}
		if !known {
			h = c.host(n.text)
		}
		if !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	for _, n := range unknown {
		d := Diagnostic{
			Severity: Warning, Code: "unknown-target", Pos: file.place(n.at), Hint: c.suggest(n.text, slices.Values(c.hosts)),
			Message: fmt.Sprintf("%s is for %q, which is no known host; it is left out there, and the run fails", what, n.text),
		}
		if len(hosts) == 0 {
			d.Severity, d.Message = Error, fmt.Sprintf("%s is for %q, which is no known host", what, n.text)
		}
		c.report.add(d)
		if len(hosts) > 0 {
			c.missing = append(c.missing, n.text)
		}
	}
	return hosts, len(hosts) > 0
}

// emit writes the plan in its canonical order.
func (c *compiler) emit() *Plan {
	kept := make([]int32, 0, len(c.nodes))
	position := make([]int32, len(c.nodes))
	for i := range c.nodes {
		position[i] = int32(len(kept))
		if !c.nodes[i].dropped {
			kept = append(kept, int32(i))
		}
	}
	links := make([]link, 0, len(c.links))
	for _, l := range c.links {
		links = append(links, link{position[l.from], position[l.to], l.scope})
	}
	level, _ := levels(len(kept), rowsByFrom(len(kept), links))
	order := make([]int32, len(kept))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(level[a], level[b]), strings.Compare(c.nodes[kept[a]].id, c.nodes[kept[b]].id))
	})
	e := &emitter{compiler: c, kept: kept, order: order, set: map[uint32]uint32{}, rank: make([]uint32, len(kept))}
	for r, i := range order {
		e.rank[i] = uint32(r)
	}
	return e.plan(rowsByTo(len(kept), sortLinks(len(kept), links)))
}

// An emitter renumbers tasks, hosts and host sets by their order of first use.
type emitter struct {
	*compiler
	kept  []int32  // nodes in the plan
	order []int32  // positions in kept, in the plan's order
	rank  []uint32 // position in the plan of each position in kept
	set   map[uint32]uint32
	sets  [][]uint32 // in terms of the compiler's hosts
}

func (e *emitter) plan(requires rows) *Plan {
	p := &Plan{Format: FormatVersion, PlannerVersion: Version, Vars: sortedVars(e.opt.Vars), Inputs: e.in.list()}
	p.Tasks = make([]Task, 0, len(e.order))
	for _, i := range e.order {
		t := e.task(&e.nodes[e.kept[i]])
		for _, l := range requires.row(i) {
			t.Requires = append(t.Requires, Dep{Task: e.rank[l.from], Scope: e.scope(l)})
		}
		slices.SortFunc(t.Requires, func(a, b Dep) int { return cmp.Compare(a.Task, b.Task) })
		p.Tasks = append(p.Tasks, t)
	}
	p.Hosts, p.HostSets = e.usedHosts()
	return p
}

// scope is the link's, unless both tasks are on the same single host: then every
// host of the provider is that host, and an agent may order the two by itself.
func (e *emitter) scope(l link) Scope {
	if l.scope != ScopeAll {
		return l.scope
	}
	from, to := &e.nodes[e.kept[l.from]], &e.nodes[e.kept[l.to]]
	if from.set == to.set && len(e.compiler.sets.list[from.set]) == 1 && from.driver == DriverDirectord && to.driver == DriverDirectord {
		return ScopeSameHost
	}
	return ScopeAll
}

func (e *emitter) hostSet(set uint32) uint32 {
	i, known := e.set[set]
	if !known {
		i = uint32(len(e.sets))
		e.set[set] = i
		e.sets = append(e.sets, e.compiler.sets.list[set])
	}
	return i
}

func (e *emitter) task(n *node) Task {
	t := Task{
		ID: n.id, Service: n.service, Driver: n.driver, HostSet: e.hostSet(n.set), Source: n.file.source(n.at),
		Narrowed: n.narrowed, Partial: n.partial,
	}
	switch {
	case n.driver == DriverMissing:
		t.Name = n.id
		for _, h := range n.absent {
			t.Messages = append(t.Messages, h+" is no known host")
		}
	case n.task != nil:
		t.Name, t.Action, t.Messages = n.task.id.text, n.task.action, n.task.messages
		t.Idempotent, t.Always, t.KeepGoing = n.task.idempotent, n.task.always, n.task.keepGoing
		for _, s := range n.task.provides {
			t.Provides = append(t.Provides, s.text)
		}
		t.Symbols = slices.Compact(slices.Sorted(slices.Values(n.symbols)))
	default:
		t.Name, t.KeepGoing = n.id, n.group.keepGoing
	}
	if n.driver == DriverNoop {
		t.Messages = nil
	}
	for _, j := range n.jobs {
		spec := j.spec
		spec.Index = uint32(len(t.Jobs)) // jobs before it may have been left out
		t.Jobs = append(t.Jobs, Job{Spec: spec, HostSet: e.hostSet(j.set), Source: n.file.source(j.at)})
	}
	return t
}

// usedHosts leaves out the hosts that no task has, so that a run does not ask
// for their agents.
func (e *emitter) usedHosts() (hosts []string, sets [][]uint32) {
	used := make([]bool, len(e.hosts))
	for _, set := range e.sets {
		for _, h := range set {
			used[h] = true
		}
	}
	number := make([]uint32, len(e.hosts))
	for h, name := range e.hosts {
		number[h] = uint32(len(hosts))
		if used[h] {
			hosts = append(hosts, name)
		}
	}
	sets = make([][]uint32, len(e.sets))
	for i, set := range e.sets {
		sets[i] = make([]uint32, len(set))
		for k, h := range set {
			sets[i][k] = number[h]
		}
	}
	return hosts, sets
}

// sortedVars returns the vars sorted by name; of equal names the last counts.
func sortedVars(vars []job.Option) []job.Option {
	if len(vars) == 0 {
		return nil
	}
	out := slices.Clone(vars)
	slices.SortStableFunc(out, func(a, b job.Option) int { return strings.Compare(a.Name, b.Name) })
	last := out[:0]
	for i, v := range out {
		if i+1 == len(out) || out[i+1].Name != v.Name {
			last = append(last, v)
		}
	}
	return last
}
