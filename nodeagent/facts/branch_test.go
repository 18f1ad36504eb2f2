package facts

import (
	"os"
	"path/filepath"
	"testing"
)

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
