package engine

import (
	"encoding/binary"

	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// simOutput is what the step of an attempt leads to by its end. Some agents do not tell,
// and some steps never led to anything.
func simOutput(attempt uint64, o eventlog.Outcome) []byte {
	if o != eventlog.Succeeded || attempt%7 == 0 {
		return nil
	}
	output := make([]byte, wire.OutputBytes)
	if attempt%7 > 1 {
		binary.BigEndian.PutUint64(output, attempt)
	}
	return output
}

// follows is called when a step starts its next job: what it was told of tasks elsewhere
// has to be what these have led to, by an attempt of each of their hosts that succeeded.
func (w *simWorld) follows(e *simEntry) {
	r := w.s.Run(e.run)
	for _, in := range e.inputs {
		sum, whole := in.Output, true
		for _, id := range in.Open {
			output, ended := e.told[id]
			if !ended {
				w.t.Errorf("attempt %d started before %d, which it builds upon, has ended", e.attempt, id)
			}
			whole = whole && len(output) > 0
			a := w.s.Attempts[id]
			sum.Add(r.Graph.HostName(a.Task, a.Host), output)
		}
		if !whole || r.Graph.IsEngine(in.Task) {
			continue
		}
		if w.tally.inputs++; len(in.Open) > 0 {
			w.tally.open++
		}
		if !w.ledTo(r, in.Task, 0, sum, wire.Sum{}) {
			w.t.Errorf("attempt %d was told of task %d what it never led to", e.attempt, in.Task)
		}
	}
}

// ledTo reports whether attempts that succeeded led to the sum, one of each host of the
// task from a position on, in the run or those that it retries.
func (w *simWorld) ledTo(r *Run, task uint32, pos int, want, sum wire.Sum) bool {
	if pos == r.Graph.StepCount(task) {
		return sum == want
	}
	host := r.Graph.hostAt(task, pos)
	for run := r; run != nil; run = w.s.Run(run.RetryOf) {
		for id, a := range w.s.Attempts {
			if a.Run != run.ID || a.Task != task || a.Host != host || w.ends[id] != eventlog.Succeeded {
				continue
			}
			output, with := simOutput(id, eventlog.Succeeded), sum
			with.Add(r.Graph.HostName(task, host), output)
			if w.ledTo(r, task, pos+1, want, with) {
				return true
			}
		}
	}
	return false
}
