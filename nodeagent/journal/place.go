package journal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An attempt starts when what it waits for has ended as it has to, and then only while
// fewer attempts of its run are under way on the host than its dispatch allows. It
// takes a place from its first job on; one that finds a place free when it comes takes
// that at once. One that waits for other hosts gives its place on and never needs one
// again: those it waits for may have to start here first.
//
// Whose turn it is follows from the records like all the rest, so that no place is ever
// promised: where one that comes first can start after all, another one that was about
// to waits on.

// StepName names a step among all of the cluster, see [Work].
func StepName(run uint64, task, host string) string { return fmt.Sprintf("%d %q %q", run, task, host) }

// ParseStepName takes a name apart that [StepName] made, and fails on any other.
func ParseStepName(name string) (run uint64, task, host string, err error) {
	if _, err = fmt.Sscanf(name, "%d %q %q", &run, &task, &host); err != nil {
		err = fmt.Errorf("step %s: %w", name, err)
	}
	return run, task, host, err
}

// A poolKey names the steps of a run on one host. An agent serves a host, and the steps
// for the controller perhaps, which are counted by themselves.
type poolKey struct{ run, host string }

// poolOf is what a step's name has in common with others of its run and host.
func poolOf(step string) (k poolKey) {
	k.run, _, _ = strings.Cut(step, " ")
	if i := strings.LastIndex(step, `" "`); i >= 0 {
		k.host = step[i:]
	}
	return k
}

// A pool is what the attempts of a run on a host have to do with places.
type pool struct {
	// under counts those that take a place, and stuck those of them that cannot have
	// ended without a record.
	under, stuck int
	// line are those that wait for nothing but a place, the next one first.
	line []uint64
}

// Yielded says that the attempt has given its place on, since it waits for other
// hosts, where the record of what it published then is not kept.
type Yielded struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
}

// Kind implements Record.
func (*Yielded) Kind() Kind { return KindYielded }

func (s *State) applyYielded(attempt uint64) error {
	return s.withOpen(attempt, func(a *Attempt) { s.yielded[a.ID] = true })
}

// turn orders those that wait for a place: first what goes on behind one that was
// under way here, in whose stead it comes, and then by number.
func (s *State) turn(a, b uint64) int {
	if x, y := s.waits[a].heir, s.waits[b].heir; x != y {
		if x {
			return -1
		}
		return 1
	}
	return cmp.Compare(a, b)
}

// queues reports whether the attempt waits for a place, and none is free for it.
func (s *State) queues(id uint64) bool {
	at := s.placeOf(id)
	if !at.inLine {
		return false
	}
	p := s.index.pools[at.pool]
	before, _ := slices.BinarySearchFunc(p.line, id, s.turn)
	return p.under+before >= int(s.waits[id].places)
}

// taken reports whether a dispatch of the step that needs one of so many places has to
// wait for it.
func (s *State) taken(step string, places uint32) bool {
	p := s.index.pools[poolOf(step)]
	return places > 0 && p != nil && p.under+len(p.line) >= int(places)
}

// occupied reports whether all places of the attempt's pool are taken by attempts that
// cannot have ended without a record, so that it cannot have started without one.
func (s *State) occupied(a *Attempt, places uint32) bool {
	p := s.index.pools[poolOf(a.Step)]
	return places > 0 && p != nil && p.stuck >= int(places)
}

// heldUp are the attempts of which a record that another one is over might let some
// start.
func (s *State) heldUp(by *Attempt) []uint64 {
	ids := slices.Clone(s.behind[by.ID])
	for id, w := range s.waits {
		a := s.attempts[id]
		if w.places > 0 && a != nil && a.Phase == Intent && poolOf(a.Step) == poolOf(by.Step) {
			ids = append(ids, id)
		}
	}
	return ids
}

// heldByRestart is heldUp of an attempt whose job wants the machine to be restarted.
func (s *State) heldByRestart(attempt uint64) []uint64 {
	if a := s.attempts[attempt]; a != nil && a.RestartUnder != "" {
		return s.heldUp(a)
	}
	return nil
}

// movePool keeps the pool right about an attempt that has been moved.
func (s *State) movePool(id uint64, from, to place) {
	key := cmp.Or(to.pool, from.pool)
	if key.run == "" || from == to {
		return
	}
	p := s.index.pools[key]
	if p == nil {
		p = &pool{}
		s.index.pools[key] = p
	}
	p.under += count(to.under) - count(from.under)
	p.stuck += count(to.stuck) - count(from.stuck)
	if from.inLine != to.inLine {
		at, _ := slices.BinarySearchFunc(p.line, id, s.turn)
		switch {
		case to.inLine:
			p.line = slices.Insert(p.line, at, id)
		case len(p.line) == 1:
			p.line = nil
		case at == 0:
			p.line = p.line[1:]
		default:
			p.line = slices.Delete(p.line, at, at+1)
		}
	}
	if p.under == 0 && len(p.line) == 0 {
		delete(s.index.pools, key)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// nextInLine are the attempts that have waited for a place and may start.
func (s *State) nextInLine() (ids []uint64) {
	for _, p := range s.index.pools {
		for i, id := range p.line {
			if p.under+i >= int(s.waits[id].places) {
				break
			}
			ids = append(ids, id)
		}
	}
	return ids
}
