package facts

import "testing"

func TestRehearsalKeepsNothing(t *testing.T) {
	s := fresh(t)
	if _, _, err := s.SetArg("n", value(t, "1"), false, Origin{}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Rehearsal()
	if err != nil {
		t.Fatal(err)
	}
	now, changed, err := r.SetArg("n", value(t, "2"), false, Origin{})
	if err != nil || !changed || now == nil {
		t.Errorf("%v, changed %t, %v", now, changed, err)
	}
	if _, changed, err := r.SetArg("n", value(t, "1"), false, Origin{}); err != nil || changed {
		t.Errorf("the same value: changed %t, %v", changed, err)
	}
	if n, err := r.Evict("all"); err != nil || n != 1 {
		t.Errorf("evicted %d, %v", n, err)
	}
	if got, want := args(t, s), args(t, r); got != want || got == "" {
		t.Errorf("the store holds %q, the rehearsal %q", got, want)
	}
}
