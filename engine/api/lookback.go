package api

import (
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

// look takes what a run tells of steps of which nothing is known yet.
func (l *lookBack) look(s *engine.State, r *engine.Run) {
	for k := range r.Graph.Tasks {
		i, asked := l.tasks[r.Graph.Tasks[k].ID]
		if !asked || l.left[i] == 0 || r.Tasks[k].Steps == nil && !r.Graph.IsEngine(uint32(k)) {
			continue // steps that nothing was done of were never made
		}
		l.lookAt(s, r, uint32(k), i)
	}
}

// An ending is how steps of a task ended in a run.
type ending struct {
	status  string
	changed bool
}

func (l *lookBack) lookAt(s *engine.State, r *engine.Run, task uint32, i int) {
	groups := map[ending]int{}
	for pos := range r.Graph.StepCount(task) {
		st := r.Step(task, pos)
		host := engine.NoHost
		if st.Host != engine.NoHost {
			asked := false
			if host, asked = l.hosts[r.Graph.HostName(task, st.Host)]; !asked {
				continue
			}
		}
		at, asked := slices.BinarySearch(l.set(i), host)
		if !asked || l.known[i][at] {
			continue
		}
		changed, touched := touch(s, r, task, &st)
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
		l.found[i][g].Hosts = append(l.found[i][g].Hosts, host)
	}
	if l.left[i] == 0 {
		l.open--
	}
}

// touch reports whether a run did anything of a step, and whether that changed something.
// What it took over from the run that it retries is that one's.
func touch(s *engine.State, r *engine.Run, task uint32, st *engine.Step) (changed, touched bool) {
	if r.Graph.IsEngine(task) {
		return false, st.Status == engine.Done || st.Status == engine.TaskFailed
	}
	newest := s.Attempts[st.Attempt]
	if newest == nil {
		return false, false
	}
	if a := s.AgentByName(r.Graph.HostName(task, st.Host)); a != nil && a.ID != newest.Agent {
		return false, false // another agent remembers nothing of it
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
