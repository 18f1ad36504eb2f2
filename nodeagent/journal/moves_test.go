package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"quorate/nodeagent/wire"
)

// simulate makes so many moves by chance and then, without further faults, brings
// everything to its end.
func simulate(seed uint64, m mutant, moves int, finish bool) error {
	w := newWorld(rand.New(rand.NewPCG(seed, 1)), m)
	w.places, w.site = uint32(seed%2), seed%3 == 1
	if w.stepName(0) == "" {
		w.places = 0 // they go by the names of steps
	}
	for range moves {
		if err := w.move(); err != nil {
			return err
		}
		if err := w.check(); err != nil {
			return err
		}
	}
	if !finish || w.quarantined {
		return nil
	}
	return w.settle()
}

func (w *world) move() error {
	if w.site && w.r.IntN(6) == 0 {
		return w.elsewhere()
	}
	switch k := w.r.IntN(100); {
	case k < 8:
		return w.schedule()
	case k < 20:
		return w.connect()
	case k < 40:
		return w.deliver()
	case k < 48:
		return w.resendCommands()
	case k < 68:
		return w.work()
	case k < 78:
		return w.sendReports()
	case k < 88:
		return w.commit()
	case k < 90:
		return w.cancelSome()
	case k < 92:
		w.epoch++
	case k < 94:
		return w.crash()
	case k < 95:
		return w.reboot()
	case k < 96:
		w.killProcess()
	case k < 97:
		w.disconnect()
	case k < 98:
		w.disk.synced = len(w.disk.records)
	case k < 99 && w.r.IntN(5) == 0:
		if w.r.IntN(2) == 0 {
			return w.wipe()
		}
		return w.restore()
	default:
		w.giveUp()
	}
	return nil
}

// schedule commits an attempt: the first of a step, or the successor that the
// rules allow for a task that is not idempotent: after not_started, or after an
// operator decided to try what is unknown once more.
func (w *world) schedule() error {
	step := w.r.IntN(2)
	last, ok := w.attempts[w.byStep[step]]
	s := &scheduled{step: step, jobs: map[uint32]uint8{}}
	if ok {
		timeout := w.mut == retryOnTimeout && last.outcome == 0
		switch {
		case timeout:
		case last.outcome == OutcomeNotStarted:
			s.supersedes = last.id
		case last.outcome == OutcomeUnknown:
			s.supersedes = last.id
			w.retries[step]++
		default:
			return nil
		}
		s.from = last.from
		if w.mut == noSupersede {
			s.supersedes = 0
		}
	}
	w.follows(s)
	w.followsForeign(s)
	w.lastIndex++
	s.id = w.lastIndex
	w.attempts[s.id], w.byStep[step] = s, s.id
	return nil
}

func (w *world) stepName(step int) string {
	if w.mut == onlyDirect || w.mut == noSupersede {
		return "" // the journal's second line of defence
	}
	return StepName(1, fmt.Sprint(step), "h")
}

func (w *world) fence() wire.Fence {
	return wire.Fence{ClusterID: cluster, Session: w.session, JournalID: "j1", Epoch: w.epoch}
}

func (w *world) resendCommands() error {
	if !w.connected {
		return nil
	}
	for _, id := range w.openAttempts() {
		a := w.attempts[id]
		after := w.after(a)
		fence := w.fence()
		if w.r.IntN(8) == 0 && fence.Epoch > 1 {
			fence.Epoch-- // a gateway that is behind
		}
		if a.cancel {
			w.toAgent = append(w.toAgent, &wire.Cancel{Fence: fence, Attempt: id})
		} else {
			w.toAgent = append(w.toAgent, &wire.Dispatch{Fence: fence, Attempt: id, Supersedes: a.supersedes, Spec: []byte{byte(a.step)}, After: after, Places: w.places})
		}
	}
	// A stale gateway repeats what was settled since. It holds the connection, so
	// what was settled before that is no news to it.
	id := uint64(w.r.IntN(int(w.lastIndex) + 1))
	if a := w.attempts[id]; a != nil && (a.outcome == 0 || a.settledIn == w.sessions) && w.r.IntN(3) == 0 {
		w.toAgent = append(w.toAgent, &wire.Dispatch{Fence: w.fence(), Attempt: id, Supersedes: a.supersedes, Spec: []byte{byte(a.step)}, After: w.after(a), Places: w.places})
	}
	return nil
}

func (w *world) openAttempts() []uint64 {
	var ids []uint64
	for id, a := range w.attempts {
		if a.outcome == 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (w *world) connect() error {
	if !w.up || w.connected || w.quarantined {
		return nil
	}
	id := w.state.JournalID
	if w.mut != noJournalID && (id != "j1" || w.state.ShownSeq() < w.committed || w.missing()) {
		w.quarantine()
		return nil
	}
	if found, err := w.contradicted(); found && w.mut != noJournalID && w.mut != believeAnyJournal {
		w.quarantine()
		return err
	}
	d, err := w.state.Welcome(&wire.Welcome{Acked: w.committed, Floor: w.floor()})
	if errors.Is(err, ErrRolledBack) {
		if w.mut == noJournalID {
			w.committed = w.state.Seq
		} else if w.mut != executeBeforeSync && w.mut != trustNumbers {
			return fmt.Errorf("a sound journal is refused: %w", err)
		} else {
			return errors.New("a journal was refused that lost nothing but what a reboot takes")
		}
	}
	w.session = fmt.Sprint("s", w.r.Uint32())
	w.sessions++
	w.connected, w.sent = true, w.committed
	w.toAgent, w.toCluster = nil, nil
	certain := w.state.Certain()
	if err := w.write(d.Records); err != nil {
		return err
	}
	if !certain {
		w.resume()
	}
	return nil
}

// missing reports whether the journal lacks an attempt under way that is on record
// as begun.
func (w *world) missing() bool {
	for _, id := range w.openAttempts() {
		if _, held := w.state.attempts[id]; w.attempts[id].began && !held {
			return true
		}
	}
	return false
}

// floor is the attempt up to which everything is settled.
func (w *world) floor() uint64 {
	if open := w.openAttempts(); len(open) > 0 {
		return open[0] - 1
	}
	return w.lastIndex
}

func (w *world) quarantine() {
	w.quarantined = true
	for _, id := range w.openAttempts() {
		w.settleAs(id, OutcomeUnknown)
	}
}

// deliver hands a command to the agent, in any order, sometimes twice.
func (w *world) deliver() error {
	if !w.up || !w.connected || len(w.toAgent) == 0 {
		return nil
	}
	i := w.r.IntN(len(w.toAgent))
	m := w.toAgent[i]
	if w.r.IntN(4) != 0 {
		w.toAgent = slices.Delete(w.toAgent, i, i+1)
	}
	here := Here{ClusterID: cluster, Session: w.session}
	var d Decision
	switch m := m.(type) {
	case *wire.Dispatch:
		if w.mut == noJournalID {
			m.Fence.JournalID = w.state.JournalID
		}
		a := w.attempts[m.Attempt]
		if w.mut == ignorePlaces {
			m.Places = 0
		}
		d = w.state.Dispatch(here, m, Work{Step: w.stepName(a.step), Jobs: stepJobs - a.from})
	case *wire.Cancel:
		if w.mut == noJournalID {
			m.Fence.JournalID = w.state.JournalID
		}
		d = w.state.Cancel(here, m)
		w.mutateCancel(&d)
	case *wire.Ended:
		if w.mut == noJournalID {
			m.Fence.JournalID = w.state.JournalID
		}
		d = w.state.Ended(here, m)
	case *wire.Ack:
		var err error
		if d, err = w.state.Ack(m); err != nil {
			return err
		}
	}
	if err := w.write(d.Records); err != nil {
		return err
	}
	if w.mut == dropWithoutFloor {
		w.dropAll()
	}
	return w.perform(d.Effects)
}

// mutateCancel sends the result of a cancel without keeping the tombstone.
func (w *world) mutateCancel(d *Decision) {
	if w.mut != noTombstone {
		return
	}
	for _, r := range d.Records {
		if f, ok := r.(*Forbidden); ok {
			d.Records = nil
			if a := w.attempts[f.Report.Attempt]; a != nil && a.outcome == 0 {
				w.settleAs(a.id, OutcomeNotStarted)
			}
			return
		}
	}
}

// dropAll forgets acknowledged entries and lets the floor be.
func (w *world) dropAll() {
	w.state.Floor = 0
	for id, a := range w.state.attempts {
		if a.Phase != Intent && a.EndSeq <= w.state.Acked {
			delete(w.state.attempts, id)
		}
	}
}

// work lets the agent start or end a job.
func (w *world) work() error {
	w.alone()
	if !w.up || len(w.paused) == 0 {
		return nil
	}
	if err := w.giveBack(); err != nil {
		return err
	}
	ids := w.state.Open()
	ids = slices.DeleteFunc(ids, func(id uint64) bool { return !w.paused[id] || w.mut != ignoreWaits && w.state.Waits(id) })
	if len(ids) == 0 {
		return nil
	}
	id := ids[w.r.IntN(len(ids))]
	a := w.state.attempts[id]
	if a.Running {
		return w.workEnd(a)
	}
	if a.Lost {
		return w.end(id, OutcomeUnknown)
	}
	if a.Failed {
		return w.end(id, OutcomeFailed)
	}
	if a.Ended == a.Jobs {
		return w.end(id, OutcomeSucceeded)
	}
	if a.Ended >= a.Window && w.mut != windowNotSynced {
		rec, ok := w.state.Extend(id)
		if !ok {
			return errors.New("a window cannot be extended")
		}
		return w.write([]Record{rec})
	}
	if a.Ended >= a.Window {
		a.Window = a.Jobs // in memory, and not on disk
	}
	if err := w.inOrder(id); err != nil {
		return err
	}
	if err := w.inForeignOrder(id); err != nil {
		return err
	}
	if err := w.inPlace(a); err != nil {
		return err
	}
	rec, err := w.state.StartJob(id, a.Ended, 0)
	if err != nil {
		return err
	}
	if err := w.write([]Record{rec}); err != nil {
		return err
	}
	w.spawn(id, a.Ended)
	return nil
}

func (w *world) workEnd(a *Attempt) error {
	p := w.proc(a.ID, a.Ended)
	switch {
	case p == nil:
		return fmt.Errorf("job %d of attempt %d is running and has no process", a.Ended, a.ID)
	case p.killed:
		// The agent sees how its own child ended.
		if err := w.report(a.ID, a.Ended, OutcomeFailed); err != nil {
			return err
		}
		return w.end(a.ID, OutcomeFailed)
	}
	p.ended = true
	return w.report(a.ID, a.Ended, OutcomeSucceeded)
}

func (w *world) sendReports() error {
	if !w.up || !w.connected {
		return nil
	}
	for _, id := range w.state.Open() {
		w.heard[id] = true
	}
	for _, r := range w.state.ReportsAfter(w.sent, 1<<20) {
		w.toCluster = append(w.toCluster, r)
		w.sent = r.Seq
	}
	return nil
}

// commit lets the cluster commit the next report, and acknowledge.
func (w *world) commit() error {
	if len(w.toCluster) == 0 {
		return nil
	}
	r := w.toCluster[0]
	w.toCluster = w.toCluster[1:]
	lost := w.mut == ackBeforeCommit && w.r.IntN(3) == 0
	if r.Seq > w.committed+1 {
		return fmt.Errorf("report %d came before report %d", r.Seq, w.committed+1)
	}
	if r.Seq == w.committed+1 {
		w.committed = r.Seq
		if !lost {
			w.fold(&r)
		}
	}
	if w.connected {
		w.toAgent = append(w.toAgent, &wire.Ack{Seq: w.committed, Floor: w.floor()})
	}
	return nil
}

func (w *world) fold(r *wire.Report) {
	a := w.attempts[r.Attempt]
	if r.Began {
		a.began = true
		return
	}
	if !r.End {
		if a.outcome == 0 || a.outcome == OutcomeUnknown {
			a.jobs[r.Job] = r.Outcome
		}
		return
	}
	if a.outcome == 0 || a.outcome == OutcomeUnknown && w.byStep[a.step] == a.id {
		w.settleAs(a.id, r.Outcome)
		a.told = true
	}
}

func (w *world) settleAs(id uint64, outcome uint8) {
	w.attempts[id].outcome, w.attempts[id].settledIn = outcome, w.sessions
}

func (w *world) cancelSome() error {
	if open := w.openAttempts(); len(open) > 0 {
		w.attempts[open[w.r.IntN(len(open))]].cancel = true
	}
	return nil
}

// settle is invariant 6: without further faults everything ends.
func (w *world) settle() error {
	for range 400 {
		for _, f := range []func() error{w.connect, w.elsewhere, w.resendCommands, w.deliver, w.deliver, w.deliver, w.work, w.work, w.sendReports, w.commit, w.commit} {
			if err := f(); err != nil {
				return err
			}
			if err := w.check(); err != nil {
				return err
			}
		}
		if w.quarantined || len(w.openAttempts()) == 0 {
			return nil
		}
	}
	return fmt.Errorf("invariant 6: attempts %v do not end", w.openAttempts())
}
