package model

import (
	"slices"

	"quorate/engine"
	"quorate/eventlog"
)

// aheadBytesMax is what may be sent ahead to an agent unless it is one step.
const aheadBytesMax = 4 << 20

// sawScheduled looks at how a step was sent, and whether what waits at its agent is no
// more than may.
func (w *sim) sawScheduled(e *eventlog.StepScheduled) {
	at := w.truth.Attempts[w.truth.Serial(w.head.Index)]
	r := w.truth.Run(e.Run)
	if e.Ahead {
		w.seen["steps sent ahead"]++
	}
	if w.shipped(at) && e.Queues {
		w.seen["steps that wait for a place"]++
	}
	if len(w.truth.ElsewhereOf(at)) > 0 {
		w.seen["steps behind another host"]++
	}
	if !w.shipped(at) || r.Graph.Tasks[e.Task].Bytes == 0 {
		return
	}
	w.seen["large steps sent ahead"]++
	sum, steps := 0, 0
	for _, id := range w.truth.Agents[e.Agent].Open {
		other := w.truth.Attempts[id]
		if bytes := w.truth.Run(other.Run).Graph.Tasks[other.Task].Bytes; bytes > 0 && w.shipped(other) {
			sum += int(bytes)
			steps++
		}
	}
	if steps > 1 && sum > aheadBytesMax {
		w.fail("%d steps of %d bytes are sent ahead to agent %d", steps, sum, e.Agent)
	}
}

// shipped reports whether the attempt's step is sent ahead of its turn, or of a place.
func (w *sim) shipped(at *engine.Attempt) bool {
	r := w.truth.Run(at.Run)
	return r.Shipped(at.Task, slices.Index(hostsOf(r.Graph, at.Task), at.Host))
}
