package engine

import "quorate/eventlog"

// A crowd is a host of a run whose places are all taken, or will be once the decision
// is folded, and which has more to give.
type crowd struct {
	run  *Run
	slot int
	from int // of its ready steps, the decision starts so many
}

// crowded notes the host for [decision.queueUp].
func (d *decision) crowded(r *Run, slot, from int) {
	if slot < len(r.Graph.Hosts) {
		d.crowds = append(d.crowds, crowd{r, slot, from})
	}
}

// queueUp proposes to send ahead what is ready and has no place yet, and what follows
// that. It comes behind what all runs start at once, so that none waits for another's.
// An agent that is away is sent nothing: nobody would start it any sooner.
func (d *decision) queueUp(s *State) {
	work := s.Damping().Work
	for i, c := range d.crowds {
		if i == 0 || d.crowds[i-1].run != c.run {
			d.leaning = leaning{work: work}
		}
		a := s.agentFor(c.run, uint32(c.slot), 0)
		if a == nil || !a.Connected || d.held(s, c.run, a) {
			continue
		}
		for i, ref := range c.run.queue.slots[c.slot].refs[c.from:] {
			if d.full() || d.enough(c, i) || len(a.Open)+d.ahead.open[a.ID] >= int(c.run.AheadMax) || !d.fitsAhead(s, c.run, ref.task, a) {
				break
			}
			d.queueStep(s, c.run, ref, a)
		}
	}
}

func (d *decision) queueStep(s *State, r *Run, ref stepRef, a *Agent) {
	st := &r.Tasks[ref.task].Steps[ref.pos]
	slot := r.queue.slot(st.Host)
	d.dealMore(r, slot)
	d.propose(&eventlog.StepScheduled{
		Run: r.ID, Task: ref.task, Host: st.Host, Agent: a.ID, Supersedes: st.Attempt, Epoch: s.Epoch,
		FromJob: s.nextJob(r, ref.task, st), Queues: true, Places: d.fresh(r, slot),
	})
	lapsed := a.lapsed(r, st.Attempt)
	if d.tell(r, slot, lapsed); !lapsed {
		d.ahead.weigh(r, ref.task, a)
		d.started(s, r, ref, a)
	}
}

// linePerPlaceMax bounds what waits for each place of a host that has fewer than it might
// be dealt. More may be dealt with what comes later, and what waits is not told of it.
const linePerPlaceMax = 32

// enough reports whether so much waits on the host, with what the decision adds, that
// more waits here.
func (d *decision) enough(c crowd, more int) bool {
	q := &c.run.queue
	has := d.hand(c.run, c.slot).places
	return q.deals && has < q.stepsPerHostMax && len(q.slots[c.slot].line)+more >= int(has)*linePerPlaceMax
}
