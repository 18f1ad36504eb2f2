package model

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// A placeWorld is a machine whose agent was sent some attempts of one run, of which few
// may be under way: what is on its disk, what of that is certain, and what took effect.
type placeWorld struct {
	records []journal.Record
	synced  int
	boot    int
	effects [placeAttempts + 1]int
	waited  bool // the first one waits for other hosts, or has, or never does
}

const (
	placeAttempts = 3
	waitsForHosts = 1 // the attempt whose job waits for other hosts
	restarts      = 2 // the one that has the machine restarted
)

// placeMoves explores all that can happen to the machine.
type placeMoves struct {
	places, boots int
	waits         bool
	mutant        mutant
	seen          map[string]bool
	states        int
	broken        string
}

const ignorePlaces mutant = "start without a place"

func (w *placeWorld) key() string {
	var b strings.Builder
	for _, r := range w.records {
		data, err := journal.AppendFrame(nil, r, 0)
		if err != nil {
			panic(err)
		}
		b.Write(data)
	}
	fmt.Fprint(&b, w.synced, w.boot, w.effects, w.waited)
	return b.String()
}

func (w *placeWorld) state() *journal.State {
	s, _, err := journal.Replay(imageOf(w.records))
	if err != nil {
		panic(err)
	}
	return s
}

// with is the world behind more records, which are on disk where that is asked for.
func (w *placeWorld) with(sync bool, records ...journal.Record) *placeWorld {
	next := *w
	next.records = append(slices.Clone(w.records), records...)
	if sync {
		next.synced = len(next.records)
	}
	return &next
}

func (m *placeMoves) explore(w *placeWorld) {
	key := w.key()
	if m.seen[key] || m.broken != "" {
		return
	}
	m.seen[key] = true
	m.states++
	s := w.state()
	moved := m.dispatch(w, s)
	for _, id := range s.Open() {
		moved = m.work(w, s, id) || moved
	}
	if w.synced < len(w.records) {
		m.explore(w.with(true))
	}
	m.cut(w)
	if open := s.Open(); !moved && len(open) > 0 {
		m.broken = fmt.Sprintf("attempts %v are stuck", open)
	}
}

// dispatch sends the next attempt.
func (m *placeMoves) dispatch(w *placeWorld, s *journal.State) bool {
	held := s.Attempts()
	id := uint64(len(held)) + 1
	if id > placeAttempts || !s.Certain() {
		return false
	}
	d := &wire.Dispatch{
		Fence:   wire.Fence{ClusterID: clusterID, Session: sessionName, JournalID: journalID},
		Attempt: id, Spec: []byte{byte(id)}, Places: uint32(m.places),
	}
	if m.mutant == ignorePlaces {
		d.Places = 0
	}
	records := s.Dispatch(here, d, journal.Work{Step: journal.StepName(1, fmt.Sprint(id), "h"), Jobs: 1}).Records
	m.explore(w.with(true, records...))
	return true
}

// work lets the attempt get on: its job starts, waits for hosts or for a restart, and ends.
func (m *placeMoves) work(w *placeWorld, s *journal.State, id uint64) bool {
	a, _ := s.Attempt(id)
	switch {
	case !a.Running && a.Ended == a.Jobs:
		r, err := s.End(id, journal.OutcomeSucceeded, "", nil)
		m.explore(w.with(false, must(r, err)))
		return true
	case !a.Running && s.Waits(id):
		return false
	case !a.Running:
		r, err := s.StartJob(id, 0, 0)
		next := w.with(false, must(r, err))
		if next.effects[id]++; next.effects[id] > 1 {
			m.broken = fmt.Sprintf("attempt %d took effect twice", id)
		}
		if n := m.under(next, next.state()); n > m.places {
			m.broken = fmt.Sprintf("%d are under way", n)
		}
		m.explore(next)
		return true
	case id == waitsForHosts && !w.waited:
		r, err := s.Publish(wire.Report{Attempt: id, Waits: true})
		next := w.with(true, must(r, err))
		next.waited = true
		m.explore(next)
	case id == restarts && a.RestartUnder == "":
		r, err := s.AskRestart(id, false)
		m.explore(w.with(true, must(r, err)))
	}
	job, err := s.EndJob(wire.Report{Attempt: id, Outcome: journal.OutcomeSucceeded})
	next := w.with(a.RestartUnder != "", must(job, err)) // what has asked for a restart syncs its end
	end, err := next.state().End(id, journal.OutcomeSucceeded, "", nil)
	m.explore(next.with(a.RestartUnder != "", must(end, err)))
	return true
}

// cut takes the machine's power, and with it as much as is not certain.
func (m *placeMoves) cut(w *placeWorld) {
	if w.boot == m.boots {
		return
	}
	for keep := w.synced; keep <= len(w.records); keep++ {
		next := *w
		next.boot++
		next.records, next.synced = slices.Clone(w.records[:keep]), keep
		s := next.state()
		records := s.Boot(fmt.Sprint("boot ", next.boot)).Records
		m.explore(next.with(true, records...))
	}
}

// under counts what is under way and does not wait for hosts.
func (m *placeMoves) under(w *placeWorld, s *journal.State) (n int) {
	for _, id := range s.Open() {
		if a, _ := s.Attempt(id); a.Running && (id != waitsForHosts || !w.waited || !m.waits) {
			n++
		}
	}
	return n
}

func must(r journal.Record, err error) journal.Record {
	if err != nil {
		panic(err)
	}
	return r
}

// TestPlacesExplored tries all ways in which attempts of a run can come, start, wait for
// hosts, restart the machine and end, with the power cut at any moment: never more than
// there are places are under way, nothing takes effect twice, and all end.
func TestPlacesExplored(t *testing.T) {
	for _, c := range []struct {
		places int
		waits  bool // the first one waits for other hosts
		mutant mutant
	}{{1, true, sound}, {2, false, sound}, {1, false, ignorePlaces}} {
		t.Run(fmt.Sprintf("%d %s", c.places, c.mutant), func(t *testing.T) {
			if testing.Short() && c.places > 1 {
				t.Skip("one place has most of it")
			}
			m := &placeMoves{places: c.places, boots: 1, waits: c.waits, mutant: c.mutant, seen: map[string]bool{}}
			first := journal.NewState(journalID)
			w := &placeWorld{records: first.Records(), waited: !c.waits}
			m.explore(w.with(true, first.Boot("boot 0").Records...))
			t.Logf("%d states: %s", m.states, m.broken)
			if (m.broken != "") != (c.mutant != sound) {
				t.Errorf("broken: %q", m.broken)
			}
		})
	}
}
