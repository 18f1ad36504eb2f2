package model

import (
	"fmt"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// Every attempt and every epoch gets the index that its turn alone determines.
// Attempts are compared with attempts and epochs with epochs, so nothing is lost,
// and orders of events that amount to the same become one state.
const (
	firstAttempt = 101
	firstEpoch   = 201
	otherIndex   = 50
	// Only the newest connection counts, so one number stands for it: what came by
	// earlier ones is dropped when there is another.
	theConnection = 301
	attemptsMax   = 4
)

const (
	agentName = "h0"
	journalID = "j1"
	clusterID = "c1"
)

// A cluster holds every state that the orchestrators' log was seen to fold to.
type cluster struct {
	ids    map[eventlog.Hash]uint32
	folded []folded
	next   map[[2]uint32]uint32 // by state and event

	events  []eventlog.Event
	eventID map[string]uint32
	decided map[uint32]bool // events that some leader once decided

	commands *commands
	agent    uint64
}

// folded is one state, with what the exploration asks about it again and again.
type folded struct {
	state *engine.State
	log   []entry // the way there

	seq         uint64
	orders      []uint16 // what a gateway sends in it
	decisions   []uint32 // events
	outcome     [attemptsMax]eventlog.Outcome
	began       [attemptsMax]bool
	doubt       [attemptsMax]bool // a job of it did not succeed
	fromJob     [attemptsMax]uint32
	attempts    int
	open        bool // an attempt is under way
	quarantined bool
	waiting     bool // for an operator
	ended       bool
}

type entry struct {
	index uint64
	event eventlog.Event
}

func newCluster(c config, cmds *commands) *cluster {
	cl := &cluster{
		ids: map[eventlog.Hash]uint32{}, next: map[[2]uint32]uint32{}, eventID: map[string]uint32{},
		decided: map[uint32]bool{}, commands: cmds,
	}
	genesis := []eventlog.Event{
		&eventlog.ClusterCreated{ClusterID: clusterID},
		&eventlog.TokenCreated{TokenHash: "t", Name: agentName, Role: "agent"},
		&eventlog.AgentEnrolled{TokenHash: "t", Name: agentName, KeyDigest: "k", JournalID: journalID},
		&eventlog.PlanRecorded{
			PlanID: "p", Hosts: []string{agentName}, HostSets: [][]uint32{{0}},
			Tasks: []eventlog.PlanTask{{ID: "t0", Driver: string(planner.DriverDirectord), Jobs: c.jobs, Idempotent: c.idempotent}},
		},
		&eventlog.RunCreated{PlanID: "p", RequestID: "r"},
		&eventlog.LeaderEstablished{Replica: 1},
	}
	var log []entry
	for i, e := range genesis {
		log = append(log, entry{uint64(i) + 1, e})
	}
	cl.agent = 3
	log[len(log)-1].index = firstEpoch
	s := cl.replay(log)
	cl.intern(s, log)
	return cl
}

// replay folds a log. The indexes need not be without holes here.
func (cl *cluster) replay(log []entry) *engine.State {
	s := engine.NewState()
	for _, e := range log {
		if void := foldAt(s, e); void != "" {
			panic(fmt.Sprintf("%T took effect before and is void now: %s", e.event, void))
		}
	}
	return s
}

func foldAt(s *engine.State, e entry) string {
	s.Index = e.index - 1
	void, err := s.Apply(eventlog.Record{Index: e.index, Time: 1, Kind: e.event.Kind()}, e.event)
	if err != nil {
		panic(err)
	}
	s.Index = 0
	return void
}

func (cl *cluster) event(e eventlog.Event) uint32 {
	data, err := eventlog.Encode(e)
	if err != nil {
		panic(err)
	}
	key := fmt.Sprint(e.Kind()) + string(data)
	id, ok := cl.eventID[key]
	if !ok {
		id = uint32(len(cl.events))
		cl.eventID[key] = id
		cl.events = append(cl.events, e)
	}
	return id
}

// apply proposes the event in a state. A void one leads nowhere.
func (cl *cluster) apply(at, event uint32) uint32 {
	if to, ok := cl.next[[2]uint32{at, event}]; ok {
		return to
	}
	from := &cl.folded[at]
	e := entry{otherIndex, cl.events[event]}
	switch e.event.(type) {
	case *eventlog.StepScheduled:
		e.index = firstAttempt + uint64(from.attempts)
	case *eventlog.LeaderEstablished:
		e.index = from.state.Epoch + 1
	case *eventlog.AgentConnected:
		e.index = theConnection
	}
	s := cl.replay(from.log)
	to := at
	if foldAt(s, e) == "" {
		to = cl.intern(s, append(slices.Clone(from.log), e))
	}
	cl.next[[2]uint32{at, event}] = to
	return to
}

func (cl *cluster) intern(s *engine.State, log []entry) uint32 {
	s.Index, s.Time, s.Head = 0, 1, eventlog.Hash{}
	h := s.Hash()
	if id, ok := cl.ids[h]; ok {
		return id
	}
	id := uint32(len(cl.folded))
	cl.ids[h] = id
	cl.folded = append(cl.folded, cl.look(s, log))
	return id
}

// look derives what the exploration needs to know of a state.
func (cl *cluster) look(s *engine.State, log []entry) folded {
	a := s.Agents[cl.agent]
	run := s.Runs[0]
	step := run.Step(0, 0)
	f := folded{
		state: s, log: log, seq: a.JournalSeq, attempts: len(s.Attempts), open: len(a.Open) > 0,
		quarantined: a.Quarantined != "", waiting: step.Status == engine.Waiting, ended: run.Outcome != 0,
	}
	for id, at := range s.Attempts {
		if i := id - firstAttempt; i < attemptsMax {
			f.outcome[i], f.began[i], f.fromJob[i] = at.Outcome, at.Began, at.FromJob
			for j := range at.Jobs.All() {
				f.doubt[i] = f.doubt[i] || j.Outcome != eventlog.Succeeded
			}
		}
	}
	for _, id := range a.Open {
		c := s.Command(id)
		o := order{attempt: c.Attempt, supersedes: c.Supersedes, epoch: c.Epoch, fromJob: s.Attempts[id].FromJob}
		if o.kind = dispatch; c.Cancel {
			o = order{kind: cancel, attempt: c.Attempt, epoch: c.Epoch}
		}
		f.orders = append(f.orders, cl.commands.id(o))
	}
	f.orders = append(f.orders, cl.commands.id(order{kind: ack, seq: a.JournalSeq, floor: a.Floor()}))
	for _, e := range s.Decide() {
		id := cl.event(e)
		cl.decided[id] = true
		f.decisions = append(f.decisions, id)
	}
	return f
}

// eventOf is what a gateway makes of a report.
func eventOf(r *wire.Report) eventlog.Event {
	switch {
	case r.Began:
		return &eventlog.AttemptBegan{Attempt: r.Attempt, Seq: r.Seq, Connection: theConnection}
	case r.End:
		return &eventlog.AttemptEnded{Attempt: r.Attempt, Outcome: eventlog.Outcome(r.Outcome), Reason: r.Reason, Seq: r.Seq, Connection: theConnection}
	}
	return &eventlog.JobEnded{Attempt: r.Attempt, Job: r.Job, Outcome: eventlog.Outcome(r.Outcome), Seq: r.Seq, Connection: theConnection}
}

// Kinds of orders.
const (
	dispatch = iota
	cancel
	ack
)

// An order is a message to the agent, but for the session, which every message
// carries that can be accepted at all.
type order struct {
	kind                uint8
	attempt, supersedes uint64
	epoch               uint64
	fromJob             uint32
	seq, floor          uint64
}

// commands numbers the orders.
type commands struct {
	all []order
	ids map[order]uint16
}

func (c *commands) id(o order) uint16 {
	id, ok := c.ids[o]
	if !ok {
		id = uint16(len(c.all))
		c.ids[o] = id
		c.all = append(c.all, o)
	}
	return id
}
