package gateway

import (
	"fmt"
	"slices"
	"sync"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// plansKeyedMax bounds the plans whose keys are kept.
const plansKeyedMax = 64

// planKeys keeps, for the plans that were sent last, the arguments that their jobs
// ask other hosts for.
type planKeys struct {
	mu   sync.Mutex
	keys map[string][]string
}

func (p *planKeys) of(id string, plan *planner.Plan) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if keys, ok := p.keys[id]; ok {
		return keys
	}
	if p.keys == nil || len(p.keys) >= plansKeyedMax {
		p.keys = map[string][]string{}
	}
	keys := queried(plan)
	p.keys[id] = keys
	return keys
}

// queried returns the arguments that the plan's jobs ask other hosts for, sorted.
func queried(plan *planner.Plan) []string {
	var keys []string
	for t := range plan.Tasks {
		for j := range plan.Tasks[t].Jobs {
			spec := &plan.Tasks[t].Jobs[j].Spec
			if orchestrator.Asks(spec) && len(spec.Text) <= wire.KeyBytesMax {
				keys = append(keys, spec.Text)
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// learn tells the agent what has changed of the keys since this session told it
// last. What a step builds upon is folded when the step is scheduled, so it comes
// before the dispatch.
func (s *session) learn(out *wire.Writer, keys []string) error {
	since := make(map[string]uint64, len(keys))
	for _, k := range keys {
		since[k] = s.learned[k]
	}
	var values []wire.Learned
	var now uint64
	s.g.o.View(func(state *engine.State) {
		now = state.Index
		state.ChangesSince(since, func(a *engine.Agent, v *engine.Published) {
			values = append(values, learned(state, a, v))
		})
	})
	if err := teach(out, values); err != nil {
		return err
	}
	if s.learned == nil {
		s.learned = map[string]uint64{}
	}
	for _, k := range keys {
		s.learned[k] = now
	}
	return nil
}

// learned is a value as agents are told of it.
func learned(state *engine.State, a *engine.Agent, v *engine.Published) wire.Learned {
	l := wire.Learned{
		Host: a.Name, Value: wire.Value{Key: v.Key, Value: v.Value, Absent: v.Absent},
		Run: v.Run, Attempt: v.Attempt, Job: v.Job, Time: v.Time,
	}
	if r := state.Run(v.Run); r != nil {
		l.Task = r.Graph.Tasks[v.Task].ID
	}
	return l
}

// teach frames values, so many at a time.
func teach(out *wire.Writer, values []wire.Learned) error {
	for len(values) > 0 {
		n, bytes := 0, 0
		for n < len(values) && n < wire.ValuesMax && bytes < wire.ValuesBytesTarget {
			bytes += values[n].Value.Bytes()
			n++
		}
		if err := out.Add(&wire.Learn{Values: values[:n]}); err != nil {
			return fmt.Errorf("values for the agent: %w", err)
		}
		values = values[n:]
	}
	return nil
}
