package bundle

import (
	"slices"
	"strings"
	"testing"
)

// TestCutRun has somebody without the key cut the end off a run's bundle, or call it
// another run's. The records are the cluster's all the same: what is said of them is
// that nothing shows them to be all of the run.
func TestCutRun(t *testing.T) {
	t.Parallel()
	l, run := busy(t, 3)
	whole := func(r *Report) bool {
		return slices.ContainsFunc(r.Proven(), func(s string) bool { return strings.Contains(s, "ended run 1") })
	}
	open := func(r *Report) bool {
		return slices.ContainsFunc(r.NotProven(), func(s string) bool { return strings.Contains(s, "all of it") })
	}
	cut, other, early := *run, *run, *run
	cut.To -= 10
	other.Run = 2
	early.Checkpoints = map[uint64][]byte{l.first(): l.notes[l.first()]} // of less than the end
	for name, c := range map[string]struct {
		content *Content
		whole   bool
	}{"as it is": {run, true}, "cut": {&cut, false}, "of another run": {&other, false}, "with an end that is not signed": {&early, false}} {
		r, err := verify(l.write(c.content), Trust{Key: l.key})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if whole(r) != c.whole || open(r) == c.whole {
			t.Errorf("%s: proven %q, not proven %q", name, r.Proven(), r.NotProven())
		}
	}
}

// TestVouched believes of a state only what signed records say.
func TestVouched(t *testing.T) {
	t.Parallel()
	r := &Report{About: About{Run: 1, From: 10, To: 40, State: true, Checkpoints: []uint64{30}}, Signed: []Checkpoint{{Size: 30}}}
	for index, want := range map[uint64]bool{0: false, 20: true, 30: true, 31: false} {
		r.Vouch(index)
		got := slices.ContainsFunc(r.Proven(), func(s string) bool { return strings.Contains(s, "the state in front") })
		open := slices.ContainsFunc(r.NotProven(), func(s string) bool { return strings.Contains(s, "the state in front") })
		if got != want || open == want {
			t.Errorf("vouched for by %d: proven %v, not proven %v", index, got, open)
		}
	}
}
