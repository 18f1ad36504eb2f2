package nodeagent

import (
	"errors"

	"quorate/nodeagent/journal"
)

// onward does what follows from the end of an attempt for those that wait here: it
// gives back what will never start, has the journal let the next ones start before
// they are waited for, and returns those that may start now.
func (a *agent) onward() (ready []uint64) {
	var stranded []uint64
	low := false
	a.journal.View(func(s *journal.State) {
		if a.held(s) {
			return // what is under way goes on when a connection has told, or none is to be had
		}
		stranded, ready = s.Stranded(), s.Runnable()
		low = len(s.Ahead()) > 0
	})
	if len(stranded) > 0 {
		err := a.journal.Commit(func(s *journal.State, add func(journal.Record)) error {
			for _, id := range s.Stranded() {
				add(s.GiveBack(id))
			}
			return nil
		})
		if err != nil {
			a.chainBroken(err)
			return nil
		}
		a.notify(true)
		a.provisions.look()
	}
	if low && a.extending.CompareAndSwap(false, true) {
		a.jobs.Go(func() {
			defer a.extending.Store(false)
			a.chainBroken(a.journal.Commit(func(s *journal.State, add func(journal.Record)) error {
				for _, r := range s.Ahead() {
					add(r)
				}
				return nil
			}))
		})
	}
	return ready
}

func (a *agent) startAll(ids []uint64) {
	for _, id := range ids {
		a.start(id)
	}
}

func (a *agent) chainBroken(err error) {
	if err != nil && !errors.Is(err, journal.ErrEnded) {
		a.broken(err)
	}
}
