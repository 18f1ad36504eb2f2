package facts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"quorate/internal/boltfile"
	"quorate/internal/pyvalue"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func fresh(t *testing.T) *Store { return open(t, filepath.Join(t.TempDir(), "facts.db")) }

func value(t *testing.T, text string) pyvalue.Value {
	t.Helper()
	v, err := pyvalue.Literal(text)
	if err != nil {
		t.Fatalf("literal %s: %v", text, err)
	}
	return v
}

// args shows the arguments as one dict.
func args(t *testing.T, s *Store) string {
	t.Helper()
	facts, err := s.Args()
	if err != nil {
		t.Fatal(err)
	}
	d := pyvalue.NewDict()
	for _, f := range facts {
		d.SetStr(f.Name, f.Value)
	}
	return pyvalue.Repr(d)
}

func TestArgsKeepTheirOrderAndOrigin(t *testing.T) {
	s := fresh(t)
	for i, name := range []string{"zeta", "alpha", "mid", "zeta"} {
		o := Origin{Run: 7, Task: "t", Attempt: 40, Job: uint32(i), Time: 99}
		if _, changed, err := s.SetArg(name, pyvalue.Int(i), false, o); err != nil || !changed {
			t.Fatal(changed, err)
		}
	}
	if got := args(t, s); got != "{'zeta': 3, 'alpha': 1, 'mid': 2}" {
		t.Error(got)
	}
	facts, _ := s.Args()
	if facts[0].Origin != (Origin{Run: 7, Task: "t", Attempt: 40, Job: 3, Time: 99}) {
		t.Errorf("origin %+v", facts[0].Origin)
	}
	if _, changed, _ := s.SetArg("mid", pyvalue.Int(2), false, Origin{}); changed {
		t.Error("setting the same value is a change")
	}
}

func TestMergeRules(t *testing.T) {
	for _, tc := range []struct{ name, old, add, want string }{
		{"mappings merge", "{'a': 1, 'b': {'c': 1}}", "{'b': {'d': 2}, 'e': 3}", "{'a': 1, 'b': {'c': 1, 'd': 2}, 'e': 3}"},
		{"lists are appended, repeats too", "[1, 2]", "[2, 3]", "[1, 2, 2, 3]"},
		{"lists inside of mappings", "{'a': [1]}", "{'a': [1]}", "{'a': [1, 1]}"},
		{"others replace", "5", "'x'", "'x'"},
		{"text onto a list replaces", "[1]", "'x'", "'x'"},
		{"list onto text clashes", "'x'", "[1]", ""},
		{"mapping onto text clashes", "'x'", "{'a': 1}", ""},
		{"a clash deep inside", "{'a': {'b': 1}}", "{'a': {'b': [1]}}", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := fresh(t)
			if _, _, err := s.SetArg("k", value(t, tc.old), true, Origin{Attempt: 1}); err != nil {
				t.Fatal(err)
			}
			now, _, err := s.SetArg("k", value(t, tc.add), true, Origin{Attempt: 2})
			var clash *ClashError
			if tc.want == "" {
				if !errors.As(err, &clash) {
					t.Fatalf("error %v, want a clash", err)
				}
				if got := args(t, s); got != "{'k': "+tc.old+"}" {
					t.Errorf("the clash left %s", got)
				}
				return
			}
			if err != nil || pyvalue.Repr(now) != tc.want {
				t.Errorf("got %v, %v, want %s", now, err, tc.want)
			}
		})
	}
}

func TestExtendOncePerJobOfAnAttempt(t *testing.T) {
	s := fresh(t)
	one := value(t, "[1]")
	for _, o := range []Origin{{Attempt: 4, Job: 0}, {Attempt: 4, Job: 0}, {Attempt: 4, Job: 1}, {Attempt: 9, Job: 0}, {Attempt: 9, Job: 0}} {
		if _, _, err := s.SetArg("l", one, true, o); err != nil {
			t.Fatal(err)
		}
	}
	if got := args(t, s); got != "{'l': [1, 1, 1]}" {
		t.Errorf("three jobs extended the list, it is %s", got)
	}
	if err := s.Settle(4); err != nil {
		t.Fatal(err)
	}
	// The attempt that is not settled is still remembered.
	if _, changed, _ := s.SetArg("l", one, true, Origin{Attempt: 9, Job: 0}); changed {
		t.Error("Settle(4) forgot attempt 9")
	}
	if _, changed, _ := s.SetArg("l", one, true, Origin{Attempt: 4, Job: 0}); !changed {
		t.Error("Settle(4) did not forget attempt 4")
	}
}

func TestLoadTwiceChangesNothing(t *testing.T) {
	s := fresh(t)
	file := value(t, "{'xs': [1], 'd': {'a': [1, 2]}, 5: 'n'}").(*pyvalue.Dict)
	changed, err := s.Load(file, Origin{})
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	want := args(t, s)
	if want != "{'xs': [1], 'd': {'a': [1, 2]}, '5': 'n'}" {
		t.Error(want)
	}
	changed, err = s.Load(file, Origin{})
	if err != nil || changed || args(t, s) != want {
		t.Errorf("case 30: the second time: changed %t, %v, %s", changed, err, args(t, s))
	}
	edited := value(t, "{'xs': {'now': 'a mapping'}, 'd': {'b': 1}}").(*pyvalue.Dict)
	if _, err := s.Load(edited, Origin{}); err != nil {
		t.Fatal(err)
	}
	if got := args(t, s); got != "{'xs': {'now': 'a mapping'}, 'd': {'a': [1, 2], 'b': 1}, '5': 'n'}" {
		t.Error(got)
	}
}

func TestEnvIsText(t *testing.T) {
	s := fresh(t)
	for name, text := range map[string]string{"T": "True", "N": "None", "L": "['a', 1.0]", "S": "'x'"} {
		if _, _, err := s.SetEnv(name, value(t, text), false, Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	envs, err := s.Envs()
	if err != nil || len(envs) != 4 {
		t.Fatal(envs, err)
	}
	for _, f := range envs {
		want := map[string]string{"T": "True", "N": "None", "L": "['a', 1.0]", "S": "x"}[f.Name]
		if f.Value != pyvalue.Value(pyvalue.Str(want)) {
			t.Errorf("%s is %v", f.Name, f.Value)
		}
	}
}

func TestConcurrentUpdatesAreNotLost(t *testing.T) {
	s := fresh(t)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			add := pyvalue.NewDict()
			add.SetStr(fmt.Sprintf("k%02d", i), pyvalue.Int(i))
			if _, _, err := s.SetArg("d", add, true, Origin{Attempt: uint64(i + 1)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	facts, err := s.Args()
	if err != nil || len(facts) != 1 || facts[0].Value.(*pyvalue.Dict).Len() != 40 {
		t.Errorf("40 jobs added an entry each, there is %v, %v", args(t, s), err)
	}
}

func TestEvict(t *testing.T) {
	fill := func(s *Store) {
		for _, name := range []string{"a", "query"} {
			_, _, err := s.SetArg(name, pyvalue.Int(1), false, Origin{})
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := s.SetEnv("E", pyvalue.Int(1), false, Origin{}); err != nil {
			t.Fatal(err)
		}
		s.Remember(Key{1}, Result{Fingerprint: "f1"})
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		s.Remember(Key{2}, Result{Fingerprint: "f2"})
	}
	for tag, want := range map[string]struct {
		count int
		left  string
	}{
		"all": {5, "[] [] false false"}, "jobs": {2, "[a query] [E] false false"}, "f1": {1, "[a query] [E] false true"},
		"f2": {1, "[a query] [E] true false"}, "args": {2, "[] [E] true true"}, "envs": {1, "[a query] [] true true"},
		"query": {1, "[a] [E] true true"}, "parents": {0, "[a query] [E] true true"}, "nothing": {0, "[a query] [E] true true"},
	} {
		s := fresh(t)
		fill(s)
		n, err := s.Evict(tag)
		if err != nil {
			t.Fatal(err)
		}
		names := func(facts []Fact, err error) (out []string) {
			for _, f := range facts {
				out = append(out, f.Name)
			}
			return out
		}
		_, one, _ := s.Recall(Key{1})
		_, two, _ := s.Recall(Key{2})
		if left := fmt.Sprint(names(s.Args()), names(s.Envs()), one, two); n != want.count || left != want.left {
			t.Errorf("%s: %d entries evicted, left %s; want %d and %s", tag, n, left, want.count, want.left)
		}
	}
}

func TestForget(t *testing.T) {
	s := fresh(t)
	s.Remember(Key{1}, Result{})
	s.Remember(Key{2}, Result{})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(Key{1}); err != nil {
		t.Fatal(err)
	}
	_, one, _ := s.Recall(Key{1})
	_, two, _ := s.Recall(Key{2})
	if one || !two {
		t.Errorf("forgotten: %t, kept: %t", !one, two)
	}
}

func TestResultsAreWrittenByThemselves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "facts.db")
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		s.Remember(Key{1}, Result{Fingerprint: "f", Origin: Origin{Run: 3}})
		time.Sleep(2 * flushDelay)
		synctest.Wait()
		s.mu.Lock()
		waiting := len(s.pending)
		s.mu.Unlock()
		if waiting != 0 {
			t.Errorf("%d results still wait", waiting)
		}
		r, ok, err := s.Recall(Key{1})
		if !ok || err != nil || r.Origin.Run != 3 {
			t.Error(r, ok, err)
		}
	})
}

func TestCloseWritesWhatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "facts.db")
	s := open(t, path)
	s.Remember(Key{1}, Result{Fingerprint: "f"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r, ok, err := open(t, path).Recall(Key{1}); !ok || err != nil || r.Fingerprint != "f" {
		t.Error(r, ok, err)
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "facts.db")
	open(t, path)
	if s, err := Open(path); err == nil {
		_ = s.Close()
		t.Error("two stores have the file open")
	}
}

// TestSurvivesKill sets values in another process, which dies of SIGKILL right
// after the last of them was reported.
func TestSurvivesKill(t *testing.T) {
	if path := os.Getenv("FACTS_TEST_FILE"); path != "" {
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if _, _, err := s.SetArg("l", pyvalue.NewList(pyvalue.Int(i)), true, Origin{Attempt: 1, Job: uint32(i)}); err != nil {
				t.Fatal(err)
			}
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	path := filepath.Join(t.TempDir(), "facts.db")
	cmd := exec.Command(os.Args[0], "-test.run=^TestSurvivesKill$")
	cmd.Env = append(os.Environ(), "FACTS_TEST_FILE="+path)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the other process ended with %v: %s", err, out)
	}
	s := open(t, path)
	// The killed agent runs its last job again, which must not extend once more.
	if _, changed, err := s.SetArg("l", value(t, "[19]"), true, Origin{Attempt: 1, Job: 19}); err != nil || changed {
		t.Error(changed, err)
	}
	facts, err := s.Args()
	if err != nil || len(facts) != 1 || len(facts[0].Value.(*pyvalue.List).Items) != 20 {
		t.Errorf("after the kill there is %s, %v", args(t, s), err)
	}
}

// TestDamagedFile: a damaged file is refused, with what to do.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "facts.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 3*int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, boltfile.ErrDamaged) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("error %v", err)
	}
}
