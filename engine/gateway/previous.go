package gateway

import (
	"slices"
	"time"

	"quorate/engine"
	"quorate/nodeagent/wire"
)

// withheldLook is how often what is withheld is looked at where nothing else happens.
const withheldLook = time.Second

// due returns those of the attempts that are to be sent now, ascending, with those that
// were withheld before. An agent of the previous protocol is not told that a run fails
// fast, and would start behind a failure what waits for a place there; so it is sent such
// an attempt once that has its place on record.
func (s *session) due(state *engine.State, open, fresh []uint64) []uint64 {
	if s.conn.protocol() > wire.Previous {
		return fresh
	}
	all := slices.Concat(s.withheld, fresh)
	slices.Sort(all)
	s.withheld = nil
	var now []uint64
	for _, id := range slices.Compact(all) {
		if _, there := slices.BinarySearch(open, id); !there {
			continue
		}
		if run := state.Run(state.Attempts[id].Run); run.FailFast && state.InLine(id) {
			s.withheld = append(s.withheld, id)
		} else {
			now = append(now, id)
		}
	}
	return now
}
