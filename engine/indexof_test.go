package engine

import "testing"

// TestIndexOf: a serial leads back to its record, before and behind recoveries.
func TestIndexOf(t *testing.T) {
	t.Parallel()
	l := newLapse(t)
	type given struct{ index, serial uint64 }
	all := []given{{1, l.s.Serial(1)}, {l.s.Index, l.s.Serial(l.s.Index)}}
	for _, generation := range []uint64{1 << 40, 7} {
		l.recover(generation)
		all = append(all, given{l.s.Index, l.s.Serial(l.s.Index)}, given{l.s.Index + 5, l.s.Serial(l.s.Index + 5)})
	}
	for _, g := range all {
		if got := l.s.IndexOf(g.serial); got != g.index {
			t.Errorf("serial %d is of record %d, want %d", g.serial, got, g.index)
		}
	}
	r := l.run
	if steps, perHost := r.Limits(); steps != stepsMaxDefault || perHost != stepsPerHostMaxDefault {
		t.Errorf("a run that asks for no limits has %d and %d", steps, perHost)
	}
}
