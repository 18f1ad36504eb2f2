package model

import (
	"fmt"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/journal"
)

// disks wipes a disk, copies it, or puts a copy back.
func (w *sim) disks(a *agent) {
	switch n := w.rng.IntN(6); {
	case n == 0:
		w.seen["wiped disks"]++
		a.silence()
		w.touched[a.at] = true
		a.procs = nil
		a.boot++
		a.format(fmt.Sprint("fresh ", a.boot))
	case n < 4:
		a.copyDisk()
	case a.copy != nil && w.heard(a) && !w.recovers: // who would know that both log and journal are old?
		a.putBack()
	}
}

func (a *agent) copyDisk() { a.copy = &disk{slices.Clone(a.disk.data), a.disk.synced} }

func (a *agent) putBack() {
	a.w.seen["disks put back"]++
	a.silence()
	a.w.touched[a.at] = true
	a.procs = nil
	a.boot++
	a.disk = disk{slices.Clone(a.copy.data), len(a.copy.data)}
	a.start()
}

// backup is a machine that is shut down in order while something waits there, copied, and
// put back to that when it was given back, since its run was cancelled. Then it goes on
// alone for a while.
func (w *sim) backup(a *agent) {
	waiting := slices.DeleteFunc(a.state.Open(), func(id uint64) bool { return !a.state.Waits(id) })
	var held []uint64
	if a.copy != nil {
		held = w.openOn(a.copy)
	}
	switch {
	case w.truth.Agents[a.id].JournalSeq < a.state.Seq: // there is more to be heard
	case len(w.truth.Disproved(w.truth.Agents[a.id], held, nil)) > 0 && w.heard(a):
		a.putBack()
		a.copy = nil
		a.alone = !a.state.Certain()
		for range w.rng.IntN(60) {
			a.work()
		}
	case slices.ContainsFunc(held, func(id uint64) bool { return w.truth.Attempts[id] != nil && w.truth.Attempts[id].Outcome == 0 }):
	case len(waiting) > 0 && w.truth.Attempts[waiting[0]] != nil:
		a.stop()
		a.copyDisk()
		a.start()
		w.ask(&eventlog.RunCancelled{Run: w.truth.Attempts[waiting[0]].Run, RequestID: w.requestID()})
	}
}

// openOn are the attempts that are open on the disk.
func (w *sim) openOn(d *disk) []uint64 {
	c := &agent{w: w, disk: disk{slices.Clone(d.data), len(d.data)}}
	c.start()
	return c.state.Open()
}

// silence is the loss of a disk that tells what was done alone.
func (a *agent) silence() {
	for id := range a.untold {
		if a.w.truth.Attempts[id].Outcome == eventlog.NotStarted {
			a.w.seen["words of old disks lost"]++
			a.w.silenced[id] = true
		}
	}
	clear(a.untold)
}

// heard reports whether the log knows what began since the disk was copied. Nothing
// can tell that something was begun of which nobody has heard.
func (w *sim) heard(a *agent) bool {
	c := &agent{w: w, boot: a.boot + 1, disk: disk{slices.Clone(a.copy.data), len(a.copy.data)}}
	c.start()
	if w.truth.Agents[a.id].JournalSeq > c.state.ShownSeq() {
		return true // by the numbers alone
	}
	for _, id := range a.state.Attempts() {
		now, _ := a.state.Attempt(id)
		then, held := c.state.Attempt(id)
		at := w.truth.Attempts[id]
		if at == nil {
			return false
		}
		open := at.Outcome == 0 || at.Outcome == eventlog.Unknown // its agent has said no end of it
		switch {
		case !held && !at.Began && at.Outcome == 0:
			return false
		case held && now.Window > then.Window && open:
			return false
		case held && then.RestartUnder != "" && then.RestartUnder != now.RestartUnder && open && ends(at) <= then.Ended:
			return false // it went on behind a restart
		case held && then.Phase == journal.Intent && open && ends(at) <= then.Ended && (now.Phase != journal.Intent || now.Running || now.Ended > then.Ended):
			return false // it went on behind a stop
		}
	}
	return true
}

// ends counts the jobs of an attempt whose end is on record.
func ends(at *engine.Attempt) (n uint32) {
	for range at.Jobs.All() {
		n++
	}
	return n
}
