package journal

import "slices"

// What an agent may do whose host has restarted, before a connection has told it what
// the cluster knows.
//
// Nothing of an attempt that is open after [State.Boot] can have happened that the
// records do not tell, provided that the disk is the one that the machine went down
// with. So the agent may go on with it alone. Should the disk be an earlier copy after
// all, then what it does is done a second time, and the next connection finds that out:
// either the cluster knows of more than the journal can ever have sent, or of more than
// it holds. For that the numbers by which it introduces itself stay those of the boot,
// however many reports are made alone.

// doubtReason is why an attempt is unknown whose jobs may have run twice.
const doubtReason = "the host has restarted, the agent went on without a connection, and the cluster has heard more of it than its journal held: it may have run twice"

// Stopped is the last record of an agent that ended in order: nothing has started,
// and nothing was reported, behind it. It says so only to another boot of the machine:
// whoever goes on under the same one takes it back by a [Booted] first, since the
// records that follow are not synced.
type Stopped struct {
	_msgpack struct{} `msgpack:",as_array"`
}

// Doubted says that jobs of the attempt, which the agent ran alone after the machine
// had restarted, may have run before: the cluster had heard more than the journal
// held. Their outcome, and the attempt's, is unknown.
type Doubted struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
}

// Kind implements Record.
func (*Stopped) Kind() Kind { return KindStopped }

// Kind implements Record.
func (*Doubted) Kind() Kind { return KindDoubted }

// applyBooted works out how far the numbers of reports can have got that were
// sent before the machine went down: every report belongs to a job of a synced
// window or is the end of a synced intent. Behind a stop there are none.
func (s *State) applyBooted(r *Booted) {
	stopped := s.stopped
	s.stopped = false
	if s.BootID == r.BootID {
		return
	}
	if s.BootID != "" && s.FreshFrom == 0 {
		bound, open := s.Seq, false
		for _, a := range s.attempts {
			if a.Phase != Intent {
				continue
			}
			open = true
			if !stopped {
				bound += uint64(min(a.Window, a.Jobs)-a.Ended) + 1
			}
		}
		if open {
			s.FreshFrom, s.SeqBound = s.Seq+1, bound
		}
	}
	s.BootID = r.BootID
}

// undisturbed reports whether nothing of the attempt can have happened that is not in
// the records when the machine went down behind a stop.
func (s *State) undisturbed(a *Attempt) bool {
	return s.stopped && !a.Lost && (!a.Running || a.RestartUnder != "")
}

// Alone returns the attempts of which jobs were started since the machine has
// restarted, ascending, while no connection has told what the cluster has.
func (s *State) Alone() (ids []uint64) {
	if s.Certain() {
		return nil
	}
	for i := range s.reports {
		if r := &s.reports[i]; s.fresh(r.Seq) && !r.Began && !r.End {
			ids = append(ids, r.Attempt)
		}
	}
	for id, a := range s.attempts {
		if a.Phase == Intent && a.Running && (a.RestartUnder == "" || a.RestartUnder == s.BootID) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// doubts are the records about what went on alone, where the cluster has reports up to
// acked.
func (s *State) doubts(acked uint64) (records []Record) {
	if acked < s.FreshFrom {
		return nil
	}
	for _, id := range s.Alone() {
		records = append(records, &Doubted{Attempt: id})
	}
	return records
}

// applyDoubted takes back what the agent is about to say of the attempt. What could
// start behind any that has ended is not to start: the cluster may have to decide first.
func (s *State) applyDoubted(r *Doubted) {
	for i := range s.reports {
		switch p := &s.reports[i]; {
		case p.Attempt != r.Attempt || !s.fresh(p.Seq) || p.Began || p.Published:
		case p.End:
			s.reportBytes -= p.Bytes()
			p.Outcome, p.Reason = OutcomeUnknown, doubtReason
			s.reportBytes += p.Bytes()
		default:
			p.Outcome = OutcomeUnknown
		}
	}
	a := s.attempts[r.Attempt]
	switch {
	case a == nil:
	case a.Phase == Intent:
		a.Lost = true
	case a.Phase == Done:
		a.Phase = Unknown
	}
	for id, w := range s.waits {
		if a := s.attempts[id]; a != nil && a.Phase == Intent && a.Ended == 0 && !a.Running && len(w.after) == 0 {
			from := s.placeOf(id)
			w.stranded = true
			s.move(id, from)
		}
	}
}
