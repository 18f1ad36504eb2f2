package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"quorate/eventlog"
)

// The states of an attempt in an agent's journal.
const (
	simIntent = 1 + iota
	simEnded  // DONE or UNKNOWN
	simTombstone
)

// A simSpec is what a dispatch hands over.
type simSpec struct {
	attempt, supersedes uint64
	run                 uint64
	task, host          uint32
	jobs                []uint32
	keepGoing           bool
	after               []Predecessor
	places              uint32
	inputs              []Input
	failFast            bool
}

type simEntry struct {
	simSpec
	state   int
	next    int // position in jobs
	running bool
	failed  bool
	outcome eventlog.Outcome
	told    map[uint64][]byte // what those that it has waited for led to
}

// A simAgent follows the journal table of the dispatch protocol. What it holds
// survives a crash, except that nothing is running afterwards.
type simAgent struct {
	w       *simWorld
	id      uint64
	name    string
	journal string
	session string // empty while not connected
	relay   uint64 // that it comes through, or 0
	n       int    // sessions there were

	epochMax, floor uint64
	seq             uint64
	entries         map[uint64]*simEntry
	unacked         []eventlog.Event
}

type simMessage struct {
	to      *simAgent
	session string
	epoch   uint64
	// One of these.
	dispatch *simSpec
	cancel   uint64
	recall   bool       // a cancel for what has not started
	ack      *[2]uint64 // seq, floor
	ended    uint64     // an attempt of another agent that has ended well on record
	output   []byte     // what that one's step led to
}

func (a *simAgent) handle(m simMessage) {
	if m.session != a.session || m.epoch < a.epochMax {
		return
	}
	a.epochMax = m.epoch
	switch {
	case m.dispatch != nil:
		a.dispatch(m.dispatch)
	case m.cancel != 0:
		a.cancel(m.cancel, m.recall)
	case m.ack != nil:
		a.ack(m.ack[0], m.ack[1])
	case m.ended != 0:
		a.release(m.ended, eventlog.Succeeded, m.output)
	}
}

func (a *simAgent) dispatch(sp *simSpec) {
	if a.entries[sp.attempt] != nil || sp.attempt <= a.floor {
		return
	}
	// The attempt before the one it supersedes may be the one that still runs,
	// when that one never got here: so every attempt of the step counts.
	open := uint64(0)
	for id, e := range a.entries {
		switch same := e.run == sp.run && e.task == sp.task && e.host == sp.host; {
		case same && id > sp.attempt:
			return // older than what is known
		case same && e.state == simIntent:
			open = id
		}
	}
	if e := a.entries[open]; e != nil {
		if len(e.after) > 0 { // it is in nobody's way
			e.state = simTombstone
			a.end(open, eventlog.NotStarted)
		}
		return // busy
	}
	spec, stranded := *sp, sp.failFast && a.failedIn(sp)
	spec.after = nil
	for _, p := range sp.after {
		e := a.entries[p.Attempt]
		switch {
		case a.w.s.Attempts[p.Attempt].Agent != a.id:
			spec.after = append(spec.after, p)
		case e == nil:
			return // busy
		case e.outcome == 0:
			spec.after = append(spec.after, p)
		default:
			stranded = stranded || !endsWell(p, e.outcome)
		}
	}
	if p := sp.supersedes; p > a.floor && a.entries[p] == nil {
		a.entries[p] = &simEntry{simSpec: simSpec{attempt: p}, state: simTombstone}
	}
	a.entries[sp.attempt] = &simEntry{simSpec: spec, state: simIntent}
	if stranded {
		a.entries[sp.attempt].state = simTombstone
		a.end(sp.attempt, eventlog.NotStarted)
	}
}

// endsWell reports whether what waits for an attempt may start after that end.
func endsWell(p Predecessor, o eventlog.Outcome) bool {
	return o == eventlog.Succeeded || p.Any && (o == eventlog.Failed || o == eventlog.Cancelled)
}

func (a *simAgent) cancel(attempt uint64, recall bool) {
	e := a.entries[attempt]
	switch {
	case e == nil && attempt <= a.floor:
	case e == nil:
		a.entries[attempt] = &simEntry{simSpec: simSpec{attempt: attempt}, state: simTombstone}
		a.end(attempt, eventlog.NotStarted)
	case e.state != simIntent:
	case e.next == 0 && !e.running:
		e.state = simTombstone
		a.end(attempt, eventlog.NotStarted)
	case recall:
	default:
		if e.running {
			a.job(e, eventlog.Cancelled)
		}
		e.running, e.state = false, simEnded
		a.end(attempt, eventlog.Cancelled)
	}
}

func (a *simAgent) ack(seq, floor uint64) {
	a.unacked = slices.DeleteFunc(a.unacked, func(e eventlog.Event) bool { return reportSeq(e) <= seq })
	a.floor = max(a.floor, floor)
	maps.DeleteFunc(a.entries, func(id uint64, e *simEntry) bool { return id <= a.floor && e.state != simIntent })
}

func reportSeq(e eventlog.Event) uint64 {
	switch e := e.(type) {
	case *eventlog.JobEnded:
		return e.Seq
	case *eventlog.AttemptEnded:
		return e.Seq
	}
	return 0
}

func (a *simAgent) job(e *simEntry, o eventlog.Outcome) {
	a.seq++
	a.unacked = append(a.unacked, &eventlog.JobEnded{
		Attempt: e.attempt, Job: e.jobs[e.next], Outcome: o, Changed: e.next%2 == 0, Seq: a.seq,
	})
}

func (a *simAgent) end(attempt uint64, o eventlog.Outcome) {
	a.seq++
	ended := &eventlog.AttemptEnded{Attempt: attempt, Outcome: o, Reason: "agent", Seq: a.seq}
	output := simOutput(attempt, o)
	ended.Output = output
	a.unacked = append(a.unacked, ended)
	a.w.ends[attempt] = o
	a.entries[attempt].outcome = o
	if a.relay != 0 && a.w.rng.IntN(4) > 0 {
		a.w.notices = append(a.w.notices, simNotice{a.relay, attempt, o, output})
	}
	a.release(attempt, o, output)
	if e := a.entries[attempt]; e.failFast && (o == eventlog.Failed || o == eventlog.Cancelled) {
		for _, id := range slices.Sorted(maps.Keys(a.entries)) {
			if b := a.entries[id]; b.state == simIntent && !b.begun() && b.run == e.run && b.host == e.host {
				b.state = simTombstone
				a.end(id, eventlog.NotStarted)
			}
		}
	}
}

// failedIn reports whether a step of the run has failed on the host, and the cluster may
// not know it.
func (a *simAgent) failedIn(sp *simSpec) bool {
	for _, e := range a.unacked {
		end, ok := e.(*eventlog.AttemptEnded)
		if !ok || end.Outcome != eventlog.Failed && end.Outcome != eventlog.Cancelled {
			continue
		}
		if x := a.entries[end.Attempt]; x != nil && x.run == sp.run && x.host == sp.host {
			return true
		}
	}
	return false
}

// release tells those that wait for the attempt that it has ended.
func (a *simAgent) release(attempt uint64, o eventlog.Outcome, output []byte) {
	for _, id := range slices.Sorted(maps.Keys(a.entries)) {
		e := a.entries[id]
		i := slices.IndexFunc(e.after, func(p Predecessor) bool { return p.Attempt == attempt })
		if i < 0 || e.state != simIntent {
			continue
		}
		well := endsWell(e.after[i], o)
		if e.told == nil {
			e.told = map[uint64][]byte{}
		}
		e.told[attempt] = output
		e.after = slices.Delete(slices.Clone(e.after), i, i+1)
		if !well {
			e.state = simTombstone
			a.end(id, eventlog.NotStarted)
		}
	}
}

// work lets one attempt make progress.
func (a *simAgent) work(rng *rand.Rand) {
	var open []*simEntry
	for _, id := range slices.Sorted(maps.Keys(a.entries)) {
		if e := a.entries[id]; e.state == simIntent && len(e.after) == 0 && (e.begun() || a.under(e) < e.places || e.places == 0) {
			open = append(open, e)
		}
	}
	if len(open) == 0 {
		return
	}
	e := open[rng.IntN(len(open))]
	switch {
	case e.running:
		o := eventlog.Succeeded
		if rng.Float64() < a.w.failing {
			o, e.failed = eventlog.Failed, true
		}
		a.job(e, o)
		e.running = false
		e.next++
		if o == eventlog.Failed && !e.keepGoing {
			e.next = len(e.jobs)
		}
	case e.next < len(e.jobs):
		a.w.follows(e)
		e.running = true
		a.w.effect(a, e)
	default:
		e.state = simEnded
		o := eventlog.Succeeded
		if e.failed {
			o = eventlog.Failed
		}
		a.end(e.attempt, o)
	}
}

// begun reports whether a job of it was ever started.
func (e *simEntry) begun() bool { return e.running || e.next > 0 }

// under counts what is under way of the attempt's run on its host.
func (a *simAgent) under(of *simEntry) (n uint32) {
	for _, e := range a.entries {
		if e.state == simIntent && e.run == of.run && e.host == of.host && e.begun() {
			n++
		}
	}
	return n
}

// crash kills what runs. What had not started may be known not to have.
func (a *simAgent) crash(pick func(n int) int) {
	a.session = ""
	for _, id := range slices.Sorted(maps.Keys(a.entries)) {
		e := a.entries[id]
		if e.state != simIntent || len(e.after) > 0 {
			continue // what waits did not start
		}
		o := eventlog.Unknown
		if !e.running && e.next < len(e.jobs) && pick(2) == 0 {
			o = eventlog.NotStarted
		}
		if e.next < len(e.jobs) && (e.running || o == eventlog.NotStarted) && pick(3) > 0 {
			a.job(e, o)
		}
		e.running, e.state = false, simEnded
		a.end(id, o)
	}
}

// wipe loses the disk: the host comes back with another journal.
func (a *simAgent) wipe() {
	a.session = ""
	a.n++
	a.journal = fmt.Sprintf("%s-wiped-%d", a.journal, a.n)
	a.entries, a.unacked, a.seq, a.floor = map[uint64]*simEntry{}, nil, 0, 0
}

// A simNotice is what an agent lets its site know of an end.
type simNotice struct {
	relay, attempt uint64
	outcome        eventlog.Outcome
	output         []byte
}

// hear lets one agent of the site hear of an end there, perhaps late, perhaps not once.
func (w *simWorld) hear() {
	if len(w.notices) == 0 {
		return
	}
	i := w.rng.IntN(len(w.notices))
	n := w.notices[i]
	for _, a := range w.agents {
		if a.relay == n.relay && w.rng.IntN(3) > 0 {
			a.release(n.attempt, n.outcome, n.output)
		}
	}
	if w.rng.IntN(3) > 0 {
		w.notices = slices.Delete(w.notices, i, i+1)
	}
}
