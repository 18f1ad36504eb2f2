package journal

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"quorate/nodeagent/wire"
)

// TestIndex does things to attempts that wait for each other, and looks whether the
// index says after each what a look at all of them does.
func TestIndex(t *testing.T) {
	for seed := range uint64(200) {
		if err := walkIndex(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func walkIndex(seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	s := NewState("j")
	here := Here{ClusterID: "c", Session: "s"}
	fence := wire.Fence{ClusterID: "c", Session: "s", JournalID: "j"}
	attempt := uint64(0)
	if err := s.Apply(&Booted{BootID: "boot"}); err != nil {
		return err
	}
	for move := range 300 {
		var records []Record
		switch pick := r.IntN(12); {
		case pick < 4:
			attempt++
			m := &wire.Dispatch{Fence: fence, Attempt: attempt, Spec: []byte{byte(attempt)}}
			if open := s.Open(); len(open) > 0 {
				for range r.IntN(3) {
					m.After = append(m.After, wire.Predecessor{Attempt: open[r.IntN(len(open))], Any: r.IntN(2) == 0})
				}
				slices.SortFunc(m.After, func(a, b wire.Predecessor) int { return int(a.Attempt) - int(b.Attempt) })
				m.After = slices.CompactFunc(m.After, func(a, b wire.Predecessor) bool { return a.Attempt == b.Attempt })
			}
			if r.IntN(3) == 0 {
				m.After = append(m.After, far(1000+uint64(r.IntN(10)), r.IntN(2) == 0))
			}
			m.Places = uint32(r.IntN(4))
			d := s.Dispatch(here, m, Work{Step: StepName(uint64(r.IntN(2)), fmt.Sprint(r.IntN(20)), "h"), Jobs: uint32(r.IntN(40))})
			records = d.Records
		case pick < 9:
			records = workOn(r, s)
		case pick == 9:
			for _, id := range s.Stranded() {
				if err := s.Apply(s.GiveBack(id)); err != nil {
					return err
				}
			}
		case pick == 10:
			records = s.Ahead()
			if all := s.Elsewhere(); len(all) > 0 {
				rec, _ := s.EndElsewhere(all[r.IntN(len(all))].Attempt, OutcomeSucceeded+uint8(r.IntN(6)), nil)
				records = append(records, rec)
			}
		default:
			if open := s.Open(); len(open) > 0 && r.IntN(3) == 0 {
				d := s.Cancel(here, &wire.Cancel{Fence: fence, Attempt: open[r.IntN(len(open))]})
				records = d.Records
			} else if floor := attempt / 2; len(open) == 0 || floor < open[0] {
				records = []Record{&Acked{Seq: s.Seq, Floor: floor}}
			}
		}
		for _, rec := range records {
			if err := s.Apply(rec); err != nil {
				return fmt.Errorf("move %d: %w", move, err)
			}
			if err := checkIndex(s); err != nil {
				return fmt.Errorf("move %d: %T: %w", move, rec, err)
			}
		}
	}
	again := newState()
	for _, rec := range s.Records() {
		if err := again.Apply(rec); err != nil {
			return err
		}
	}
	return checkIndex(again)
}

// workOn starts or ends something of an attempt that may run.
func workOn(r *rand.Rand, s *State) []Record {
	open := slices.DeleteFunc(s.Open(), s.Waits)
	if len(open) == 0 {
		return nil
	}
	a := s.attempts[open[r.IntN(len(open))]]
	var rec Record
	switch {
	case a.Running && r.IntN(4) == 0:
		rec, _ = s.Publish(wire.Report{Attempt: a.ID, Waits: r.IntN(2) == 0})
	case a.Running && r.IntN(6) == 0:
		rec, _ = s.AskRestart(a.ID, a.RestartUnder != "")
	case a.Running:
		rec, _ = s.EndJob(wire.Report{Attempt: a.ID, Outcome: OutcomeSucceeded})
	case a.Ended < min(a.Window, a.Jobs) && r.IntN(3) > 0:
		rec, _ = s.StartJob(a.ID, a.Ended, 1)
	default:
		rec, _ = s.End(a.ID, OutcomeSucceeded+uint8(r.IntN(4)), "", nil)
	}
	return []Record{rec}
}

// checkIndex compares the index with what the attempts are.
func checkIndex(s *State) error {
	want := newIndex()
	for _, id := range s.Attempts() {
		a := s.attempts[id]
		if a.Step != "" {
			want.steps[a.Step] = append(want.steps[a.Step], id)
		}
		w := s.waits[id]
		waiting := w != nil && a.Ended == 0 && !a.Running
		queues := waiting && w.places > 0 && len(w.after) == 0 && !w.stranded
		if a.Phase == Intent && (queues || !s.yielded[id] && (!waiting || len(w.after) == 0 && !w.stranded)) {
			p := want.pools[poolOf(a.Step)]
			if p == nil {
				p = &pool{}
				want.pools[poolOf(a.Step)] = p
			}
			if queues {
				p.line = append(p.line, id)
				slices.SortStableFunc(p.line, func(a, b uint64) int { return count(s.waits[b].heir) - count(s.waits[a].heir) })
			} else {
				p.under++
				p.stuck += count(a.RestartUnder != "" && !a.Lost || a.Window == 0 && a.Jobs > 0)
			}
		}
		if !waiting || a.Phase != Intent {
			continue
		}
		want.reserved += a.Window
		if !queues && (!s.Waits(id) || w.stranded) {
			want.due[id] = true
		}
		if a.Window == 0 && a.Jobs > 0 {
			want.closed = append(want.closed, id)
		}
	}
	awaited := map[uint64]wire.Elsewhere{}
	for id, w := range s.waits {
		for _, p := range w.after {
			if a := s.attempts[id]; p.Elsewhere.Key != "" && (a == nil || a.Phase == Intent) {
				awaited[p.Attempt] = p.Elsewhere
			}
		}
	}
	if !reflect.DeepEqual(s.elsewhere, awaited) {
		return fmt.Errorf("%v are awaited elsewhere, and should be %v", s.elsewhere, awaited)
	}
	if !reflect.DeepEqual(s.index, want) {
		return fmt.Errorf("the index is %+v, and should be %+v", s.index, want)
	}
	return nil
}
