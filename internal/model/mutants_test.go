package model

import (
	"quorate/eventlog"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// A mutant is a bug put into the wiring around the real functions. The exploration
// has to find each.
type mutant string

const (
	sound           mutant = ""
	notSynced       mutant = "execute before the journal is synced"
	rerun           mutant = "rerun after restart"
	dropNoFloor     mutant = "drop journal entries without the floor"
	noTombstone     mutant = "cancel without a tombstone"
	noSuperseding   mutant = "successor without superseding"
	guessNotStarted mutant = "guess not started"
	retryOnTimeout  mutant = "retry on timeout"
	leaveChildren   mutant = "leave children running after a restart"
	noJournalID     mutant = "no journal id"
	ackTooEarly     mutant = "acknowledge before commit"
	begunUnnumbered mutant = "begun without a number"
	oldConnections  mutant = "reports of an earlier connection count"
)

// edit changes what a journal holds behind the back of its rules.
func (m *machine) edit(s *state, f func([]journal.Record) []journal.Record) {
	tail := append([]uint16(nil), m.js.listed[s.disk]...)
	last := &tail[len(tail)-1]
	edited, _, err := journal.Replay(imageOf(f(m.js.copyOf(*last).Records())))
	if err != nil {
		panic(err)
	}
	*last = m.js.intern(edited)
	s.disk = m.js.list(tail)
}

func (m *machine) mutateOrder(s *state, at uint16, o *order, mv move) {
	i := int(o.attempt - firstAttempt)
	switch {
	case m.mutant == noTombstone && o.kind == cancel && m.js.all[at].tries[i].phase == 0 && len(mv.to) > 0:
		m.edit(s, func(records []journal.Record) (out []journal.Record) {
			for _, r := range records {
				if k, ok := r.(*journal.Kept); !ok || k.Attempt.ID != o.attempt {
					out = append(out, r)
				}
			}
			return out
		})
	case m.mutant == dropNoFloor && o.kind == ack:
		m.edit(s, func(records []journal.Record) (out []journal.Record) {
			sum := *records[0].(*journal.Summary)
			sum.Floor = 0
			out = append(out, &sum)
			for _, r := range records[1:] {
				if k, ok := r.(*journal.Kept); !ok || k.Attempt.Phase == journal.Intent || k.Attempt.EndSeq > sum.Acked {
					out = append(out, r)
				}
			}
			return out
		})
	case m.mutant == begunUnnumbered && mv.start:
		m.edit(s, func(records []journal.Record) (out []journal.Record) {
			for _, r := range records {
				if sum, ok := r.(*journal.Summary); ok {
					c := *sum
					r, c.Seq = &c, c.Seq-1
				}
				if k, ok := r.(*journal.KeptReport); !ok || !k.Report.Began {
					out = append(out, r)
				}
			}
			return out
		})
		t, _ := m.fold(*s, &eventlog.AttemptBegan{Attempt: o.attempt})
		*s = t
	}
}

func (m *machine) mutateRestart(s *state) {
	for i, a := range m.js.all[m.journal(s)].tries {
		if a.phase != journal.Intent || !a.running {
			continue
		}
		job := m.cl.folded[s.orch].fromJob[i] + uint32(a.ended)
		switch m.mutant {
		case rerun:
			s.procs[i] = 0
		case leaveChildren:
			m.endJob(s, i, job, journal.OutcomeUnknown)
			m.endTry(s, i, journal.OutcomeUnknown)
		case guessNotStarted:
			s.procs[i] = 0
			m.endJob(s, i, job, journal.OutcomeNotStarted)
			m.endTry(s, i, journal.OutcomeNotStarted)
		}
	}
}

func (m *machine) eventOf(r *wire.Report) eventlog.Event { return eventOf(r) }
