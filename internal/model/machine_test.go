package model

import (
	"slices"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/journal"
)

// A config bounds an exploration.
type config struct {
	name       string
	jobs       uint32
	idempotent bool
	attempts   int // that are ever scheduled
	faults     map[fault]int
	total      int  // faults together
	wide       bool // has so many states that one fault has to do where steps repeat
	mutant     mutant
	// whole keeps states apart by what only a fault that cannot come any more would tell
	// apart, so that they are the same ones whatever else may come.
	whole bool
	// keepAll keeps orders apart that can have no effect any more in their session.
	keepAll bool
}

// A state is everything that there is. It is small and comparable: what is big is
// kept once, by number.
type state struct {
	orch    uint32 // in cluster
	disk    uint32 // journals after each record behind the last sync, the synced one first
	copy    uint16 // of the disk, 1 + journal
	hello   uint16 // on its way, 1 + journal
	net     uint32 // orders that may arrive, any time, any number of times
	pending uint32 // reports that may be committed, any time, any number of times
	procs   [attemptsMax]uint8
	effects [attemptsMax]uint8 // 2 bits per job
	flags   uint8
	boot    uint8
	retries uint8 // operators' words that let a job run again
	used    uint64
}

const (
	connected = 1 << 0
	killing   = 1 << 1 // << attempt, in the agent's memory
	wiped     = 1 << 6
)

// A process is 0 where there is none.
const (
	alive = 1 + iota
	exited
	lost // no exit status
	own  = 1 << 3
)

type machine struct {
	config
	cl *cluster
	js *journals
	co *commands
}

func newMachine(c config) (*machine, state) {
	co := &commands{ids: map[order]uint16{}}
	m := &machine{config: c, co: co, cl: newCluster(c, co), js: newJournals()}
	id := m.js.intern(journal.NewState(journalID))
	b := m.js.boot(id, 0)
	s := state{disk: m.js.list(b.to[len(b.to)-1:]), net: m.js.list(nil), pending: m.js.list(nil)}
	return m, s
}

func (m *machine) journal(s *state) uint16 {
	l := m.js.listed[s.disk]
	return l[len(l)-1]
}

func (m *machine) left(s *state, f fault) bool {
	if s.used>>(4*f)&15 >= uint64(m.faults[f]) {
		return false
	}
	total := 0
	for i := fault(0); i < faults; i++ {
		total += int(s.used >> (4 * i) & 15)
	}
	return total < m.total
}

func (s state) use(f fault) state {
	s.used += 1 << (4 * f)
	return s
}

// write makes the journal's records part of the disk. A tail that nothing can take
// away any more is not kept apart.
func (m *machine) write(s *state, mv move) {
	if len(mv.to) == 0 {
		return
	}
	tail := append(slices.Clone(m.js.listed[s.disk]), mv.to...)
	if mv.durable && m.mutant != notSynced || !m.whole && !m.left(s, machineReboots) {
		tail = tail[len(tail)-1:]
	}
	s.disk = m.js.list(tail)
}

// settle brings what is derived up to date: reports on their way, and orders that
// may come. It is called after every move.
func (m *machine) settle(s *state) {
	f := &m.cl.folded[s.orch]
	at := m.journal(s)
	k := &m.js.all[at]
	pend := m.js.listed[s.pending]
	if s.flags&connected != 0 {
		pend = union(pend, k.reports)
	}
	pend = filter(pend, func(id uint16) bool { return m.js.reports[id].Seq > f.seq || m.js.reports[id].Seq == 0 })
	s.pending = m.js.list(pend)
	if s.flags&connected == 0 {
		s.net = m.js.list(nil)
		return
	}
	net := union(m.js.listed[s.net], f.orders)
	if m.mutant == ackTooEarly && len(k.reports) > 0 {
		last := m.js.reports[k.reports[len(k.reports)-1]].Seq
		net = union(net, []uint16{m.co.id(order{kind: ack, seq: last})})
	}
	if m.keepAll || m.mutant == dropNoFloor {
		s.net = m.js.list(net)
		return
	}
	s.net = m.js.list(filter(net, func(id uint16) bool {
		mv := m.js.order(at, id, &m.co.all[id], &m.config)
		i := int(m.co.all[id].attempt - firstAttempt)
		return len(mv.to) > 0 || mv.start || mv.busy || mv.over || mv.gone || mv.kill && s.flags&(killing<<i) == 0
	}))
}

func union(a, b []uint16) []uint16 {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

func filter(a []uint16, keep func(uint16) bool) []uint16 {
	out := make([]uint16, 0, len(a))
	for _, v := range a {
		if keep(v) {
			out = append(out, v)
		}
	}
	return out
}

// A step of the exploration: what was done, by number for the name, and whether it
// needs a fault.
type emit func(to state, what string, fault bool)

// next lists everything that can happen.
func (m *machine) next(s state, out emit) {
	f := &m.cl.folded[s.orch]
	if f.quarantined {
		return
	}
	m.nextLog(s, f, out)
	m.nextNetwork(s, f, out)
	for i := range attemptsMax {
		m.nextJob(s, i, out)
	}
	m.nextFault(s, f, out)
}

func (m *machine) fold(s state, e eventlog.Event) (state, bool) {
	to := m.cl.apply(s.orch, m.cl.event(e))
	changed := to != s.orch
	s.orch = to
	return s, changed
}

// nextLog is what leaders propose, and what gateways propose of what agents said.
func (m *machine) nextLog(s state, f *folded, out emit) {
	for _, e := range f.decisions {
		if _, schedules := m.cl.events[e].(*eventlog.StepScheduled); schedules && f.attempts >= m.attempts {
			continue
		}
		t := s
		t.orch = m.cl.apply(s.orch, e)
		m.settle(&t)
		out(t, "the leader's decision is committed", false)
	}
	for _, id := range m.js.listed[s.pending] {
		r := &m.js.reports[id]
		if t, changed := m.fold(s, m.eventOf(r)); changed {
			m.settle(&t)
			out(t, "a report is committed", false)
		}
	}
	if m.mutant == retryOnTimeout && f.open && f.attempts < m.attempts {
		id := firstAttempt + uint64(f.attempts) - 1
		t, _ := m.fold(s, &eventlog.AttemptEnded{Attempt: id, Outcome: eventlog.Unknown, By: "timeout"})
		t, _ = m.fold(t, &eventlog.StepResolved{Attempt: id, As: "retry", By: "timeout"})
		m.settle(&t)
		out(t, "a timeout", false)
	}
}

// nextNetwork is the connection, and the orders that come by it.
func (m *machine) nextNetwork(s state, f *folded, out emit) {
	if s.flags&connected == 0 {
		t := s
		if m.connect(&t) {
			m.settle(&t)
			out(t, "the agent connects", false)
		}
	}
	if s.hello != 0 {
		t := s
		t.hello = 0
		m.readHello(&t, s.hello-1)
		m.settle(&t)
		out(t, "the delayed hello is read", false)
	}
	at := m.journal(&s)
	for _, id := range m.js.listed[s.net] {
		o := &m.co.all[id]
		mv := m.js.order(at, id, o, &m.config)
		t := s
		m.write(&t, mv)
		if mv.kill {
			t.flags |= killing << (o.attempt - firstAttempt)
		}
		if mv.over {
			t.flags &^= connected
		}
		if mv.gone && f.outcome[o.attempt-firstAttempt] == 0 {
			t, _ = m.fold(t, &eventlog.AgentQuarantined{Agent: m.cl.agent, Reason: "gone"})
		}
		m.mutateOrder(&t, at, o, mv)
		m.settle(&t)
		if t != s {
			out(t, "an order arrives", false)
		}
	}
}

// connect lets the agent introduce itself to a gateway and be welcomed.
func (m *machine) connect(s *state) bool {
	at := m.journal(s)
	if !m.greet(s, at) {
		return true
	}
	f := &m.cl.folded[s.orch]
	floor := f.orders[len(f.orders)-1] // the acknowledgement
	mv := m.js.welcome(at, floor, &m.co.all[floor])
	if mv.over {
		return false
	}
	mv.durable = true
	m.write(s, mv)
	s.flags |= connected
	return true
}

// greet is the gateway's part: it checks what a hello shows, and puts the
// connection, or the quarantine, on record.
func (m *machine) greet(s *state, at uint16) bool {
	k := m.js.all[at].state
	id, seq := k.JournalID, k.ShownSeq()
	st := m.cl.folded[s.orch].state
	a := st.Agents[m.cl.agent]
	if m.mutant == noJournalID {
		id, seq = a.JournalID, max(seq, a.JournalSeq)
	}
	disproved := m.disproved(st, a, k)
	var t state
	switch fault := a.JournalFault(id, seq); {
	case fault != "":
		t, _ = m.fold(*s, &eventlog.AgentQuarantined{Agent: a.ID, Reason: fault, JournalID: id, JournalSeq: seq, Disproved: disproved})
	case a.MissingAttempt(k.Attempts(), k.Acked) != 0 && m.mutant != begunUnnumbered, len(disproved) > 0, st.Overtaken(a, k.Unstarted()) != 0:
		t, _ = m.fold(*s, &eventlog.AgentQuarantined{Agent: a.ID, Reason: "an attempt is missing or disproved", Disproved: disproved})
	default:
		t, _ = m.fold(*s, &eventlog.AgentDisconnected{Agent: a.ID, Session: sessionName})
		t, _ = m.fold(t, &eventlog.AgentConnected{Agent: a.ID, Session: sessionName, JournalID: id, JournalSeq: seq, Acked: k.Acked, Floor: k.Floor, Attempts: k.Attempts()})
		m.anew(&t)
	}
	*s = t
	return !m.cl.folded[s.orch].quarantined
}

func (m *machine) disproved(st *engine.State, a *engine.Agent, k *journal.State) []uint64 {
	if k.JournalID != a.JournalID {
		return nil
	}
	return st.Disproved(a, k.Attempts(), k.Forbidden())
}

// readHello is a gateway that reads a hello whose connection is gone by then: the
// agent cannot be asked to say it again, so it proves nothing.
func (m *machine) readHello(s *state, at uint16) {
	k := m.js.all[at].state
	st := m.cl.folded[s.orch].state
	a := st.Agents[m.cl.agent]
	if a.JournalFault(k.JournalID, k.ShownSeq()) != "" || a.MissingAttempt(k.Attempts(), k.Acked) != 0 || len(m.disproved(st, a, k)) > 0 || st.Overtaken(a, k.Unstarted()) != 0 {
		return
	}
	t, _ := m.fold(*s, &eventlog.AgentDisconnected{Agent: a.ID, Session: sessionName})
	t, _ = m.fold(t, &eventlog.AgentConnected{Agent: a.ID, Session: sessionName, JournalID: k.JournalID, JournalSeq: k.ShownSeq(), Acked: k.Acked, Floor: k.Floor, Attempts: k.Attempts()})
	m.anew(&t)
	m.disconnect(&t) // its gateway sees that it was replaced
	*s = t
}

// anew makes reports void that came by an earlier connection.
func (m *machine) anew(s *state) {
	if m.mutant != oldConnections {
		s.pending = m.js.list(nil)
	}
}

func (m *machine) disconnect(s *state) {
	s.flags &^= connected
}

// restart is the agent's start on its disk, under the boot.
func (m *machine) restart(s *state) {
	m.disconnect(s)
	s.flags &^= killing * (1<<attemptsMax - 1)
	for i := range s.procs {
		s.procs[i] &^= own
	}
	mv := m.js.boot(m.journal(s), int(s.boot))
	mv.durable = true
	m.write(s, mv)
	m.mutateRestart(s)
}

func (s *state) proc(i int) uint8 { return s.procs[i] &^ own }

// nextJob is what the agent does about an attempt, and what its job does by itself.
func (m *machine) nextJob(s state, i int, out emit) {
	at := m.journal(&s)
	a := m.js.all[at].tries[i]
	agent := func(what string, f func(t *state)) {
		t := s
		f(&t)
		m.settle(&t)
		out(t, what, false)
	}
	if s.proc(i) == alive {
		agent("a job ends", func(t *state) { t.procs[i] = exited | t.procs[i]&own })
	}
	if a.phase != journal.Intent {
		return
	}
	from := m.cl.folded[s.orch].fromJob[i]
	jobs := uint8(m.jobs - from)
	job := from + uint32(a.ended)
	cancelled := s.flags&(killing<<i) != 0
	switch {
	case !a.running && a.lost:
		agent("the attempt ends unknown", func(t *state) { m.endTry(t, i, journal.OutcomeUnknown) })
	case !a.running && (a.cancelled || cancelled && a.ended > 0 && !a.failed && a.ended < jobs):
		agent("the attempt is cancelled", func(t *state) { m.endTry(t, i, journal.OutcomeCancelled) })
	case !a.running && a.failed:
		agent("the attempt fails", func(t *state) { m.endTry(t, i, journal.OutcomeFailed) })
	case !a.running && a.ended == jobs:
		agent("the attempt ends", func(t *state) { m.endTry(t, i, journal.OutcomeSucceeded) })
	case !a.running:
		agent("a job is about to start", func(t *state) { m.write(t, m.js.startJob(at, i)) })
	case cancelled && (s.proc(i) == alive || s.proc(i) == 0):
		agent("a job is cancelled", func(t *state) {
			t.procs[i] = 0
			m.endJob(t, i, job, journal.OutcomeCancelled)
			m.endTry(t, i, journal.OutcomeCancelled)
		})
	case s.proc(i) == 0:
		agent("a job starts", func(t *state) { m.spawn(t, i, job) })
	case s.proc(i) == exited:
		agent("a job's end is taken", func(t *state) {
			t.procs[i] = 0
			m.endJob(t, i, job, journal.OutcomeSucceeded)
			if a.ended+1 == jobs {
				m.endTry(t, i, journal.OutcomeSucceeded)
			} else if cancelled {
				m.endTry(t, i, journal.OutcomeCancelled)
			}
		})
	case s.proc(i) == lost:
		outcome := journal.OutcomeUnknown // nobody saw it end
		if s.procs[i]&own != 0 {
			outcome = journal.OutcomeFailed
		}
		agent("a job's loss is seen", func(t *state) {
			t.procs[i] = 0
			m.endJob(t, i, job, outcome)
			m.endTry(t, i, outcome)
		})
	}
}

// spawn is the moment of the effect.
func (m *machine) spawn(s *state, i int, job uint32) {
	s.procs[i] = alive
	if m.whole || m.faults[jobDies] > 0 {
		s.procs[i] |= own
	}
	if n := s.effects[i] >> (2 * job) & 3; n < 3 {
		s.effects[i] += 1 << (2 * job)
	}
}

func (m *machine) endJob(s *state, i int, job uint32, outcome uint8) {
	m.write(s, m.js.endJob(m.journal(s), i, job, outcome))
}

func (m *machine) endTry(s *state, i int, outcome uint8) {
	m.write(s, m.js.endTry(m.journal(s), i, outcome))
}
