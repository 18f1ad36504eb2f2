package facts

import (
	"bytes"
	"path/filepath"
	"testing"

	"quorate/internal/pyvalue"
)

func queryOf(t *testing.T, s *Store) string {
	t.Helper()
	d, some, err := s.Query()
	if err != nil {
		t.Fatal(err)
	}
	if some != (d.Len() > 0) {
		t.Errorf("%d hosts, some %v", d.Len(), some)
	}
	return pyvalue.Repr(d)
}

// Values of hosts take each other's place, outlive the process and keep their origin.
func TestLearn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "facts.db")
	s := open(t, path)
	if got := queryOf(t, s); got != "{}" {
		t.Errorf("nothing is %s", got)
	}
	o := Origin{Run: 1, Task: "t", Attempt: 2, Job: 3, Time: 4}
	for _, batch := range [][]Heard{
		{{"b", "k", value(t, "[1]"), o}, {"a", "k", value(t, "'x'"), o}, {"ab", "c", value(t, "1"), o}, {"a", "bc", value(t, "2"), o}},
		{{"b", "k", value(t, "[2]"), o}, {"a", "k", pyvalue.None, o}},
	} {
		if err := s.Learn(batch); err != nil {
			t.Fatal(err)
		}
	}
	const want = "{'a': {'bc': 2, 'k': None}, 'b': {'k': [2]}, 'ab': {'c': 1}}"
	if got := queryOf(t, s); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	if got := queryOf(t, s); got != want {
		t.Errorf("after reopening %s, want %s", got, want)
	}
	if all, err := s.Heard(); err != nil || len(all) != 4 || all[0].Origin != o {
		t.Errorf("%+v, %v", all, err)
	}
	if n, err := s.Evict("query"); err != nil || n != 4 || queryOf(t, s) != "{}" {
		t.Errorf("evicted %d, %v", n, err)
	}
}

func TestArg(t *testing.T) {
	s := fresh(t)
	if _, ok, err := s.Arg("k"); ok || err != nil {
		t.Errorf("an argument that is not there: %v, %v", ok, err)
	}
	if _, _, err := s.SetArg("k", value(t, "[1, 'a']"), false, Origin{}); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := s.Arg("k"); !ok || err != nil || !bytes.Equal(got, pyvalue.Encode(value(t, "[1, 'a']"))) {
		t.Errorf("%q, %v, %v", got, ok, err)
	}
}

// An attempt stays omitted until it is settled.
func TestOmit(t *testing.T) {
	s := fresh(t)
	if err := s.Omit([]uint64{5, 9}, 12); err != nil {
		t.Fatal(err)
	}
	want := func(attempt uint64, want bool) {
		t.Helper()
		by, got, err := s.Omitted(attempt)
		if err != nil || got != want || got && by != 12 {
			t.Errorf("attempt %d: by %d, %v, %v", attempt, by, got, err)
		}
	}
	want(5, true)
	want(6, false)
	if err := s.Settle(5); err != nil {
		t.Fatal(err)
	}
	want(5, false)
	want(9, true)
}
