package history

import "quorate/engine"

// critical finds the chain of steps that made the run as long as it was: from the one
// that ended last, or that is under way the longest, back over the steps that each of
// them waited for last. A step begins where the one before it ends, so that the chain
// has no holes.
func (t *Timeline) critical(r *Run) {
	byKey := make(map[stepKey]*StepTime, len(t.Steps))
	for i := range t.Steps {
		byKey[t.Steps[i].key] = &t.Steps[i]
	}
	last := t.lastStep(r)
	t.Tail = t.Elapsed
	if last == nil {
		return
	}
	t.Tail = Span(t.until - last.to)
	var path []*StepTime
	for v := last; v != nil; {
		v.Critical = true
		path = append([]*StepTime{v}, path...)
		_, behind, _ := r.step(v.key).ready()
		if behind == nil {
			break
		}
		v = byKey[behind.key]
	}
	for i, v := range path {
		from := v.from
		if i == 0 {
			from = t.from
		}
		link := Link{Step: v.Step, From: timeOf(from), To: timeOf(v.to), Span: Span(v.to - from), at: v}
		for k := range v.Segments {
			s := &v.Segments[k] // one may begin before the end that it waited for was on record
			link.Parts.add(s.Class, Span(max(s.to-max(s.from, from), 0)))
		}
		t.Critical = append(t.Critical, link)
	}
}

// lastStep is where the chain ends: what is under way since the earliest time, else
// what was settled last of all that ran. It is nil where nothing became ready.
func (t *Timeline) lastStep(r *Run) (last *StepTime) {
	for i := range t.Steps {
		v := &t.Steps[i]
		st := r.step(v.key)
		if v.Ready == nil {
			continue
		}
		open := !st.status().Settled()
		// What a stop of the run settled was not what it waited for.
		if !open && len(st.attempts) == 0 && st.status() != engine.Done && st.status() != engine.TaskFailed {
			continue
		}
		switch lastOpen := last != nil && last.Committed == nil; {
		case last == nil, open && !lastOpen,
			open && lastOpen && v.from < last.from,
			!open && !lastOpen && v.to > last.to:
			last = v
		}
	}
	return last
}
