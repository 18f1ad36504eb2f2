package engine

import (
	"slices"

	"quorate/nodeagent/wire"
)

// A step is run again when what it requires has led to something else than before. On
// its own host its agent knows that by itself. Of steps elsewhere it is told one output
// for each task: the sum over the task's hosts, so that it does not depend on the order
// of their ends, and costs the same for one host or a thousand.

// outputs are what the steps of a task led to.
type outputs struct {
	of    []output // by position
	known uint32   // how many are
	sum   wire.Sum // over those
}

// An output stands for what a step led to, as its agent says, where that has said it.
type output struct {
	told  bool
	value [wire.OutputBytes]byte
}

// An Input is what a required task has led to on hosts elsewhere.
type Input struct {
	Task   uint32
	Output wire.Sum
	// Open are those of a command's After whose outputs are still to be added.
	Open []uint64
}

// keepOutput notes what the step that has just ended led to, where other hosts' steps
// follow from that.
func (r *Run) keepOutput(task uint32, pos int, value []byte) {
	t := &r.Tasks[task]
	if len(value) != wire.OutputBytes || !r.Graph.tells[task] || t.step(pos) != Done {
		return
	}
	if t.outputs == nil {
		t.outputs = &outputs{of: make([]output, r.Graph.StepCount(task))}
	}
	if o := &t.outputs.of[pos]; !o.told {
		o.told, o.value = true, [wire.OutputBytes]byte(value)
		t.outputs.add(r.Graph, task, pos)
	}
}

// keepAttemptOutput does so for the step of an attempt, if that is how it ended.
func (s *State) keepAttemptOutput(a *Attempt, value []byte) {
	r := s.Run(a.Run)
	if len(value) == 0 || !r.Graph.tells[a.Task] {
		return // as mostly: the step need not be looked for
	}
	pos, _ := r.Graph.stepAt(a.Task, a.Host)
	if r.Tasks[a.Task].Steps[pos].Attempt == a.ID {
		r.keepOutput(a.Task, pos, value)
	}
}

// add counts a step's output. It comes once for each.
func (o *outputs) add(g *Graph, task uint32, pos int) {
	if step := &o.of[pos]; step.told {
		o.known++
		o.sum.Add(g.HostName(task, g.hostAt(task, pos)), step.value[:])
	}
}

// keepEngineOutput notes what a task of the engine stands for: all that it follows from.
func (r *Run) keepEngineOutput(task uint32) {
	if !r.Graph.tells[task] {
		return
	}
	var sum wire.Sum
	for _, e := range r.Graph.needs[task].edges {
		if r.Graph.barren[e.task] {
			continue
		}
		one, whole := r.outputOf(e.task)
		if !whole {
			return
		}
		sum.Add(r.Graph.Tasks[e.task].ID, one[:])
	}
	r.keepOutput(task, 0, sum[:])
}

// outputOf returns what the task has led to, and whether that is known of all its steps.
func (r *Run) outputOf(task uint32) (sum wire.Sum, whole bool) {
	o := r.Tasks[task].outputs
	if o == nil || int(o.known) < r.Graph.StepCount(task) {
		return wire.Sum{}, false
	}
	return o.sum, true
}

// stepOutput returns what the attempt's step led to, or nil.
func (r *Run) stepOutput(a *Attempt) []byte {
	pos, _ := r.Graph.stepAt(a.Task, a.Host)
	if o := r.Tasks[a.Task].outputs; o != nil && o.of[pos].told {
		return slices.Clone(o.of[pos].value[:])
	}
	return nil
}

// deriveOutputs counts what follows from the outputs of steps.
func (r *Run) deriveOutputs() {
	for i := range r.Tasks {
		if o := r.Tasks[i].outputs; o != nil {
			for pos := range o.of {
				o.add(r.Graph, uint32(i), pos)
			}
		}
	}
}

// dropOutputs forgets what the run's steps led to, once nothing can follow from it.
func (r *Run) dropOutputs() {
	for i := range r.Tasks {
		r.Tasks[i].outputs = nil
	}
}

// inputs are what the tasks that the attempt's step requires have led to, of those that
// have no step on its host, as far as that is known or will be when open ones have ended.
func (s *State) inputs(r *Run, a *Attempt, open []Predecessor) (ins []Input) {
	for _, e := range r.Graph.needs[a.Task].edges {
		if !e.all || e.after || r.Graph.Tasks[e.task].Narrowed || r.Graph.Beside(e.task, a.Task, a.Host) {
			continue
		}
		in := Input{Task: e.task}
		known := 0
		if o := r.Tasks[e.task].outputs; o != nil {
			in.Output, known = o.sum, int(o.known)
		}
		for _, p := range open {
			if s.Attempts[p.Attempt].Task == e.task {
				in.Open = append(in.Open, p.Attempt)
			}
		}
		if known+len(in.Open) == r.Graph.StepCount(e.task) {
			ins = append(ins, in)
		}
	}
	return ins
}

// Beside reports whether the provider has a step on the host of the task's step.
func (g *Graph) Beside(provider, task, host uint32) bool {
	if g.needs[provider].who != byHosts || g.needs[task].who != byHosts {
		return false
	}
	_, ok := g.stepAt(provider, host)
	return ok
}

// findTells notes the tasks whose outputs are told to others: a step that requires one
// is on a host that it has no step on. Those of the engine that follow from nothing that
// anybody does have none.
func (g *Graph) findTells() {
	g.tells, g.barren = make([]bool, len(g.Tasks)), make([]bool, len(g.Tasks))
	for i := range g.Tasks {
		g.barren[i] = g.needs[i].who == byEngine && !slices.ContainsFunc(g.needs[i].edges, func(e edge) bool { return !g.barren[e.task] })
	}
	covers := map[[2]uint32]bool{} // by host set of the provider and of who requires it
	for i := range g.Tasks {
		for _, e := range g.needs[i].edges {
			switch {
			case !e.all || e.after || g.tells[e.task] || g.barren[e.task]:
			case g.needs[i].who != byHosts || g.needs[e.task].who != byHosts:
				g.tells[e.task] = true
			case g.Tasks[i].HostSet != g.Tasks[e.task].HostSet:
				pair := [2]uint32{g.Tasks[e.task].HostSet, g.Tasks[i].HostSet}
				covered, known := covers[pair]
				if !known {
					covered = includes(g.HostSets[pair[0]], g.HostSets[pair[1]])
					covers[pair] = covered
				}
				g.tells[e.task] = !covered
			}
		}
	}
}

// includes reports whether all of the other ascending set is in the first.
func includes(set, other []uint32) bool {
	for _, h := range other {
		i, ok := slices.BinarySearch(set, h)
		if !ok {
			return false
		}
		set = set[i+1:]
	}
	return true
}
