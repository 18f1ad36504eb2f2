package api

import (
	"context"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
)

// A lookBack is a [StepsQuery] that is being answered, from the newest run on.
type lookBack struct {
	in    *StepsQuery
	hosts map[string]uint32 // positions of the question's hosts
	tasks map[string]int
	found [][]StepsPast // parallel to the question's tasks
	// known tells for each task of which of its hosts something was found.
	known [][]bool
	// left counts the hosts of each task of which nothing was, open the tasks with such.
	left []int
	open int
}

func newLookBack(in *StepsQuery) (*lookBack, error) {
	l := &lookBack{
		in: in, hosts: map[string]uint32{}, tasks: map[string]int{},
		found: make([][]StepsPast, len(in.Tasks)), known: make([][]bool, len(in.Tasks)), left: make([]int, len(in.Tasks)),
	}
	for i, name := range in.Hosts {
		l.hosts[name] = uint32(i)
	}
	for k, set := range in.HostSets {
		for n, host := range set {
			if int(host) >= len(in.Hosts) || n > 0 && set[n-1] >= host {
				return nil, badRequest("host set %d is not ascending positions of hosts", k)
			}
		}
	}
	steps := 0
	for i, t := range in.Tasks {
		if t.HostSet != nil && int(*t.HostSet) >= len(in.HostSets) {
			return nil, badRequest("task %.80q: there is no host set %d", t.ID, *t.HostSet)
		}
		n := len(l.set(i))
		if steps += n; steps > stepsAskedMax {
			return nil, badRequest("the question is about more than %d steps", stepsAskedMax)
		}
		l.tasks[t.ID], l.known[i], l.left[i] = i, make([]bool, n), n
		if n > 0 {
			l.open++
		}
	}
	return l, nil
}

// set are the hosts that a task was asked of. One without hosts has a step all the same.
func (l *lookBack) set(i int) []uint32 {
	if set := l.in.Tasks[i].HostSet; set != nil {
		return l.in.HostSets[*set]
	}
	return []uint32{engine.NoHost}
}

// through looks through a run, a part of it in each view, so that nobody waits for long
// to change the state. It returns false for a run that counts for nothing.
func (l *lookBack) through(ctx context.Context, view func(func(*engine.State)), run uint64) (counts bool) {
	for next, more := 0, true; more && l.open > 0 && ctx.Err() == nil; {
		view(func(s *engine.State) {
			r := s.Run(run)
			if counts, more = !r.Check, !r.Check; counts {
				next, more = l.look(s, r, next)
			}
		})
	}
	return counts
}

// look takes what a run tells of steps of which nothing is known yet, from a task on, and
// returns the task that it has come to and whether there is more.
func (l *lookBack) look(s *engine.State, r *engine.Run, from int) (next int, more bool) {
	steps := 0
	var of []lookedFor
	for k := from; k < len(r.Graph.Tasks); k++ {
		i, asked := l.tasks[r.Graph.Tasks[k].ID]
		if !asked || l.left[i] == 0 || r.Tasks[k].Steps == nil && !r.Graph.IsEngine(uint32(k)) {
			continue // steps that nothing was done of were never made
		}
		if steps >= stepsAtOnceMax {
			return k, true
		}
		if of == nil {
			of = l.lookFor(s, r.Graph)
		}
		l.lookAt(s, r, uint32(k), i, of)
		steps += r.Graph.StepCount(uint32(k))
	}
	return 0, false
}

// A lookedFor is a host of a run: where it is in the question, and its agent of now, or
// 0. Without a question for it asked is false.
type lookedFor struct {
	host  uint32
	asked bool
	agent uint64
}

func (l *lookBack) lookFor(s *engine.State, g *engine.Graph) []lookedFor {
	of := make([]lookedFor, len(g.Hosts))
	for k, name := range g.Hosts {
		if of[k].host, of[k].asked = l.hosts[name]; !of[k].asked {
			continue
		}
		if a := s.AgentByName(name); a != nil {
			of[k].agent = a.ID
		}
	}
	return of
}

// An ending is how steps of a task ended in a run.
type ending struct {
	status  string
	changed bool
}

func (l *lookBack) lookAt(s *engine.State, r *engine.Run, task uint32, i int, of []lookedFor) {
	groups := map[ending]int{}
	for pos := range r.Graph.StepCount(task) {
		st := r.Step(task, pos)
		host := lookedFor{host: engine.NoHost, asked: true}
		if st.Host != engine.NoHost {
			host = of[st.Host]
		}
		at, asked := slices.BinarySearch(l.set(i), host.host)
		if !host.asked || !asked || l.known[i][at] {
			continue
		}
		changed, touched := touch(s, r, task, &st, host.agent)
		if !touched {
			continue
		}
		l.known[i][at] = true
		l.left[i]--
		key := ending{st.Status.String(), changed}
		g, there := groups[key]
		if !there {
			g = len(l.found[i])
			groups[key] = g
			l.found[i] = append(l.found[i], StepsPast{Run: r.ID, PlanID: r.PlanID, Status: key.status, Changed: changed})
		}
		l.found[i][g].Hosts = append(l.found[i][g].Hosts, host.host)
	}
	if l.left[i] == 0 {
		l.open--
	}
}

// touch reports whether a run did anything of a step, and whether that changed something.
// What it took over from the run that it retries is that one's. The agent is the host's of
// now: another one remembers nothing of it.
func touch(s *engine.State, r *engine.Run, task uint32, st *engine.Step, agent uint64) (changed, touched bool) {
	if r.Graph.IsEngine(task) {
		return false, st.Status == engine.Done || st.Status == engine.TaskFailed
	}
	newest := s.Attempts[st.Attempt]
	if newest == nil || agent != 0 && agent != newest.Agent {
		return false, false
	}
	for at := newest; at != nil; at = s.Attempts[at.Supersedes] {
		touched = touched || at.Outcome != eventlog.NotStarted
		for j := range at.Jobs.All() {
			touched, changed = true, changed || j.Changed
		}
	}
	return changed, touched
}

// answer is what was found, in order of the tasks. Hosts that are all of a task's are
// left out.
func (l *lookBack) answer() [][]StepsPast {
	for i, found := range l.found {
		if found == nil {
			l.found[i] = []StepsPast{}
		}
		if len(found) == 1 && l.left[i] == 0 {
			found[0].Hosts = nil
		}
	}
	return l.found
}
