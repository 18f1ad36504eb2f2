package model

import (
	"fmt"

	"quorate/engine"
	"quorate/eventlog"
)

// A proposal is on its way into the log. Its proposer may stop waiting for it, and
// die; it lands all the same, later, twice or never.
type proposal struct {
	by      *replica
	life    int // of the proposer's process
	entries []eventlog.Entry
	// done is called when the proposer has folded the events, or has given up
	// waiting and does not know what became of them.
	done   func(indexes []uint64, voids []string, known bool)
	over   bool // done was called, or nobody is left to call
	landed int
}

// A landing is the proposal's place in the log, to be told to its proposer.
type landing struct {
	p           *proposal
	first, last uint64
}

// replica is one orchestrator: its copy of the log as far as it has it, what it
// folds to, and what its process does with that.
type replica struct {
	w     *sim
	id    uint64
	state *engine.State
	life  int
	up    bool
	// paused: the process sleeps. cut: it reaches no other orchestrator.
	paused, cut bool
	clock       int64

	landings []landing
	voids    map[uint64]string

	leads    bool // it believes so
	epoch    uint64
	proposed bool // establishing or scheduling is under way

	sessions map[int]*session // by agent
}

// propose sends events on their way.
func (r *replica) propose(done func(indexes []uint64, voids []string, known bool), events ...eventlog.Event) {
	p := &proposal{by: r, life: r.life, done: done}
	for _, e := range events {
		entry, err := eventlog.NewEntry(r.clock, e)
		if err != nil {
			r.w.fail("%T: %v", e, err)
			return
		}
		p.entries = append(p.entries, entry)
	}
	r.w.proposals = append(r.w.proposals, p)
}

// give ends the wait for a proposal.
func (p *proposal) give(indexes []uint64, voids []string, known bool) {
	if p.over {
		return
	}
	p.over = true
	if p.by.life == p.life && p.by.up && p.done != nil {
		p.done(indexes, voids, known)
	}
}

// commit lets one proposal land, not always the oldest, sometimes twice.
func (w *sim) commit() {
	if len(w.proposals) == 0 || !w.majority() {
		return
	}
	i := 0
	if w.faults && w.rng.IntN(6) == 0 {
		i = w.rng.IntN(len(w.proposals))
	}
	p := w.proposals[i]
	if p.by.cut && p.landed == 0 && p.by.life == p.life {
		return // it does not get out
	}
	w.land(p)
	if !w.faults || w.rng.IntN(40) > 0 || p.landed > 1 {
		w.drop(i)
	}
}

func (w *sim) drop(i int) {
	w.proposals = append(w.proposals[:i:i], w.proposals[i+1:]...)
}

func (w *sim) land(p *proposal) {
	first := w.head.Index + 1
	for _, e := range p.entries {
		rec := w.head.Next(e)
		w.log = append(w.log, rec)
		w.judge(rec)
	}
	if p.landed++; p.landed > 1 {
		w.seen["proposals twice"]++
	}
	if p.over && p.done != nil {
		w.seen["proposals after their proposer"]++
	}
	if !p.over {
		p.by.landings = append(p.by.landings, landing{p, first, w.head.Index})
	}
}

// judge folds a record where everything is known at once: this is what replicas
// are compared with, and what the world is checked against.
func (w *sim) judge(rec eventlog.Record) {
	e, err := eventlog.Decode(rec.Kind, rec.Data)
	if err != nil {
		w.fail("record %d: %v", rec.Index, err)
		return
	}
	void, err := w.truth.Apply(rec, e)
	if err != nil {
		w.fail("record %d: %v", rec.Index, err)
	}
	if void != "" {
		w.voided++
	} else {
		w.saw(e)
	}
	w.hashes = append(w.hashes, eventlog.Hash{})
	if w.hashEvery > 0 && rec.Index%w.hashEvery == 0 {
		w.hashes[rec.Index-1] = w.truth.Hash()
	}
	w.note("%d %d %x %s", rec.Index, rec.Kind, rec.Hash[:8], void)
}

// follow lets the replica fold some of what is committed.
func (r *replica) follow(max int) {
	if !r.up || r.paused || r.cut {
		return
	}
	for ; max > 0 && r.state.Index < r.w.head.Index; max-- {
		r.fold(r.w.log[r.state.Index])
		if !r.up || r.paused || r.cut {
			return
		}
	}
	for len(r.landings) > 0 && r.landings[0].last <= r.state.Index {
		l := r.landings[0]
		r.landings = r.landings[1:]
		var indexes []uint64
		var voids []string
		for i := l.first; i <= l.last; i++ {
			indexes = append(indexes, i)
			voids = append(voids, r.voids[i])
		}
		l.p.give(indexes, voids, true)
	}
}

func (r *replica) fold(rec eventlog.Record) {
	void, err := r.state.Fold(rec)
	if err != nil {
		r.w.fail("orchestrator %d, record %d: %v", r.id, rec.Index, err)
	}
	if void != "" {
		r.voids[rec.Index] = void
	}
	if want := r.w.hashes[rec.Index-1]; want != (eventlog.Hash{}) && r.state.Hash() != want {
		r.w.fail("G6: orchestrator %d has another state at %d", r.id, rec.Index)
	}
	if r.w.struck != nil {
		r.w.struck(r, rec.Index)
	}
}

// start begins a process that knows nothing but the log.
func (r *replica) start() {
	r.life++
	r.up, r.paused = true, false
	r.state = engine.NewState()
	r.voids = map[uint64]string{}
	r.landings = nil
	r.leads, r.epoch, r.proposed = false, 0, false
	r.sessions = map[int]*session{}
}

// die ends the process. What it had proposed may still land.
func (r *replica) die() {
	r.up = false
	for _, s := range r.sessionsInOrder() {
		s.end()
	}
	kept := r.w.proposals[:0]
	for _, p := range r.w.proposals {
		lost := p.by == r && p.life == r.life && r.w.rng.IntN(2) == 0
		if !lost {
			kept = append(kept, p)
		}
	}
	r.w.proposals = kept
	if r.w.leader == r {
		r.w.leader = nil
	}
}

// majority reports whether enough orchestrators reach each other.
func (w *sim) majority() bool {
	n := 0
	for _, r := range w.replicas {
		if r.up && !r.paused && !r.cut {
			n++
		}
	}
	return 2*n > len(w.replicas)
}

// elect makes an orchestrator the leader. The one before may not know for a while.
func (w *sim) elect() {
	if !w.majority() {
		return
	}
	r := w.replicas[w.rng.IntN(len(w.replicas))]
	if !r.up || r.paused || r.cut || r == w.leader {
		return
	}
	w.note("leader %d", r.id)
	w.leader = r
	r.leads, r.epoch, r.proposed = true, 0, false
}

// lead is the loop of engine/orchestrator's leader, a turn at a time.
func (r *replica) lead() {
	if !r.up || r.paused || !r.leads || r.proposed {
		return
	}
	life := r.life
	if r.epoch == 0 || r.state.Epoch != r.epoch {
		if r.epoch != 0 && r.w.leader != r {
			r.leads = false // overtaken, and told so
			return
		}
		r.proposed, r.epoch = true, 0
		r.propose(func(indexes []uint64, voids []string, known bool) {
			r.proposed = false
			if known && voids[0] == "" {
				r.epoch = r.state.Serial(indexes[0])
			}
		}, &eventlog.LeaderEstablished{Replica: r.id})
		return
	}
	at := r.state.Index
	events := r.state.Decide()
	if len(events) == 0 {
		events = r.calmed()
	}
	if len(events) == 0 {
		return
	}
	r.proposed = true
	r.propose(func(indexes []uint64, voids []string, known bool) {
		r.proposed = false
		if _, calm := events[0].(*eventlog.AgentCalmed); known && r.life == life && indexes[0] == at+1 && !calm {
			for i, v := range voids {
				if v != "" {
					r.w.fail("decided %s is void in the very state that it was decided in: %s", fmt.Sprintf("%T", events[i]), v)
				}
			}
		}
	}, events...)
}

// calmed are the agents that do not flap any more, by this replica's clock. The log's may
// be another one.
func (r *replica) calmed() (events []eventlog.Event) {
	for _, a := range r.w.agents {
		if rec := r.state.Agents[a.id]; rec != nil && r.state.Calmed(rec, r.clock) {
			events = append(events, &eventlog.AgentCalmed{Agent: a.id})
		}
	}
	for _, run := range r.state.Runs {
		for h := range run.Graph.Hosts {
			if r.state.Held(run, uint32(h)) {
				r.w.seen["steps held"]++
			}
		}
	}
	return events
}

// giveUpWaiting lets a proposer time out.
func (w *sim) giveUpWaiting() {
	if len(w.proposals) > 0 {
		w.proposals[w.rng.IntN(len(w.proposals))].give(nil, nil, false)
	}
}
