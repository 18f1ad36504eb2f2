package model

import (
	"quorate/eventlog"
	"quorate/nodeagent/journal"
)

// A fault is something that goes wrong, or that somebody does. Each may happen as
// often as the configuration says.
type fault uint8

const (
	agentDies      fault = iota // and starts again; its jobs run on
	machineReboots              // the journal's tail may be lost
	jobDies                     // killed by somebody, leaving no exit status
	linkBreaks                  // the gateway, or the way to it, is gone
	proposalsLost               // an orchestrator dies with what it had not committed
	leaderChanges               // the one before may go on sending
	runCancelled                //
	stepResolved                // an operator speaks
	attemptGivenUp              // an operator gives up on the agent
	diskWiped                   // another journal takes its place
	diskCopied                  // without consequence by itself
	diskPutBack                 // to the copy
	helloDelayed                // read by its gateway when the agent has gone elsewhere
	faults
)

var faultNames = [faults]string{
	"the agent dies", "the machine reboots", "the job is killed", "the link breaks", "proposals are lost", "the leader changes",
	"the run is cancelled", "an operator resolves", "an operator gives up", "the disk is wiped", "the disk is copied", "the disk is put back",
	"a hello is delayed",
}

// nextFault is all that does not have to happen.
func (m *machine) nextFault(s state, f *folded, out emit) {
	happen := func(x fault, ok bool, do func(t *state) bool) {
		if !ok || !m.left(&s, x) {
			return
		}
		t := s.use(x)
		if do(&t) {
			m.settle(&t)
			out(t, faultNames[x], true)
		}
	}
	propose := func(x fault, ok bool, e func() eventlog.Event) {
		happen(x, ok, func(t *state) (changed bool) {
			*t, changed = m.fold(*t, e())
			return changed
		})
	}
	newest := firstAttempt + uint64(f.attempts) - 1
	propose(leaderChanges, true, func() eventlog.Event { return &eventlog.LeaderEstablished{Replica: 2} })
	propose(runCancelled, !f.ended, func() eventlog.Event { return &eventlog.RunCancelled{Run: 1} })
	propose(attemptGivenUp, f.open, func() eventlog.Event {
		return &eventlog.AttemptEnded{Attempt: newest, Outcome: eventlog.Unknown, By: "operator"}
	})
	for _, as := range []string{"retry", "succeeded"} {
		happen(stepResolved, f.waiting, func(t *state) (changed bool) {
			*t, changed = m.fold(*t, &eventlog.StepResolved{Attempt: newest, As: as})
			t.retries++
			return changed
		})
	}
	happen(agentDies, true, func(t *state) bool { m.restart(t); return true })
	happen(linkBreaks, s.flags&connected != 0, func(t *state) bool { m.disconnect(t); return true })
	happen(proposalsLost, len(m.js.listed[s.pending]) > 0, func(t *state) bool {
		t.pending = m.js.list(nil)
		m.disconnect(t)
		return true
	})
	happen(helloDelayed, s.flags&connected == 0 && s.hello == 0, func(t *state) bool { t.hello = 1 + m.journal(t); return true })
	for i := range attemptsMax {
		happen(jobDies, s.proc(i) == alive, func(t *state) bool { t.procs[i] = lost | t.procs[i]&own; return true })
	}
	m.nextDisk(s, happen)
}

func (m *machine) nextDisk(s state, happen func(fault, bool, func(*state) bool)) {
	tail := m.js.listed[s.disk]
	for n := range tail {
		happen(machineReboots, true, func(t *state) bool {
			t.boot++
			t.procs = [attemptsMax]uint8{}
			t.disk = m.js.list(tail[:n+1])
			m.restart(t)
			return true
		})
	}
	happen(diskWiped, s.flags&wiped == 0, func(t *state) bool {
		t.flags |= wiped
		t.procs = [attemptsMax]uint8{}
		t.boot++
		t.disk = m.js.list([]uint16{m.js.intern(journal.NewState("j2"))})
		m.restart(t)
		return true
	})
	happen(diskCopied, s.copy == 0, func(t *state) bool { t.copy = 1 + m.journal(t); return true })
	happen(diskPutBack, s.copy != 0 && s.flags&wiped == 0 && m.heard(&s), func(t *state) bool {
		t.boot++
		t.disk = m.js.list([]uint16{t.copy - 1})
		t.procs = [attemptsMax]uint8{}
		m.restart(t)
		return true
	})
}

// heard reports whether the log knows of each attempt that the copy of the disk
// does not: nothing can tell that an attempt was begun of which nobody has heard.
func (m *machine) heard(s *state) bool {
	f := &m.cl.folded[s.orch]
	now, then := m.js.all[m.journal(s)], m.js.all[s.copy-1]
	for i := range attemptsMax {
		if now.tries[i].phase != 0 && then.tries[i].phase == 0 && !f.began[i] && f.outcome[i] == 0 {
			return false
		}
	}
	return true
}
