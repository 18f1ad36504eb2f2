package model

import (
	"fmt"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// A pair is two agents of one site, and a step on the second that waits for one on the
// first. Its exploration is of who may start when, with what the site says, what the
// cluster says, and what is on record in any order; [machine] has all that one agent and
// its disk can do.
type pair struct {
	mutant pairMutant
	faults pairFaults
	logs   interned[*engine.State]
	disks  interned[*journal.State]
	folds  map[string]uint32 // by log and event
	writes map[string]uint32 // by disk and records
	tells  map[uint32][2][]wire.Message
	leads  map[uint32][]eventlog.Event
}

type pairMutant string

const (
	heedless    pairMutant = "a step starts without a notice"
	anyNotice   pairMutant = "the notice of a superseded attempt releases"
	noEarlyWord pairMutant = "the fold refuses what comes before what it waited for"
)

// pairFaults are how often something happens that need not.
type pairFaults struct{ cuts, fails, giveUps, words uint8 }

const (
	pairTries   = 3          // attempts of each step
	pairAgent   = uint64(11) // and the one behind it
	pairAttempt = uint64(101)
)

// A pairState is everything that there is.
type pairState struct {
	log     uint32
	disk    [2]uint32
	linked  [2]bool
	ends    [pairTries]uint8 // of the first step's attempts, as they were
	heard   [pairTries]bool  // the site knows of them
	started [2][pairTries]uint8
	used    pairFaults
}

// interned keeps what is big once, by number.
type interned[T any] struct {
	ids map[string]uint32
	all []T
}

func (x *interned[T]) id(key string, v T) uint32 {
	if x.ids == nil {
		x.ids = map[string]uint32{}
	}
	id, ok := x.ids[key]
	if !ok {
		id = uint32(len(x.all))
		x.ids[key] = id
		x.all = append(x.all, v)
	}
	return id
}

func newPair(mutant pairMutant, faults pairFaults) (*pair, pairState) {
	p := &pair{mutant: mutant, faults: faults, folds: map[string]uint32{}, writes: map[string]uint32{}, tells: map[uint32][2][]wire.Message{}, leads: map[uint32][]eventlog.Event{}}
	s := engine.NewState()
	plan := &eventlog.PlanRecorded{PlanID: "p", Hosts: []string{"h0", "h1"}, HostSets: [][]uint32{{0}, {1}}}
	for i := range 2 {
		plan.Tasks = append(plan.Tasks, eventlog.PlanTask{ID: fmt.Sprint("t", i), Driver: string(planner.DriverDirectord), HostSet: uint32(i), Jobs: 1})
	}
	plan.Tasks[1].Requires = []eventlog.PlanDep{{Task: 0, Scope: uint8(planner.ScopeAll)}}
	fold := func(index uint64, e eventlog.Event) {
		if void := foldAt(s, entry{index, e}); void != "" {
			panic(fmt.Sprintf("%T is void: %s", e, void))
		}
	}
	fold(1, &eventlog.ClusterCreated{ClusterID: clusterID})
	for i, name := range []string{"h0", "h1", "relay"} {
		role := map[bool]string{true: engine.RelayRole, false: "agent"}[i == 2]
		fold(2, &eventlog.TokenCreated{TokenHash: name, Name: name, Role: role})
		fold(pairAgent+uint64(i), &eventlog.AgentEnrolled{TokenHash: name, Name: name, KeyDigest: name, JournalID: name})
	}
	for i := range uint64(2) {
		fold(theConnection, &eventlog.AgentConnected{Agent: pairAgent + i, Session: "first", JournalID: plan.Hosts[i], Relay: pairAgent + 2})
	}
	fold(3, plan)
	fold(4, &eventlog.RunCreated{PlanID: "p", AheadMax: 4})
	fold(5, &eventlog.LeaderEstablished{Replica: 1})
	st := pairState{log: p.keepLog(s), linked: [2]bool{true, true}}
	for i, name := range plan.Hosts {
		st.disk[i] = p.keepDisk(journal.NewState(name))
		d := p.disks.all[st.disk[i]].Boot("boot")
		st.disk[i], _ = p.write(st.disk[i], d.Records)
	}
	return p, st
}

func (p *pair) keepLog(s *engine.State) uint32 { return p.logs.id(s.Hash().String(), s) }

func (p *pair) keepDisk(s *journal.State) uint32 { return p.disks.id(string(imageOf(s.Records())), s) }

// fold appends the event. Attempts have the index that their turn determines, so that
// orders of events that amount to the same become one state.
func (p *pair) fold(log uint32, e eventlog.Event) uint32 {
	data, err := eventlog.Encode(e)
	if err != nil {
		panic(err)
	}
	key := fmt.Sprint(log, e.Kind()) + string(data)
	to, ok := p.folds[key]
	if !ok {
		to = p.append(log, e)
		p.folds[key] = to
	}
	return to
}

func (p *pair) append(log uint32, e eventlog.Event) uint32 {
	s := clone(p.logs.all[log])
	index := uint64(otherIndex)
	if e, ok := e.(*eventlog.StepScheduled); ok {
		tries := s.Runs[0].Step(e.Task, 0).Attempts
		if tries == pairTries {
			return log
		}
		index = attemptOf(int(e.Task), int(tries))
	}
	if void := foldAt(s, entry{index, e}); void != "" {
		return log
	}
	return p.keepLog(s)
}

// write applies the records to a copy of the disk.
func (p *pair) write(disk uint32, records []journal.Record) (to uint32, changed bool) {
	if len(records) == 0 {
		return disk, false
	}
	key := fmt.Sprint(disk) + string(imageOf(records))
	if to, ok := p.writes[key]; ok {
		return to, to != disk
	}
	s, _, err := journal.Replay(imageOf(p.disks.all[disk].Records()))
	if err != nil {
		panic(err)
	}
	for _, r := range records {
		if err := s.Apply(r); err != nil {
			panic(fmt.Sprintf("%T: %v", r, err))
		}
	}
	to = p.keepDisk(s)
	p.writes[key] = to
	return to, to != disk
}

// attemptOf numbers the tries of the steps.
func attemptOf(step, try int) uint64 { return pairAttempt + uint64(10*step+try) }

func tryOf(attempt uint64) int { return int(attempt-pairAttempt) % 10 }

// decisions are what the leader proposes.
func (p *pair) decisions(log uint32) []eventlog.Event {
	all, ok := p.leads[log]
	if !ok {
		all = p.logs.all[log].Decide()
		p.leads[log] = all
	}
	return all
}

// orders are what the gateway of an agent has to tell it.
func (p *pair) orders(log uint32, i int) []wire.Message {
	all, ok := p.tells[log]
	if !ok {
		for i := range all {
			all[i] = p.told(p.logs.all[log], i)
		}
		p.tells[log] = all
	}
	return all[i]
}

func (p *pair) told(s *engine.State, i int) (out []wire.Message) {
	a := s.Agents[pairAgent+uint64(i)]
	fence := wire.Fence{ClusterID: clusterID, Session: sessionName, JournalID: a.JournalID, Epoch: s.Epoch}
	for _, id := range a.Open {
		c := s.Command(id)
		if c.Cancel {
			out = append(out, &wire.Cancel{Fence: fence, Attempt: id, Unstarted: c.Unstarted})
			continue
		}
		d := &wire.Dispatch{Fence: fence, Attempt: id, Supersedes: c.Supersedes, Spec: []byte("spec"), After: after(&c), Places: c.Places}
		if p.mutant == heedless {
			d.After = nil
		}
		out = append(out, d)
		for _, e := range s.ElsewhereOf(s.Attempts[id]) {
			if e.Released {
				out = append(out, &wire.Ended{Fence: fence, Attempt: e.Attempt, Outcome: journal.OutcomeSucceeded})
			}
		}
	}
	return out
}

// report commits what the agent has to say up to the end of an attempt, and has it
// acknowledged.
func (p *pair) report(st *pairState, i int) {
	k := p.disks.all[st.disk[i]]
	for _, r := range k.ReportsAfter(p.logs.all[st.log].Agents[pairAgent+uint64(i)].JournalSeq, 1<<20) {
		e := eventOf(&r)
		if r.End && i == 1 && p.mutant == noEarlyWord && p.logs.all[st.log].Runs[0].Step(0, 0).Status != engine.Done {
			e = &eventlog.AttemptBegan{Attempt: r.Attempt, Seq: r.Seq, Connection: theConnection} // it counts as said
		}
		if st.log = p.fold(st.log, e); r.End {
			break
		}
	}
	a := p.logs.all[st.log].Agents[pairAgent+uint64(i)]
	d, err := k.Ack(&wire.Ack{Seq: a.JournalSeq, Floor: a.Floor()})
	if err != nil {
		panic(err)
	}
	st.disk[i], _ = p.write(st.disk[i], d.Records)
}

// decide is what the agent's journal makes of an order.
func decide(s *journal.State, i int, m wire.Message) journal.Decision {
	switch m := m.(type) {
	case *wire.Dispatch:
		return s.Dispatch(here, m, journal.Work{Step: journal.StepName(1, fmt.Sprint("t", i), fmt.Sprint("h", i)), Jobs: 1})
	case *wire.Cancel:
		return s.Cancel(here, m)
	case *wire.Ended:
		return s.Ended(here, m)
	}
	panic("no order")
}

// check returns what is wrong.
func (p *pair) check(st *pairState) string {
	s := p.logs.all[st.log]
	for i := range 2 {
		for try, n := range st.started[i] {
			at := s.Attempts[attemptOf(i, try)]
			switch {
			case n > 1:
				return fmt.Sprintf("attempt %d of step %d took effect twice", try, i)
			case at == nil || n == 1:
			case at.Outcome == eventlog.Succeeded || at.Outcome == eventlog.Failed:
				return fmt.Sprintf("attempt %d of step %d is on record as done, and took no effect", try, i)
			}
			if at != nil && n == 1 && at.Outcome == eventlog.NotStarted {
				return fmt.Sprintf("attempt %d of step %d is not started, and took effect", try, i)
			}
		}
	}
	return ""
}

// mayStart says why the second step's attempt may not start, or nothing.
func (p *pair) mayStart(st *pairState, attempt uint64) string {
	s := p.logs.all[st.log]
	for _, q := range s.Attempts[attempt].After {
		if s.Runs[0].Step(0, 0).Status != engine.Done && st.ends[tryOf(q.Attempt)] != journal.OutcomeSucceeded {
			return fmt.Sprintf("attempt %d starts before %d has succeeded", attempt, q.Attempt)
		}
	}
	return ""
}

// over reports whether nothing is left to happen, without an operator.
func (p *pair) over(st *pairState) bool {
	r := p.logs.all[st.log].Runs[0]
	return r.Outcome != 0 || r.Counts.Running == 0 && (r.Counts.Waiting > 0 || r.Step(0, 0).Attempts == pairTries || r.Step(1, 0).Attempts == pairTries)
}
