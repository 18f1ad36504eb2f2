package model

import (
	"fmt"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/job"
	"quorate/nodeagent/wire"
)

// A session is one connection between an agent and a gateway, with what is under
// way on it. It does what engine/gateway's does, a turn at a time.
type session struct {
	r     *replica
	a     *agent
	id    uint64 // of the agent: its host may be enrolled anew
	nonce string
	stage stage
	over  bool

	hello      wire.Hello
	barrier    uint64   // the log's end when the hello did not fit
	shown      []uint64 // attempts of which the agent was told then that they never start
	challenged bool
	connection uint64
	fence      wire.Fence

	toAgent   []wire.Message
	toGateway []wire.Report
	replies   []wire.Reply

	received, acked uint64
	sent            map[uint64]bool
	told, recalled  map[uint64]bool // cancelled, and that or called back
	relay           uint64          // that it comes through, or 0
	ended           map[uint64]bool // attempts elsewhere whose end the agent was told of
	batch           []eventlog.Event
	committing      bool
}

type stage int

const (
	greeting stage = iota
	recording
	serving
)

// dial connects the agent to a gateway: its hello is on the way.
func (w *sim) dial(a *agent, r *replica) {
	relay, ok := w.via(a)
	if !ok {
		return
	}
	w.nonces++
	s := &session{
		r: r, a: a, id: a.id, nonce: fmt.Sprint("session ", w.nonces), hello: a.hello(),
		relay: relay, ended: map[uint64]bool{}, sent: map[uint64]bool{}, told: map[uint64]bool{}, recalled: map[uint64]bool{},
	}
	if before := r.sessions[a.at]; before != nil {
		before.end()
	}
	r.sessions[a.at] = s
	a.session, a.greeted = s, false
}

// end is the end of the connection, for both.
func (s *session) end() {
	if s.over {
		return
	}
	s.over = true
	if s.a.session == s {
		s.a.session = nil
	}
	if s.r.sessions[s.a.at] == s {
		delete(s.r.sessions, s.a.at)
	}
	if s.r.up && s.stage != greeting {
		s.r.propose(nil, &eventlog.AgentDisconnected{Agent: s.id, Session: s.nonce})
	}
}

func (r *replica) sessionsInOrder() (all []*session) {
	for i := range r.w.agents {
		if s := r.sessions[i]; s != nil {
			all = append(all, s)
		}
	}
	return all
}

// serve is one turn of a session.
func (s *session) serve() {
	r := s.r
	if s.over || !r.up || r.paused {
		return
	}
	rec := r.state.Agents[s.id]
	if rec == nil {
		return // not folded yet
	}
	if !rec.Usable() {
		if s.stage == greeting && s.testify(rec) {
			return
		}
		if s.a.session == s {
			s.a.outcast()
		}
		s.end()
		return
	}
	switch s.stage {
	case greeting:
		s.greet(rec)
	case serving:
		if rec.Session != s.nonce || rec.Connection != s.connection {
			s.end() // the agent is connected elsewhere
			return
		}
		s.look(rec)
		s.receive(rec)
	}
}

// greet compares the journal with the record, once more where it does not fit.
func (s *session) greet(rec *engine.Agent) {
	missing := rec.MissingAttempt(s.hello.Attempts, s.hello.Acked)
	fault := rec.JournalFault(s.hello.JournalID, s.hello.JournalSeq)
	disproved := s.disproved(rec)
	if missing == 0 {
		missing = s.r.state.Overtaken(rec, s.hello.Unstarted)
	}
	if fault == "" && missing == 0 && len(disproved) == 0 {
		s.record()
		return
	}
	if s.challenge(disproved) {
		return
	}
	e := &eventlog.AgentQuarantined{Agent: rec.ID, Reason: fault, JournalID: s.hello.JournalID, JournalSeq: s.hello.JournalSeq, Disproved: disproved}
	if fault == "" {
		e = &eventlog.AgentQuarantined{Agent: rec.ID, Reason: "an attempt is missing or disproved", Disproved: disproved}
	}
	s.r.propose(nil, e)
	s.end()
}

// disproved are the attempts that have not started on record, and that the journal does
// not forbid; once the agent was told of some, those of them.
func (s *session) disproved(rec *engine.Agent) []uint64 {
	if s.hello.JournalID != rec.JournalID || s.r.w.deaf {
		return nil
	}
	ids := s.r.state.Disproved(rec, s.hello.Attempts, s.hello.Forbidden)
	if s.challenged {
		ids = slices.DeleteFunc(ids, func(id uint64) bool { return !slices.Contains(s.shown, id) })
	}
	return ids
}

// challenge has the agent say hello once more, and is false where it has done so.
func (s *session) challenge(disproved []uint64) bool {
	switch {
	case s.challenged:
		return false
	case s.barrier == 0:
		s.barrier = s.r.w.head.Index
	case s.r.state.Index < s.barrier:
	case s.a.session != s:
		s.end() // there is nobody to ask
	default:
		s.challenged, s.shown = true, disproved
		s.hello = s.a.hello()
	}
	return true
}

// testify hears an agent in quarantine, and reports whether there is more to hear.
func (s *session) testify(rec *engine.Agent) bool {
	disproved := s.disproved(rec)
	if rec.Revoked || len(disproved) == 0 {
		return false
	}
	if s.challenge(disproved) {
		return true
	}
	s.r.propose(nil, &eventlog.AgentQuarantined{Agent: rec.ID, Reason: "older once more", Disproved: disproved})
	return false
}

func (s *session) record() {
	s.stage = recording
	s.r.propose(func(indexes []uint64, voids []string, known bool) {
		if s.over || !known || voids[0] != "" {
			s.end()
			return
		}
		rec := s.r.state.Agents[s.id]
		s.connection = s.r.state.Serial(indexes[0])
		s.received, s.acked = rec.JournalSeq, rec.JournalSeq
		s.fence = wire.Fence{ClusterID: clusterID, Session: s.nonce, JournalID: s.hello.JournalID}
		s.toAgent = append(s.toAgent, &wire.Welcome{
			ClusterID: clusterID, Agent: s.id, Session: s.nonce, Epoch: s.r.state.Epoch, Acked: rec.JournalSeq, Floor: rec.Floor(),
		})
		s.stage = serving
	}, &eventlog.AgentConnected{
		Agent: s.id, Gateway: s.r.id, Session: s.nonce, BootID: s.hello.BootID, JournalID: s.hello.JournalID, JournalSeq: s.hello.JournalSeq,
		Acked: s.hello.Acked, Floor: s.hello.Floor, Attempts: s.hello.Attempts, Held: true, Came: eventlog.ByItself, Relay: s.relay,
	})
}

// look sends what the log has for the agent, as far as it is folded here.
func (s *session) look(rec *engine.Agent) {
	st := s.r.state
	for _, id := range rec.Open {
		c := st.Command(id)
		s.tellEnds(st, id)
		switch {
		case c.Cancel && !s.told[id] && !(c.Unstarted && s.recalled[id]):
			s.told[id], s.recalled[id] = !c.Unstarted, true
			s.toAgent = append(s.toAgent, &wire.Cancel{Fence: s.fenced(c.Epoch), Attempt: id, Reason: c.Reason, Unstarted: c.Unstarted})
		case !c.Cancel && !s.sent[id]:
			s.sent[id] = true
			d := &wire.Dispatch{Fence: s.fenced(c.Epoch), Attempt: id, Supersedes: c.Supersedes, Spec: s.r.w.spec(st, st.Attempts[id]), Places: c.Places}
			if s.r.w.placeless {
				d.Places = 0
			}
			if run := st.Run(st.Attempts[id].Run); s.r.w.untold && run.Deals() {
				_, d.Places = run.Limits()
			}
			d.After = after(&c)
			s.toAgent = append(s.toAgent, d)
		}
	}
	if rec.JournalSeq > s.acked {
		s.acked = rec.JournalSeq
		s.toAgent = append(s.toAgent, &wire.Ack{Seq: rec.JournalSeq, Floor: rec.Floor()})
	}
}

func (s *session) fenced(epoch uint64) wire.Fence {
	f := s.fence
	f.Epoch = epoch
	return f
}

// spec is what a gateway takes out of the plan.
func (w *sim) spec(st *engine.State, at *engine.Attempt) []byte {
	g := st.Run(at.Run).Graph
	step := &wire.Step{Run: at.Run, Task: g.Tasks[at.Task].ID, Host: g.HostName(at.Task, at.Host), KeepGoing: g.Tasks[at.Task].KeepGoing, Check: st.Run(at.Run).Check,
		FailFast: st.Run(at.Run).FailFast && st.Run(at.Run).Lines}
	for _, j := range jobsFor(g, at.Task, at.Host, at.FromJob) {
		step.Jobs = append(step.Jobs, job.Job{Index: j, Verb: verbOf(g.PlanID, at.Task, j)})
	}
	spec, err := wire.EncodeStep(step)
	if err != nil {
		w.fail("%v", err)
	}
	return spec
}

func jobsFor(g *engine.Graph, task, host, from uint32) (jobs []uint32) {
	t := &g.Tasks[task]
	for j := from; j < t.Jobs; j++ {
		if len(t.JobHostSets) == 0 || host == engine.NoHost || slices.Contains(g.HostSets[t.JobHostSets[j]], host) {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// receive takes reports and replies, and proposes what was reported until the log
// has taken it.
func (s *session) receive(rec *engine.Agent) {
	for _, r := range s.toGateway {
		if r.Seq <= s.received {
			continue
		}
		at := s.r.state.Attempts[r.Attempt]
		if at == nil || at.Agent != rec.ID || r.Seq != s.received+1 {
			if s.r.state.Index < s.r.w.head.Index {
				return // the log is read up to now first
			}
			s.r.w.fail("%s: report %d on attempt %d after report %d: a sound agent is taken for a hostile one", s.a.name, r.Seq, r.Attempt, s.received)
			return
		}
		s.received = r.Seq
		e := eventOf(&r)
		if r.Published {
			e = publishedEvent(&r, s.connection)
		}
		switch e := e.(type) {
		case *eventlog.AttemptBegan:
			e.Connection = s.connection
		case *eventlog.AttemptEnded:
			e.Connection = s.connection
		case *eventlog.JobEnded:
			e.Connection = s.connection
		}
		s.batch = append(s.batch, e)
	}
	s.toGateway = nil
	for _, r := range s.replies {
		switch r.Status {
		case wire.StatusBusy, wire.StatusRejected:
			// Rejected is what a newer epoch has overtaken on the way, which happens in
			// here, and not on a stream.
			delete(s.sent, r.Attempt)
			delete(s.told, r.Attempt)
			delete(s.recalled, r.Attempt)
		case wire.StatusGone:
			if at := s.r.state.Attempts[r.Attempt]; at != nil && at.Outcome == 0 && s.r.state.Index == s.r.w.head.Index {
				s.r.w.fail("%s: attempt %d is under way and gone", s.a.name, r.Attempt)
			}
		}
	}
	s.replies = nil
	s.commit()
}

func (s *session) commit() {
	if s.committing || len(s.batch) == 0 {
		return
	}
	s.committing = true
	events := s.batch
	s.r.propose(func(_ []uint64, _ []string, known bool) {
		s.committing = false
		if known {
			s.batch = s.batch[len(events):]
		}
	}, events...)
}
