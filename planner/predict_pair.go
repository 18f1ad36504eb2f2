package planner

import (
	"fmt"
	"slices"

	"quorate/internal/job"
)

// A pair compares tasks of the plan with those of an earlier one.
type pair struct {
	x     *predictor
	old   *Plan
	tasks map[string]int    // of the earlier plan, by id
	hosts map[string]uint32 // of it, by name
	// names are the arguments that have other values, by what both plans say of them.
	names map[string]bool
	// Of tasks whose jobs are for all of their hosts:
	changes map[int]why
	differ  map[int]bool
}

// pairWith returns the comparison with an earlier plan.
func (x *predictor) pairWith(old *Plan) *pair {
	if p := x.pairs[old]; p != nil {
		return p
	}
	p := &pair{x: x, old: old, tasks: map[string]int{}, hosts: map[string]uint32{}, changes: map[int]why{}, differ: map[int]bool{}}
	for i := range old.Tasks {
		p.tasks[old.Tasks[i].ID] = i
	}
	for h, name := range old.Hosts {
		p.hosts[name] = uint32(h)
	}
	p.names = x.otherNames(old)
	x.pairs[old] = p
	return p
}

// hostOf is the position in the earlier plan of a host of this one; nowhere where it
// was not there, or is none.
func (p *pair) hostOf(host uint32) uint32 {
	if host == nowhere {
		return nowhere
	}
	if h, there := p.hosts[p.x.plan.Hosts[host]]; there {
		return h
	}
	return nowhere
}

// left reports whether the earlier run left the task out: it is not in its plan, which
// names, of what task i requires, a symbol that only task a provides.
func (p *pair) left(i, a int) bool {
	if _, there := p.tasks[p.x.plan.Tasks[a].ID]; there {
		return false
	}
	old, there := p.tasks[p.x.plan.Tasks[i].ID]
	return there && slices.ContainsFunc(p.x.plan.Tasks[a].Provides, func(symbol string) bool {
		return slices.Contains(p.old.Tasks[old].Symbols, symbol)
	})
}

// required reports whether a task required one of the earlier plan's in that plan.
func (p *pair) required(i, old int) bool {
	was, there := p.tasks[p.x.plan.Tasks[i].ID]
	return there && slices.ContainsFunc(p.old.Tasks[was].Requires, func(d Dep) bool { return int(d.Task) == old && d.Scope != ScopeAfterSameHost })
}

// uniform reports whether a task's jobs are the same on all of its hosts.
func (p *Plan) uniform(i int) bool {
	t := &p.Tasks[i]
	return !slices.ContainsFunc(t.Jobs, func(j Job) bool { return j.HostSet != t.HostSet })
}

// changed finds the first job of a task that was not among those of the earlier plan,
// or that would come to something else because of an argument.
func (p *pair) changed(i int, host uint32) why {
	old, there := p.tasks[p.x.plan.Tasks[i].ID]
	if !there {
		return why{cause: causeNew}
	}
	simple := p.x.plan.uniform(i) && p.old.uniform(old)
	if w, known := p.changes[i]; known && simple {
		return w
	}
	was := map[string]bool{}
	for _, j := range p.old.jobsOn(old, p.hostOf(host)) {
		was[jobKey(j)] = true
	}
	w := why{}
	for _, j := range p.x.plan.jobsOn(i, host) {
		if !was[jobKey(j)] {
			w = why{cause: causeChanged, job: j.Index + 1, name: j.Verb}
			break
		}
		if name := p.x.uses(j, p.names); name != "" {
			w = why{cause: causeUses, job: j.Index + 1, name: name}
			break
		}
	}
	if simple {
		p.changes[i] = w
	}
	return w
}

// differs reports whether a task does something to a host that it did not, apart from
// what the agent only remembers.
func (p *pair) differs(i int, host uint32) bool {
	old := p.tasks[p.x.plan.Tasks[i].ID]
	simple := p.x.plan.uniform(i) && p.old.uniform(old)
	if differ, known := p.differ[i]; known && simple {
		return differ
	}
	was := map[string]bool{}
	for _, j := range p.old.jobsOn(old, p.hostOf(host)) {
		was[jobKey(j)] = true
	}
	differ := slices.ContainsFunc(p.x.effects(p.x.plan.jobsOn(i, host)), func(j *job.Job) bool {
		return !was[jobKey(j)] || p.x.uses(j, p.names) != ""
	})
	if simple {
		p.differ[i] = differ
	}
	return differ
}

// effects are the jobs that do something to a host. Others only leave something in its
// agent's memory, which whoever uses it is rendered with.
func (x *predictor) effects(jobs []*job.Job) []*job.Job {
	var out []*job.Job
	for _, j := range jobs {
		if !x.remembers(j) && loadedBy(j, jobs) == nil {
			out = append(out, j)
		}
	}
	return out
}

// acts reports whether a task does something to hosts.
func (x *predictor) acts(i int) bool {
	return slices.ContainsFunc(x.plan.Tasks[i].Jobs, func(j Job) bool { return !x.remembers(&j.Spec) })
}

// remembers reports whether all that a job does is in the agent's memory.
func (x *predictor) remembers(j *job.Job) bool {
	if x.past.Verbs == nil {
		return false
	}
	d, known := x.past.Verbs(j.Verb)
	return known && d.Memory
}

// jobKey is all that the effect of a job depends on, before templates are rendered.
func jobKey(j *job.Job) string {
	key := fmt.Sprintf("%q %q %q %v", j.Verb, j.Text, j.Options, j.SuccessExits)
	for _, f := range j.Files {
		key += fmt.Sprintf(" %q %s", f.Name, f.Digest)
	}
	return key
}
