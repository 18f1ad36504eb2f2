package replay

import (
	"bytes"
	"slices"

	"quorate/engine"
)

// markAt returns the newest mark at an index or before it, or nil.
func (r *Replay) markAt(index uint64) *mark {
	for i := range slices.Backward(r.marks) {
		if r.marks[i].index <= index {
			return &r.marks[i]
		}
	}
	return nil
}

func (m *mark) decode() (*engine.State, error) {
	return engine.DecodeState(bytes.NewReader(m.data))
}

// keep makes a mark of a state where the next one is far enough away. Of too many,
// every second one goes.
func (r *Replay) keep(s *engine.State) error {
	if m := r.markAt(s.Index); m != nil && s.Index-m.index < marksEvery {
		return nil
	}
	var b bytes.Buffer
	if err := s.Encode(&b); err != nil {
		return err
	}
	at, _ := slices.BinarySearchFunc(r.marks, s.Index, func(m mark, index uint64) int {
		switch {
		case m.index < index:
			return -1
		case m.index > index:
			return 1
		}
		return 0
	})
	r.marks = slices.Insert(r.marks, at, mark{s.Index, b.Bytes()})
	if len(r.marks) > marksMax {
		kept := r.marks[:0]
		for i, m := range r.marks {
			if i%2 == 0 {
				kept = append(kept, m)
			}
		}
		clear(r.marks[len(kept):])
		r.marks = kept
	}
	return nil
}
