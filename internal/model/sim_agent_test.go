package model

import (
	"errors"
	"fmt"
	"slices"

	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// A disk holds the journal's file, and how much of it is certain to survive the
// machine.
type disk struct {
	data   []byte
	synced int
}

// A proc is a job's process. It outlives the agent.
type proc struct {
	attempt uint64
	job     uint32
	state   uint8 // as in the exploration
	own     bool  // started by the agent that runs
	failed  bool  // its exit status
	told    bool  // the agent that runs has published what it left
}

// agent is one machine with the agent on it.
type agent struct {
	w    *sim
	at   int // position, which stays when the host is enrolled anew
	id   uint64
	name string

	disk    disk
	copy    *disk
	state   *journal.State
	boot    int
	session *session
	greeted bool
	atSite  bool // comes through the site's relay
	alone   bool // goes on without having heard from the cluster since the machine restarted
	sentSeq uint64
	procs   []*proc
	killing map[uint64]bool
	// untold are attempts that are on record as not started, and that it has done alone.
	untold map[uint64]bool
	// published is the value that its journal has published last.
	published []byte
}

func (a *agent) format(journalID string) {
	a.disk = disk{}
	a.disk.data = imageOf(journal.NewState(journalID).Records())
	a.disk.synced = len(a.disk.data)
	a.copy, a.published = nil, nil
	a.start()
}

// start is the agent's start: it reads its file, cuts off what a crash has torn,
// and goes on.
func (a *agent) start() {
	if a.session != nil {
		a.session.end()
	}
	a.greeted, a.alone, a.killing = false, false, map[uint64]bool{}
	s, valid, err := journal.Replay(a.disk.data)
	if err != nil {
		a.w.fail("%s: %v", a.name, err)
		return
	}
	a.disk.data = a.disk.data[:valid]
	a.disk.synced = int(valid)
	a.state = s
	for _, p := range a.procs {
		p.own, p.told = false, false
	}
	d := s.Boot(fmt.Sprint("boot ", a.boot))
	a.write(d.Records...)
	a.sync()
}

func (a *agent) write(records ...journal.Record) {
	for _, r := range records {
		// A small window, so that jobs lie outside of it.
		switch r := r.(type) {
		case *journal.Intended:
			r.Window = min(r.Window, 2)
		case *journal.AttemptEnded:
			_, known := a.w.ends[r.Report.Attempt]
			forgets := known && a.w.touched[a.at] && r.Report.Outcome == journal.OutcomeUnknown
			if a.name != "" && !forgets { // it is not tried out what would become of a disk
				a.w.ends[r.Report.Attempt] = r.Report.Outcome
			}
		}
		b, err := journal.AppendFrame(a.disk.data, r, int64(a.disk.synced))
		if err == nil {
			err = a.state.Apply(r)
		}
		if err != nil {
			a.w.fail("%s: %v", a.name, err)
			return
		}
		a.disk.data = b
	}
}

func (a *agent) sync() { a.disk.synced = len(a.disk.data) }

// reboot takes the machine down: processes go, and a tail of the file that was not
// synced, in the middle of a record perhaps.
func (a *agent) reboot() {
	a.rest()
	a.boot++
	a.procs = nil
	if n := len(a.disk.data) - a.disk.synced; n > 0 {
		a.disk.data = a.disk.data[:a.disk.synced+a.w.rng.IntN(n+1)]
	}
	a.start()
}

// rest is an agent that ends in order, perhaps, before its process or machine does.
func (a *agent) rest() {
	if a.w.rng.IntN(2) == 0 {
		a.stop()
	}
}

func (a *agent) stop() {
	a.write(&journal.Stopped{})
	a.sync()
	a.w.seen["stops in order"]++
}

func (a *agent) hello() wire.Hello {
	return wire.Hello{
		JournalID: a.state.JournalID, JournalSeq: a.state.ShownSeq(), BootID: a.state.BootID,
		Attempts: a.state.Attempts(), Forbidden: a.state.Forbidden(), Unstarted: a.state.Unstarted(), Acked: a.state.Acked, Floor: a.state.Floor,
	}
}

// outcast is what an agent does that the cluster has given up: it ends what runs.
func (a *agent) outcast() {
	for _, p := range a.procs {
		if p.state == alive {
			p.state = lost
		}
	}
}

// take handles one message of the session, mostly in the order in which they came.
func (a *agent) take() {
	s := a.session
	if s == nil || len(s.toAgent) == 0 {
		return
	}
	i := 0
	if a.w.faults && a.greeted && a.w.rng.IntN(4) == 0 {
		i = a.w.rng.IntN(len(s.toAgent))
	}
	m := s.toAgent[i]
	if _, first := m.(*wire.Welcome); first || !a.w.faults || a.w.rng.IntN(8) > 0 {
		s.toAgent = slices.Delete(s.toAgent, i, i+1)
	}
	here := journal.Here{ClusterID: clusterID, Session: s.nonce}
	var d journal.Decision
	var err error
	switch m := m.(type) {
	case *wire.Welcome:
		if d, err = a.state.Welcome(m); err == nil {
			a.greeted, a.sentSeq = true, m.Acked
			a.write(d.Records...)
			a.sync()
			return
		}
	case *wire.Dispatch:
		var w journal.Work
		if step, err := wire.DecodeStep(m.Spec); err == nil {
			w = journal.Work{Jobs: uint32(len(step.Jobs)), KeepGoing: step.KeepGoing, Step: journal.StepName(step.Run, step.Task, step.Host)}
		}
		d = a.state.Dispatch(here, m, w)
	case *wire.Cancel:
		d = a.state.Cancel(here, m)
	case *wire.Ended:
		d = a.state.Ended(here, m)
	case *wire.Ack:
		d, err = a.state.Ack(m)
	}
	if err != nil {
		if errors.Is(err, journal.ErrRolledBack) && a.at >= 0 && !a.w.touched[a.at] {
			a.w.fail("%s: a sound journal is taken for an old one: %v", a.name, err)
		}
		s.end()
		return
	}
	a.write(d.Records...)
	if d.Durable() {
		a.sync()
	}
	for _, e := range d.Effects {
		switch e.Action {
		case journal.Kill:
			a.killing[e.Attempt] = true
		case journal.Reply:
			s.replies = append(s.replies, e.Reply)
		}
	}
}

// report sends what the cluster does not have yet.
func (a *agent) report() {
	if a.session == nil || !a.greeted || a.session.stage != serving {
		return
	}
	for _, r := range a.state.ReportsAfter(a.sentSeq, 1<<20) {
		a.session.toGateway = append(a.session.toGateway, r)
		a.sentSeq = r.Seq
	}
}

func (a *agent) proc(attempt uint64, job uint32) *proc {
	for _, p := range a.procs {
		if p.attempt == attempt && p.job == job {
			return p
		}
	}
	return nil
}

// work lets one of the agent's attempts get on by a step.
func (a *agent) work() {
	if !a.state.Certain() && !a.alone {
		if !a.w.faults || a.session != nil || a.w.rng.IntN(4) > 0 {
			return
		}
		a.alone = true
	}
	if ids := a.state.Stranded(); len(ids) > 0 {
		for range 1 + a.w.rng.IntN(len(ids)) {
			a.write(a.state.GiveBack(a.state.Stranded()[0]))
		}
		a.sync()
		return
	}
	if records := a.state.Ahead(); len(records) > 0 && a.w.rng.IntN(3) == 0 {
		a.write(records...)
		a.sync()
	}
	open := slices.DeleteFunc(a.state.Open(), a.state.Waits)
	if len(open) == 0 {
		return
	}
	id := open[a.w.rng.IntN(len(open))]
	at, _ := a.state.Attempt(id)
	step, err := wire.DecodeStep(at.Spec)
	if err != nil {
		a.w.fail("%s: %v", a.name, err)
		return
	}
	if at.Running {
		a.workOn(at, step)
		return
	}
	last := at.Ended >= at.Jobs
	switch {
	case at.Lost:
		a.end(id, journal.OutcomeUnknown)
	case at.Cancelled:
		a.end(id, journal.OutcomeCancelled)
	case at.Failed && (last || !at.KeepGoing):
		a.end(id, journal.OutcomeFailed)
	case last:
		a.end(id, journal.OutcomeSucceeded)
	case a.killing[id] && at.Ended > 0:
		a.end(id, journal.OutcomeCancelled)
	case at.Ended >= at.Window:
		if rec, ok := a.state.Extend(id); ok {
			rec.Window = min(rec.Window, at.Window+2)
			a.write(rec)
			a.sync()
		}
	default:
		a.append(a.state.StartJob(id, at.Ended, 0))
	}
}

func (a *agent) workOn(at *journal.Attempt, step *wire.Step) {
	job, verb := step.Jobs[at.Ended].Index, step.Jobs[at.Ended].Verb
	p := a.proc(at.ID, job)
	switch {
	case step.Check:
		a.checkOn(at, step, job)
	case verb == verbReboot:
		a.restart(at, job, p)
	case a.killing[at.ID] && (p == nil || p.state == alive):
		a.remove(p)
		a.ended(at.ID, job, journal.OutcomeCancelled)
	case p == nil:
		a.spawn(at.ID, step, job)
	case verb == verbQuery && !p.told && p.state == alive:
		p.told = true
		a.publish(at.ID, job, true)
	case p.state == alive:
		p.state = exited
		p.failed = a.w.fails(step, job)
	case p.state == exited && p.failed:
		a.remove(p)
		a.ended(at.ID, job, journal.OutcomeFailed)
	case p.state == exited && verb == verbPublish && !p.told:
		p.told = true
		a.publish(at.ID, job, false)
	case p.state == exited:
		a.remove(p)
		a.ended(at.ID, job, journal.OutcomeSucceeded)
	case p.own:
		a.remove(p)
		a.ended(at.ID, job, journal.OutcomeFailed)
	default:
		a.remove(p)
		a.ended(at.ID, job, journal.OutcomeUnknown)
	}
}

func (a *agent) remove(p *proc) {
	a.procs = slices.DeleteFunc(a.procs, func(q *proc) bool { return q == p })
}

func (a *agent) append(r journal.Record, err error) {
	if err != nil {
		a.w.fail("%s: %v", a.name, err)
		return
	}
	a.write(r)
}

// ended journals the end of a job, and the attempt's with it where that is the last.
func (a *agent) ended(id uint64, job uint32, outcome uint8) {
	a.append(a.state.EndJob(wire.Report{Attempt: id, Job: job, Outcome: outcome, Changed: job%2 == 0, Exit: -1}))
	at, _ := a.state.Attempt(id)
	switch {
	case at.Lost:
		a.end(id, journal.OutcomeUnknown)
	case at.Cancelled:
		a.end(id, journal.OutcomeCancelled)
	case at.Failed && (at.Ended == at.Jobs || !at.KeepGoing):
		a.end(id, journal.OutcomeFailed)
	case at.Ended == at.Jobs:
		a.end(id, journal.OutcomeSucceeded)
	}
}

func (a *agent) end(id uint64, outcome uint8) { a.append(a.state.End(id, outcome, "", nil)) }

// spawn is the moment of the effect.
func (a *agent) spawn(id uint64, step *wire.Step, job uint32) {
	a.procs = append(a.procs, &proc{attempt: id, job: job, state: alive, own: true})
	a.w.effect(a, id, job)
}
