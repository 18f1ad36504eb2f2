package planner

import (
	"fmt"
	"strings"
)

// alignCellsMax bounds the table by which the jobs of two tasks are aligned. Beyond
// it jobs are compared by their places.
const alignCellsMax = 4 << 20

// compareJobs returns what is different about the jobs of two tasks. Jobs that only
// have another place because of those before them are the same.
func compareJobs(a *Plan, i int, b *Plan, k int) []FieldChange {
	x, y := a.Tasks[i].Jobs, b.Tasks[k].Jobs
	from, to := make([]string, len(x)), make([]string, len(y))
	for n := range x {
		from[n] = a.jobText(i, n)
	}
	for n := range y {
		to[n] = b.jobText(k, n)
	}
	var out []FieldChange
	var gone, more []int
	settle := func() {
		out = append(out, pairJobs(a, i, gone, b, k, more)...)
		gone, more = nil, nil
	}
	n, m := 0, 0
	for _, pair := range append(align(from, to), [2]int{len(x), len(y)}) {
		for ; n < pair[0]; n++ {
			gone = append(gone, n)
		}
		for ; m < pair[1]; m++ {
			more = append(more, m)
		}
		settle()
		n, m = pair[0]+1, pair[1]+1
	}
	return out
}

// pairJobs compares the jobs between two that are the same: in order, as long as their
// verbs are the same, since such a pair is rather one job that was changed.
func pairJobs(a *Plan, i int, gone []int, b *Plan, k int, more []int) []FieldChange {
	var out []FieldChange
	for len(gone) > 0 || len(more) > 0 {
		switch {
		case len(gone) > 0 && len(more) > 0 && a.Tasks[i].Jobs[gone[0]].Spec.Verb == b.Tasks[k].Jobs[more[0]].Spec.Verb:
			out = append(out, compareJob(a, i, gone[0], b, k, more[0])...)
			gone, more = gone[1:], more[1:]
		case len(gone) > len(more) || len(more) == 0:
			j := &a.Tasks[i].Jobs[gone[0]].Spec
			out = append(out, FieldChange{Job: gone[0] + 1, Verb: j.Verb, Field: "job removed", From: j.Text})
			gone = gone[1:]
		default:
			j := &b.Tasks[k].Jobs[more[0]].Spec
			out = append(out, FieldChange{Job: more[0] + 1, Verb: j.Verb, Field: "job added", To: j.Text})
			more = more[1:]
		}
	}
	return out
}

// compareJob compares two jobs of the same verb.
func compareJob(a *Plan, i, n int, b *Plan, k, m int) []FieldChange {
	x, y := &a.Tasks[i].Jobs[n], &b.Tasks[k].Jobs[m]
	var out []FieldChange
	field := func(name, from, to string) {
		if from != to {
			out = append(out, FieldChange{Field: name, From: from, To: to})
		}
	}
	field("text", x.Spec.Text, y.Spec.Text)
	field("name", x.Spec.Name, y.Spec.Name)
	field("timeout_seconds", fmt.Sprint(x.Spec.TimeoutSeconds), fmt.Sprint(y.Spec.TimeoutSeconds))
	field("skip_cache", fmt.Sprint(x.Spec.SkipCache), fmt.Sprint(y.Spec.SkipCache))
	field("success_exits", fmt.Sprint(x.Spec.SuccessExits), fmt.Sprint(y.Spec.SuccessExits))
	field("files", x.files(), y.files())
	field("hosts", a.jobHosts(i, n), b.jobHosts(k, m))
	out = append(out, compareOptions("--", x.Spec.Options, y.Spec.Options)...)
	for f := range out {
		out[f].Job, out[f].Verb = m+1, y.Spec.Verb
	}
	return out
}

// files are the shipped files in one line.
func (j *Job) files() string {
	var parts []string
	for _, f := range j.Spec.Files {
		parts = append(parts, fmt.Sprintf("%s %.12s %04o", f.Name, f.Digest, f.Mode))
	}
	return strings.Join(parts, ", ")
}

// jobHosts are the hosts of a job that is not for all hosts of its task, in one line.
func (p *Plan) jobHosts(task, n int) string {
	set := p.Tasks[task].Jobs[n].HostSet
	if set == p.Tasks[task].HostSet {
		return ""
	}
	var names []string
	for _, h := range p.HostSets[set] {
		names = append(names, p.Hosts[h])
	}
	return strings.Join(names, " ")
}

// jobText is all that counts of a job: jobs with the same text do the same.
func (p *Plan) jobText(task, n int) string {
	j := &p.Tasks[task].Jobs[n]
	return fmt.Sprintf("%q %q %q %q %d %v %v %q %q", j.Spec.Verb, j.Spec.Name, j.Spec.Text, j.Spec.Options, j.Spec.TimeoutSeconds, j.Spec.SkipCache, j.Spec.SuccessExits, j.files(), p.jobHosts(task, n))
}

// align returns the positions of a longest common subsequence.
func align(a, b []string) (pairs [][2]int) {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		pairs = append(pairs, [2]int{head, head})
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(x) > 0 && len(y) > 0 && len(x)*len(y) <= alignCellsMax {
		for _, p := range longest(x, y) {
			pairs = append(pairs, [2]int{head + p[0], head + p[1]})
		}
	}
	for n := tail; n > 0; n-- {
		pairs = append(pairs, [2]int{len(a) - n, len(b) - n})
	}
	return pairs
}

// longest fills the table of the longest common subsequences of all ends.
func longest(a, b []string) (pairs [][2]int) {
	width := len(b) + 1
	table := make([]uint32, (len(a)+1)*width)
	for i := len(a) - 1; i >= 0; i-- {
		for k := len(b) - 1; k >= 0; k-- {
			if a[i] == b[k] {
				table[i*width+k] = table[(i+1)*width+k+1] + 1
			} else {
				table[i*width+k] = max(table[(i+1)*width+k], table[i*width+k+1])
			}
		}
	}
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i] == b[k]:
			pairs = append(pairs, [2]int{i, k})
			i, k = i+1, k+1
		case table[(i+1)*width+k] >= table[i*width+k+1]:
			i++
		default:
			k++
		}
	}
	return pairs
}
