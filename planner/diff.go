package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"quorate/internal/job"
)

// What became of a part of a plan in a [Difference].
const (
	DiffAdded     = "added"
	DiffRemoved   = "removed"
	DiffChanged   = "changed"
	DiffReordered = "reordered" // it waits for other tasks, and is the same otherwise
)

// A Difference is what two plans would do differently. Where the same is written
// elsewhere in the files there is none.
type Difference struct {
	// From and To are the ids of the plans.
	From string `json:"from"`
	To   string `json:"to"`
	// Planner is set where the plans are of different rules, see [Version].
	Planner *VersionChange `json:"planner,omitempty"`
	Inputs  []InputChange  `json:"inputs"`
	Vars    []FieldChange  `json:"vars"`
	// Tasks are in the order of the new plan; those that were removed come first.
	Tasks []TaskChange `json:"tasks"`
	// Hosts are those that something would be different for, sorted.
	Hosts []string `json:"hosts"`
}

// A VersionChange is a difference of the planners' versions.
type VersionChange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// An InputChange is a file that only one plan was made of, or that had other content.
type InputChange struct {
	Role   Role   `json:"role"`
	Name   string `json:"name"`
	Change string `json:"change"` // added, removed or changed
	// From and To are digests; empty where there is none.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// A TaskChange is a task that is different.
type TaskChange struct {
	ID     string `json:"id"`
	Change string `json:"change"` // added, removed, changed or reordered
	// Hosts are those affected, in the order of the inventory. It is empty for a task
	// of the engine, and of the controller.
	Hosts  []string      `json:"hosts"`
	Fields []FieldChange `json:"fields"`
}

// A FieldChange is one thing that is different.
type FieldChange struct {
	// Job is the job's number in the task, from 1: in the new plan, or in the old one
	// where the job is removed. It is 0 where the field is not of a job.
	Job   int    `json:"job,omitempty"`
	Verb  string `json:"verb,omitempty"` // of that job
	Field string `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// Same reports whether the plans would do the same. Inputs may still differ, such
// as in a comment.
func (d *Difference) Same() bool { return len(d.Tasks) == 0 && len(d.Vars) == 0 }

// Count returns how many tasks are different in one of the ways.
func (d *Difference) Count(change string) int {
	n := 0
	for i := range d.Tasks {
		if d.Tasks[i].Change == change {
			n++
		}
	}
	return n
}

// Compare returns what plan b would do differently from plan a.
func Compare(a, b *Plan) *Difference {
	d := &Difference{From: a.ID(), To: b.ID(), Inputs: compareInputLists(a.Inputs, b.Inputs), Vars: compareOptions("", a.Vars, b.Vars), Tasks: []TaskChange{}, Hosts: []string{}}
	if a.PlannerVersion != b.PlannerVersion {
		d.Planner = &VersionChange{a.PlannerVersion, b.PlannerVersion}
	}
	was := make(map[string]int, len(a.Tasks))
	for i := range a.Tasks {
		was[a.Tasks[i].ID] = i
	}
	is := make(map[string]bool, len(b.Tasks))
	for i := range b.Tasks {
		is[b.Tasks[i].ID] = true
	}
	for i := range a.Tasks {
		if id := a.Tasks[i].ID; !is[id] {
			d.Tasks = append(d.Tasks, TaskChange{ID: id, Change: DiffRemoved, Hosts: a.taskHosts(i), Fields: []FieldChange{}})
		}
	}
	for i := range b.Tasks {
		before, known := was[b.Tasks[i].ID]
		if !known {
			d.Tasks = append(d.Tasks, TaskChange{ID: b.Tasks[i].ID, Change: DiffAdded, Hosts: b.taskHosts(i), Fields: []FieldChange{}})
			continue
		}
		if c, different := compareTasks(a, before, b, i); different {
			d.Tasks = append(d.Tasks, c)
		}
	}
	d.Hosts = affected(a, b, d)
	return d
}

// affected are the hosts of all tasks that are different. Vars are of all hosts.
func affected(a, b *Plan, d *Difference) []string {
	all := map[string]bool{}
	for i := range d.Tasks {
		for _, h := range d.Tasks[i].Hosts {
			all[h] = true
		}
	}
	if len(d.Vars) > 0 {
		for _, h := range slices.Concat(a.Hosts, b.Hosts) {
			all[h] = true
		}
	}
	return append([]string{}, slices.Sorted(maps.Keys(all))...)
}

// compareTasks compares two tasks of the same id.
func compareTasks(a *Plan, i int, b *Plan, k int) (c TaskChange, different bool) {
	x, y := &a.Tasks[i], &b.Tasks[k]
	c = TaskChange{ID: y.ID, Change: DiffChanged, Hosts: []string{}}
	field := func(name, from, to string) {
		if from != to {
			c.Fields = append(c.Fields, FieldChange{Field: name, From: from, To: to})
		}
	}
	field("action", x.Action, y.Action)
	field("driver", string(x.Driver), string(y.Driver))
	field("provides", strings.Join(x.Provides, " "), strings.Join(y.Provides, " "))
	field("messages", strings.Join(x.Messages, "\n"), strings.Join(y.Messages, "\n"))
	field("idempotent", fmt.Sprint(x.Idempotent), fmt.Sprint(y.Idempotent))
	field("always", fmt.Sprint(x.Always), fmt.Sprint(y.Always))
	field("keep_going", fmt.Sprint(x.KeepGoing), fmt.Sprint(y.KeepGoing))
	c.Fields = append(c.Fields, compareJobs(a, i, b, k)...)
	own := len(c.Fields)
	hosts, now := a.taskHosts(i), b.taskHosts(k)
	lost, gained := without(hosts, now), without(now, hosts)
	if len(lost)+len(gained) > 0 {
		c.Fields = append(c.Fields, FieldChange{Field: "hosts", From: strings.Join(lost, " "), To: strings.Join(gained, " ")})
	}
	before, after := a.waits(i), b.waits(k)
	gone, more := without(before, after), without(after, before)
	if len(gone)+len(more) > 0 {
		c.Fields = append(c.Fields, FieldChange{Field: "after", From: strings.Join(gone, " "), To: strings.Join(more, " ")})
	}
	switch reordered := len(gone)+len(more) > 0; {
	case len(c.Fields) == 0:
		return c, false
	case own == 0 && !reordered: // the hosts that stay do what they did
		c.Hosts = append(lost, gained...)
	default:
		if reordered && len(c.Fields) == 1 {
			c.Change = DiffReordered
		}
		c.Hosts = append(append(c.Hosts, now...), lost...)
	}
	return c, true
}

// waits are the tasks that a task waits for, and how where that is not for all of one.
func (p *Plan) waits(i int) []string {
	out := make([]string, 0, len(p.Tasks[i].Requires))
	for _, dep := range p.Tasks[i].Requires {
		text := p.Tasks[dep.Task].ID
		if dep.Scope != ScopeAll {
			text += "(" + dep.Scope.String() + ")"
		}
		out = append(out, text)
	}
	return out
}

// without returns what is in a and not in b, in the order of a.
func without(a, b []string) []string {
	in := make(map[string]bool, len(b))
	for _, s := range b {
		in[s] = true
	}
	var out []string
	for _, s := range a {
		if !in[s] {
			out = append(out, s)
		}
	}
	return out
}

// compareOptions compares two lists of options by their names.
func compareOptions(prefix string, a, b []job.Option) []FieldChange {
	out := []FieldChange{}
	valuesOf := func(list []job.Option) map[string]string {
		m := map[string]string{}
		for _, o := range list {
			if before, again := m[o.Name]; again {
				m[o.Name] = before + " " + o.Value
			} else {
				m[o.Name] = o.Value
			}
		}
		return m
	}
	x, y := valuesOf(a), valuesOf(b)
	names := map[string]bool{}
	for name := range x {
		names[name] = true
	}
	for name := range y {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		from, had := x[name]
		to, has := y[name]
		if had == has && from == to {
			continue
		}
		if had != has && from == "" && to == "" { // a flag
			from, to = fmt.Sprint(had), fmt.Sprint(has)
		}
		out = append(out, FieldChange{Field: prefix + name, From: from, To: to})
	}
	return out
}

// compareInputLists compares the files that plans were made of. One name may stand
// for several files: those of one name are taken as a set.
func compareInputLists(a, b []Input) []InputChange {
	out := []InputChange{}
	type key struct {
		role Role
		name string
	}
	byKey := func(list []Input) map[key][]string {
		m := map[key][]string{}
		for _, in := range list {
			m[key{in.Role, in.Name}] = append(m[key{in.Role, in.Name}], in.Digest)
		}
		return m
	}
	x, y := byKey(a), byKey(b)
	keys := map[key]bool{}
	for k := range x {
		keys[k] = true
	}
	for k := range y {
		keys[k] = true
	}
	for _, k := range slices.SortedFunc(maps.Keys(keys), func(a, b key) int {
		return strings.Compare(string(a.role)+"\x00"+a.name, string(b.role)+"\x00"+b.name)
	}) {
		gone, more := without(x[k], y[k]), without(y[k], x[k])
		for i := range max(len(gone), len(more)) {
			c := InputChange{Role: k.role, Name: k.name, Change: DiffChanged}
			if i < len(gone) {
				c.From = gone[i]
			}
			if i < len(more) {
				c.To = more[i]
			}
			switch {
			case c.From == "":
				c.Change = DiffAdded
			case c.To == "":
				c.Change = DiffRemoved
			}
			out = append(out, c)
		}
	}
	return out
}
