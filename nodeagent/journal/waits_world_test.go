package journal

import (
	"fmt"

	"quorate/nodeagent/wire"
)

// follows makes the attempt wait for the newest one of the other step, which is sent
// ahead of its end.
func (w *world) follows(s *scheduled) {
	if before := w.attempts[w.byStep[1-s.step]]; before != nil && before.outcome == 0 && before.after == 0 && w.r.IntN(2) == 0 {
		s.after = before.id
	}
}

// after is what the cluster says that the attempt waits for. Where that has ended
// otherwise than it has to, the attempt is called back.
func (w *world) after(a *scheduled) []wire.Predecessor {
	before, elsewhere := w.attempts[a.after], w.afterForeign(a)
	if before == nil {
		return elsewhere
	}
	switch before.outcome {
	case OutcomeSucceeded, OutcomeFailed, OutcomeCancelled:
		return elsewhere
	case OutcomeUnknown, OutcomeNotStarted:
		a.cancel = true
	}
	return append(elsewhere, wire.Predecessor{Attempt: before.id, Any: true})
}

// inOrder is the order of what is sent ahead: what an attempt waits for has ended when
// its first job starts, as far as its agent knows or the log does.
func (w *world) inOrder(id uint64) error {
	before := w.attempts[w.attempts[id].after]
	if before == nil {
		return nil
	}
	switch before.outcome {
	case OutcomeSucceeded, OutcomeFailed, OutcomeCancelled:
		return nil
	}
	if w.ended[before.id] {
		return nil
	}
	return fmt.Errorf("attempt %d starts before %d has ended", id, before.id)
}

// inPlace is the bound of what is under way: an attempt that needs a place has one when
// its first job starts.
func (w *world) inPlace(a *Attempt) error {
	places, under := int(w.places), 0
	if places == 0 || a.Ended > 0 {
		return nil
	}
	for _, id := range w.state.Open() {
		if b := w.state.attempts[id]; b.Running || b.Ended > 0 {
			under++
		}
	}
	if under >= places {
		return fmt.Errorf("attempt %d starts while %d are under way", a.ID, under)
	}
	return nil
}

// giveBack ends what will never start.
func (w *world) giveBack() error {
	for {
		ids := w.state.Stranded()
		if len(ids) == 0 {
			return nil
		}
		if err := w.write([]Record{w.state.GiveBack(ids[0])}); err != nil {
			return err
		}
		delete(w.paused, ids[0])
	}
}

// rest is an agent that ends in order, perhaps, before it is started again or the
// machine goes down.
func (w *world) rest() error {
	if !w.up || w.r.IntN(2) == 0 {
		return nil
	}
	if err := w.write([]Record{&Stopped{}}); err != nil {
		return err
	}
	w.disk.synced = len(w.disk.records)
	return nil
}

// alone goes on without a connection, perhaps, behind a restart of the machine. On an
// old disk it would do again what is done, which is not tried here.
func (w *world) alone() {
	if w.up && !w.connected && !w.old && !w.state.Certain() && w.r.IntN(3) == 0 {
		w.resume()
	}
}

// wipe puts an empty disk into the machine.
func (w *world) wipe() error {
	w.disconnect()
	w.boot++
	w.procs = nil
	w.disk = &disk{id: "j2", records: []Record{w.beginning("j2")}, synced: 1}
	return w.start()
}

// restore puts a backup of the disk into the machine that is older than an attempt
// which the cluster knows to have begun. Where it has not heard of everything yet
// nobody can tell the backup from the disk, so that case is left out.
func (w *world) restore() error {
	known := w.committed == w.state.Seq
	var older []int
	for i, r := range w.disk.records {
		r, ok := r.(*Intended)
		if !ok {
			continue
		}
		a := w.attempts[r.Attempt]
		if known && (a.began || a.outcome != 0 || w.mut == begunWithoutNumber && w.heard[a.id]) {
			older = append(older, i)
		}
	}
	if len(older) == 0 {
		return nil
	}
	w.old = true
	w.disk.records = w.disk.records[:older[w.r.IntN(len(older))]]
	w.disk.synced = len(w.disk.records)
	w.disconnect()
	w.boot++
	w.procs = nil
	return w.start()
}
