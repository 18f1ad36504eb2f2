package orchestrator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

const (
	// vigilEvery is how often the leader asks the gateways of connected agents
	// whether they are there, vigilAgain how often while one of them is not, and
	// vigilRounds how many times in a row one has to say nothing before its agents
	// count as disconnected. Rounds and not time: a leader that slept has missed one
	// of them. Every question costs a handshake, of which an idle cluster has few.
	vigilEvery  = 4 * time.Second
	vigilAgain  = 2 * time.Second
	vigilRounds = 5
	// absentEventsMax bounds the events of one append.
	absentEventsMax = 512
)

// A vigil is what the leader knows of the other members as gateways.
type vigil struct {
	silent map[uint64]int    // rounds without an answer, by member
	newest map[uint64]uint64 // the connection that a member put on record last
	// absent are those whose sessions were ended, until they answer: agents that reach
	// a member which only this one does not are disturbed once.
	absent map[uint64]bool
}

// keepVigil ends, on record, the sessions at members that do not answer, while this
// replica leads. Their agents mostly have gone elsewhere, which says the same; those
// that could not would be taken for connected until somebody serves them again. A
// member that is there after all finds its sessions ended, and its agents connect
// once more.
func (o *Orchestrator) keepVigil(ctx context.Context) {
	if _, ok := o.cfg.Peers.(reacher); !ok {
		return
	}
	v := &vigil{silent: map[uint64]int{}, newest: map[uint64]uint64{}, absent: map[uint64]bool{}}
	for pause := vigilAgain; wait(ctx, pause, nil); {
		pause = vigilEvery
		newest, deserted := o.newestConnections()
		asked := v.watched(newest, deserted)
		if len(asked) == 0 {
			continue
		}
		there := o.reachable(ctx, asked)
		if ctx.Err() != nil {
			return
		}
		if len(there) < len(asked) {
			pause = vigilAgain
		}
		for _, member := range v.look(asked, there, newest) {
			if newest[member] == 0 && !slices.Contains(deserted, member) {
				continue // nobody has missed it
			}
			if o.endSessions(ctx, member) {
				v.absent[member] = true
			}
		}
	}
}

// newestConnections returns the newest connection of an agent at each of the other
// members that holds one, and the members that agents have left of their own accord.
func (o *Orchestrator) newestConnections() (newest map[uint64]uint64, deserted []uint64) {
	newest = map[uint64]uint64{}
	o.View(func(s *engine.State) {
		for _, a := range s.Agents {
			if a.Connected && a.Gateway != o.cfg.Replica {
				newest[a.Gateway] = max(newest[a.Gateway], a.Connection)
			}
		}
		deserted = slices.DeleteFunc(s.Deserted(), func(m uint64) bool { return m == o.cfg.Replica })
	})
	return newest, deserted
}

// watched are the members to ask: those with agents, those that agents have left, and
// those that were absent.
func (v *vigil) watched(newest map[uint64]uint64, deserted []uint64) (members []uint64) {
	members = slices.AppendSeq(slices.Clone(deserted), maps.Keys(newest))
	members = slices.AppendSeq(members, maps.Keys(v.absent))
	slices.Sort(members)
	return slices.Compact(members)
}

// look counts the answers of a round and returns the members whose agents are to
// count as disconnected. A connection that a member has put on record meanwhile is
// as good as an answer.
func (v *vigil) look(asked, there []uint64, newest map[uint64]uint64) (gone []uint64) {
	for _, member := range asked {
		answered := slices.Contains(there, member)
		fresh := newest[member] > v.newest[member]
		v.newest[member] = max(newest[member], v.newest[member])
		if answered {
			delete(v.absent, member)
		}
		if answered || fresh {
			v.silent[member] = 0
			continue
		}
		if v.silent[member]++; v.silent[member] >= vigilRounds && !v.absent[member] {
			gone = append(gone, member)
		}
	}
	return gone
}

// endSessions puts on record that the agents of a member are connected no more, and,
// behind that, that it was lost: those that went elsewhere before are excused. It reports
// whether that is done; what is not is tried again in the next round.
func (o *Orchestrator) endSessions(ctx context.Context, member uint64) bool {
	var events []eventlog.Event
	reason := fmt.Sprintf("orchestrator %d does not answer", member)
	o.View(func(s *engine.State) {
		for _, id := range slices.Sorted(maps.Keys(s.Agents)) {
			if a := s.Agents[id]; a.Connected && a.Gateway == member {
				events = append(events, &eventlog.AgentDisconnected{
					Agent: id, Session: a.Session, Reason: reason, Blameless: true,
				})
			}
		}
	})
	o.logger.Warn("an orchestrator does not answer; its agents count as disconnected", "replica", member, "agents", len(events))
	events = append(events, &eventlog.GatewayLost{Gateway: member, Reason: reason})
	for part := range slices.Chunk(events, absentEventsMax) {
		if _, _, err := o.Propose(ctx, part...); err != nil {
			if ctx.Err() == nil {
				o.logger.Warn("disconnects were not recorded; trying again", "events", len(part), "error", err)
			}
			return false
		}
	}
	return true
}
