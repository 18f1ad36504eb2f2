package engine

import (
	"fmt"
	"slices"

	"quorate/eventlog"
	"quorate/planner"
)

// recount compares everything that the fold counts as it goes with a count from
// nothing.
func recount(s *State) error {
	for _, r := range s.Runs {
		if err := recountRun(s, r); err != nil {
			return fmt.Errorf("run %d: %w", r.ID, err)
		}
	}
	for _, a := range s.Agents {
		var open []uint64
		for id := uint64(1); id <= s.Index; id++ {
			if at := s.Attempts[id]; at != nil && at.Agent == a.ID && at.Outcome == 0 {
				open = append(open, id)
			}
		}
		if fmt.Sprint(open) != fmt.Sprint(a.Open) {
			return fmt.Errorf("agent %d: open %v, counted %v", a.ID, a.Open, open)
		}
		var waits uint32
		for _, id := range open {
			waits += uint32(len(s.ElsewhereOf(s.Attempts[id])))
		}
		if waits != a.elsewhere {
			return fmt.Errorf("agent %d: waits for %d attempts elsewhere, counted %d", a.ID, a.elsewhere, waits)
		}
		if err := recountBytes(s, a); err != nil {
			return fmt.Errorf("agent %d: %w", a.ID, err)
		}
	}
	return nil
}

// recountBytes wants no more sent ahead than may be, or one step.
func recountBytes(s *State, a *Agent) error {
	var holds, ahead uint64
	steps := 0
	for _, id := range a.Open {
		at := s.Attempts[id]
		r := s.Run(at.Run)
		size := uint64(r.Graph.Tasks[at.Task].Bytes)
		holds += size
		if pos, _ := r.Graph.stepAt(at.Task, at.Host); size > 0 && (r.Behind(at.Task, pos) || r.Queues(at.Task, pos)) {
			ahead += size
			steps++
		}
	}
	switch {
	case holds != a.openBytes:
		return fmt.Errorf("holds %d bytes, counted %d", a.openBytes, holds)
	case steps > 1 && ahead > aheadBytesMax:
		return fmt.Errorf("%d steps of %d bytes are ahead", steps, ahead)
	}
	return nil
}

func recountRun(s *State, r *Run) error {
	want := Counts{
		Steps:         r.Graph.steps,
		JobsSucceeded: r.Counts.JobsSucceeded, JobsFailed: r.Counts.JobsFailed, JobsUnchanged: r.Counts.JobsUnchanged,
	}
	jobs := Counts{}
	running, parked := map[uint32]uint32{}, 0
	for i := range r.Tasks {
		t := &r.Tasks[i]
		var tally [statuses]uint32
		for pos := range r.Graph.StepCount(uint32(i)) {
			st := r.Step(uint32(i), pos)
			tally[st.Status]++
			*want.of(st.Status)++
			if st.Status == Running {
				switch hasRoom := st.inLine && r.queue.tight; {
				case !st.parked:
					running[st.Host]++
				case !hasRoom:
					parked++
				}
				if a := s.Attempts[st.Attempt]; a.Outcome != 0 || a.Successor != 0 {
					return fmt.Errorf("task %d: step %d runs, attempt %d is settled", i, pos, a.ID)
				}
			}
		}
		if tally != t.tally {
			return fmt.Errorf("task %d: tally %v, counted %v", i, t.tally, tally)
		}
		if got := t.derive(); got != t.Status {
			return fmt.Errorf("task %d: is %s, its steps say %s", i, t.Status, got)
		}
		if !t.Status.Settled() {
			continue
		}
		want.TasksSettled++
		switch t.Status {
		case Done:
			want.TasksSucceeded++
		case TaskFailed:
			want.TasksFailed++
		case TaskSkipped:
			want.TasksSkipped++
		case TaskCancelled:
			want.TasksCancelled++
		}
	}
	if want != r.Counts {
		return fmt.Errorf("counts %+v, counted %+v", r.Counts, want)
	}
	for _, a := range s.Attempts {
		for j := range a.Jobs.All() {
			switch {
			case a.Run != r.ID:
			case j.Outcome == eventlog.Succeeded || j.Outcome == eventlog.Skipped:
				jobs.JobsSucceeded++
				if !j.Changed {
					jobs.JobsUnchanged++
				}
			case j.Outcome == eventlog.Failed:
				jobs.JobsFailed++
			}
		}
	}
	if jobs.JobsSucceeded != want.JobsSucceeded || jobs.JobsFailed != want.JobsFailed || jobs.JobsUnchanged != want.JobsUnchanged {
		return fmt.Errorf("jobs %+v, counted %+v", r.Counts, jobs)
	}
	if err := recountUnmet(r); err != nil {
		return err
	}
	if r.Outcome != 0 {
		return nil
	}
	return recountQueue(s, r, running, parked)
}

// recountQueue compares the queues with the steps: while nothing stops the run,
// a step is ready exactly if nothing that it waits for is left.
func recountQueue(s *State, r *Run, running map[uint32]uint32, parked int) error {
	queued, open := map[stepRef]bool{}, map[uint32]uint32{}
	for i := range r.Tasks {
		for _, st := range r.Tasks[i].Steps {
			if st.Status == Running {
				open[st.Host]++
			}
		}
	}
	if err := recountPlaces(r); err != nil {
		return err
	}
	for i, sl := range r.queue.slots {
		host := uint32(i)
		if i == len(r.queue.slots)-1 {
			host = NoHost
		}
		most := r.PlacesOn(host)
		if sl.running != running[host] || sl.running > most {
			return fmt.Errorf("slot %d: %d under way, counted %d, limit %d", i, sl.running, running[host], most)
		}
		full := sl.running >= most || len(sl.line) > 0
		if fit := len(sl.refs) > 0 && !full; fit != sl.listed {
			return fmt.Errorf("slot %d: listed %v, should be %v", i, sl.listed, fit)
		}
		if sl.open != open[host] {
			return fmt.Errorf("slot %d: %d open, counted %d", i, sl.open, open[host])
		}
		if crowded := len(sl.refs) > 0 && full && sl.open < r.AheadMax; crowded != slices.Contains(r.queue.crowded, int32(i)) {
			return fmt.Errorf("slot %d: crowded %v among %v", i, crowded, r.queue.crowded)
		}
		if err := recountLine(r, &sl, host); err != nil {
			return fmt.Errorf("slot %d: %w", i, err)
		}
		for _, ref := range sl.refs {
			queued[ref] = true
		}
	}
	for _, task := range r.queue.engine {
		queued[stepRef{task, 0}] = true
	}
	if int(r.queue.running)+parked != r.Counts.Running || r.queue.running > r.queue.stepsMax {
		return fmt.Errorf("%d under way, counted %d, limit %d", r.queue.running, r.Counts.Running, r.queue.stepsMax)
	}
	if r.stopped() {
		return nil
	}
	for i := range r.Tasks {
		for pos := range r.Graph.StepCount(uint32(i)) {
			st := r.Step(uint32(i), pos)
			if queued[stepRef{uint32(i), uint32(pos)}] != (st.Status == Ready) {
				return fmt.Errorf("task %d: step %d is %s, queued %v", i, pos, st.Status, st.Status != Ready)
			}
			if at := s.Attempts[st.Attempt]; at != nil && len(at.After) > 0 && st.Status != Ready {
				continue // it was sent ahead
			}
			if r.RetryOf != 0 && st.Attempt == 0 && st.Status == Done {
				continue // in the run that is retried, it may have been sent ahead
			}
			if r.AheadMax > 0 && st.Status == TaskSkipped && r.doomedStep(uint32(i), pos) {
				continue // what is between it and the failure may have gone ahead
			}
			if met := depsDone(r, uint32(i), st.Host); met != (st.Status != Pending && st.Status != TaskSkipped) {
				return fmt.Errorf("task %d: step %d is %s, dependencies met %v", i, pos, st.Status, met)
			}
		}
	}
	return nil
}

// recountPlaces compares what is dealt with what hosts have: some where anything of the
// run is under way there, and no more than the run has.
func recountPlaces(r *Run) error {
	q := &r.queue
	var dealt, holders uint32
	for i := range q.slots {
		sl := &q.slots[i]
		if has := sl.places > 0; has != (q.deals && sl.open > 0) {
			return fmt.Errorf("slot %d: %d places with %d open, deals %v", i, sl.places, sl.open, q.deals)
		}
		dealt += sl.places
		holders += one(sl.places > 0)
	}
	if dealt != q.dealt || holders != q.holders || dealt > q.stepsMax {
		return fmt.Errorf("%d places dealt to %d, counted %d to %d, limit %d", q.dealt, q.holders, dealt, holders, q.stepsMax)
	}
	return nil
}

// recountLine compares the host's line with the steps that say that they are in it. As
// long as there is one no place of the host is free.
func recountLine(r *Run, sl *slot, host uint32) error {
	if len(sl.line) > 0 && sl.running < r.PlacesOn(host) {
		return fmt.Errorf("%d wait in line, and %d are under way", len(sl.line), sl.running)
	}
	in := 0
	for i := range r.Tasks {
		for pos := range r.Tasks[i].Steps {
			st := &r.Tasks[i].Steps[pos]
			if !st.inLine || st.Host != host {
				continue
			}
			if in++; !st.parked || st.Status != Running || !slices.Contains(sl.line, stepRef{uint32(i), uint32(pos)}) {
				return fmt.Errorf("task %d: step %+v is in the line %v", i, st, sl.line)
			}
		}
	}
	if in != len(sl.line) {
		return fmt.Errorf("%d steps are in the line %v", in, sl.line)
	}
	return nil
}

// depsDone says from the plan alone whether all that the step depends on is
// done, or settled where it only comes after that.
func depsDone(r *Run, task, host uint32) bool {
	g := r.Graph
	for _, d := range g.Tasks[task].Requires {
		for pos := range g.StepCount(d.Task) {
			st := r.Step(d.Task, pos)
			if !meets(d, st.Status) && (wholly(g, d, task) || st.Host == host) {
				return false
			}
		}
	}
	return true
}

func meets(d eventlog.PlanDep, s TaskStatus) bool {
	return s == Done || planner.Scope(d.Scope) == planner.ScopeAfterSameHost && s.Settled()
}

// wholly: the dependency is on all hosts of the other task.
func wholly(g *Graph, d eventlog.PlanDep, task uint32) bool {
	return planner.Scope(d.Scope) == planner.ScopeAll || g.needs[d.Task].who != byHosts || g.needs[task].who != byHosts
}

// recountUnmet compares what tasks and steps still wait for, also in a run that
// stops, with a count from a plan that names each dependency once.
func recountUnmet(r *Run) error {
	for i := range r.Tasks {
		t := &r.Tasks[i]
		whole := uint32(0)
		steps := make([]uint32, len(t.Steps))
		for _, d := range r.Graph.Tasks[i].Requires {
			if wholly(r.Graph, d, uint32(i)) {
				if !meets(d, r.Tasks[d.Task].Status) {
					whole++
				}
				continue
			}
			for pos := range r.Graph.StepCount(d.Task) {
				st := r.Step(d.Task, pos)
				for k := range t.Steps {
					if t.Steps[k].Host == st.Host && !meets(d, st.Status) {
						steps[k]++
					}
				}
			}
		}
		if whole != t.unmet {
			return fmt.Errorf("task %d: waits for %d tasks, counted %d", i, t.unmet, whole)
		}
		for k := range t.Steps {
			if t.Steps[k].unmet != steps[k] {
				return fmt.Errorf("task %d: step %d waits for %d steps, counted %d", i, k, t.Steps[k].unmet, steps[k])
			}
		}
	}
	return nil
}
