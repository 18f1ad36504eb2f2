package planner

// taskLevels returns for each task the length of the longest chain of
// requirements before it. A task requires only tasks before it, so one pass
// does.
func (p *Plan) taskLevels() []uint32 {
	levels := make([]uint32, len(p.Tasks))
	for i := range p.Tasks {
		for _, d := range p.Tasks[i].Requires {
			levels[i] = max(levels[i], levels[d.Task]+1)
		}
	}
	return levels
}

// Levels returns the positions of the tasks by level: a task's level is the
// length of the longest chain of requirements before it, so all tasks of a level
// could run at the same time. Positions ascend within a level.
func (p *Plan) Levels() [][]uint32 {
	var out [][]uint32
	for i, l := range p.taskLevels() {
		for int(l) >= len(out) {
			out = append(out, nil)
		}
		out[l] = append(out[l], uint32(i))
	}
	return out
}

// CriticalPath returns a longest chain of requirements, first task first. Of
// chains with as many tasks it is the one with more jobs, then the one whose
// tasks come first in the plan, so equal plans give equal paths.
func (p *Plan) CriticalPath() []uint32 {
	if len(p.Tasks) == 0 {
		return nil
	}
	type chain struct {
		tasks, jobs int
		before      int // -1 at the first task
	}
	longer := func(a, b chain) bool {
		return a.tasks > b.tasks || a.tasks == b.tasks && a.jobs > b.jobs
	}
	chains := make([]chain, len(p.Tasks))
	last := 0
	for i := range p.Tasks {
		best := chain{before: -1}
		for _, d := range p.Tasks[i].Requires {
			if c := chains[d.Task]; longer(c, best) {
				best = chain{c.tasks, c.jobs, int(d.Task)}
			}
		}
		best.tasks++
		best.jobs += len(p.Tasks[i].Jobs)
		chains[i] = best
		if longer(best, chains[last]) {
			last = i
		}
	}
	path := make([]uint32, chains[last].tasks)
	for i, at := len(path)-1, last; i >= 0; i, at = i-1, chains[at].before {
		path[i] = uint32(at)
	}
	return path
}

// A planEdge is one requirement, from the provider to the requirer.
type planEdge struct {
	from, to int
	scope    Scope
	// implied is true where another chain of requirements says the same.
	implied bool
	// critical is true between neighbours on the critical path.
	critical bool
}

// impliedTasksMax bounds the quadratic search for implied edges (its bit sets
// take tasks²/8 bytes).
const impliedTasksMax = 8000

// edges returns every requirement once, by requirer, then by provider.
func (p *Plan) edges() []planEdge {
	var out []planEdge
	critical := map[[2]int]bool{}
	path := p.CriticalPath()
	for i := 1; i < len(path); i++ {
		critical[[2]int{int(path[i-1]), int(path[i])}] = true
	}
	reach := newReach(len(p.Tasks))
	for to := range p.Tasks {
		requires := p.Tasks[to].Requires
		for i, d := range requires {
			if i > 0 && requires[i-1].Task == d.Task {
				continue
			}
			from := int(d.Task)
			out = append(out, planEdge{
				from: from, to: to, scope: d.Scope,
				implied:  reach.implied(from, requires),
				critical: critical[[2]int{from, to}],
			})
		}
		reach.add(to, requires)
	}
	return out
}

// reach holds, as bit sets, the tasks that each task waits for directly or not.
// The zero words of a plan beyond impliedTasksMax make every question "no".
type reach struct {
	words int
	bits  []uint64
}

func newReach(tasks int) *reach {
	if tasks > impliedTasksMax {
		return &reach{}
	}
	words := (tasks + 63) / 64
	return &reach{words: words, bits: make([]uint64, words*tasks)}
}

func (r *reach) of(task int) []uint64 { return r.bits[task*r.words : (task+1)*r.words] }

// implied reports whether one of the requirements waits for from itself.
func (r *reach) implied(from int, requires []Dep) bool {
	if r.words == 0 {
		return false
	}
	for _, d := range requires {
		if r.of(int(d.Task))[from/64]&(1<<(from%64)) != 0 {
			return true
		}
	}
	return false
}

func (r *reach) add(task int, requires []Dep) {
	if r.words == 0 {
		return
	}
	own := r.of(task)
	for _, d := range requires {
		for w, bits := range r.of(int(d.Task)) {
			own[w] |= bits
		}
		own[d.Task/64] |= 1 << (d.Task % 64)
	}
}
