package journal

import (
	"fmt"

	"quorate/nodeagent/wire"
)

// An attempt may wait here that the cluster has settled without a word from this agent.
// What it waits for elsewhere may never be told of then: nobody wants to know any more.
// It is given back, so that it neither stands in the way of its step's next attempt nor
// starts one day.

// giveWay gives an attempt back that waits while a newer one of its step has come.
func (s *State) giveWay(d *Decision, attempt, to uint64) {
	if s.Waits(attempt) {
		d.Records = append(d.Records, &Forbidden{Report: notStarted(s.Seq+1, attempt, supersededReason(to))})
		d.effect(Kill, attempt)
	}
	d.reply(to, wire.StatusBusy, fmt.Sprintf("attempt %d has not ended", attempt))
}

// overdue returns the attempts up to the floor that wait for others elsewhere.
func (s *State) overdue(floor uint64) (ids []uint64) {
	for before := range s.elsewhere {
		for _, id := range s.behind[before] {
			if id <= floor && s.isOpen(id) && !s.waits[id].stranded {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// strandOverdue has those be given back.
func (s *State) strandOverdue() {
	for _, id := range s.overdue(s.Floor) {
		from := s.placeOf(id)
		s.waits[id].stranded = true
		s.move(id, from)
	}
}
