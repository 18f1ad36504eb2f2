package facts

import (
	"os"
	"path/filepath"
	"testing"
)

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

func TestBranch(t *testing.T) {
	s := fresh(t)
	if _, _, err := s.SetArg("n", value(t, "1"), false, Origin{}); err != nil {
		t.Fatal(err)
	}
	s.Remember(Key{1}, Result{Fingerprint: "f"})
	path := filepath.Join(t.TempDir(), "branch.db")
	if err := os.WriteFile(path, []byte("of a process that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := s.Branch(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, known, err := b.Recall(Key{1}); err != nil || !known {
		t.Errorf("a success is forgotten: %v", err)
	}
	if _, _, err := b.SetArg("n", value(t, "2"), false, Origin{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.SetArg("m", value(t, "3"), false, Origin{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Forget(Key{1}); err != nil {
		t.Fatal(err)
	}
	if _, known, err := s.Recall(Key{1}); err != nil || !known {
		t.Errorf("the branch has made the store forget: %v", err)
	}
	if got := args(t, b); got != "{'n': 2}" {
		t.Errorf("the branch holds %q", got)
	}
	if got := args(t, s); got != "{'n': 1, 'm': 3}" {
		t.Errorf("the store holds %q", got)
	}
}
