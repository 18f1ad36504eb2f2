package planner

import (
	"cmp"
	"slices"
)

// A Print is one job of an orchestration with what Directord calls it by.
type Print struct {
	// Parent is the task of the orchestration.
	Parent, Verb, Text, Name string
	// Fingerprint is that of [job.Job].
	Fingerprint string
}

// Prints lists the jobs of a plan in the order in which they are written: files
// as they were named, services behind orchestrations.
func (in *Inputs) Prints(p *Plan) []Print {
	place := map[Pos]int{}
	for i, g := range in.groups {
		at := g.file.source(g.at)
		if _, taken := place[at]; !taken {
			place[at] = i - len(in.groups) // below the 0 of what is no orchestration
		}
	}
	tasks := make([]*Task, len(p.Tasks))
	for i := range p.Tasks {
		tasks[i] = &p.Tasks[i]
	}
	slices.SortStableFunc(tasks, func(a, b *Task) int { return cmp.Compare(place[a.Source], place[b.Source]) })
	var out []Print
	for _, t := range tasks {
		for _, j := range t.Jobs {
			out = append(out, Print{Parent: t.ID, Verb: j.Spec.Verb, Text: j.Spec.Text, Name: j.Spec.Name, Fingerprint: j.Spec.Fingerprint})
		}
	}
	return out
}
