package facts

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"quorate/nodeagent/wire"
)

// A walk is an attempt in a test: what it finds to be left alone, and its output.
type walk struct {
	t      *testing.T
	s      *Store
	c      *Course
	id     uint64
	job    uint32
	result string
	notes  [][]byte
}

func begin(t *testing.T, s *Store, task string, id uint64, required ...string) *walk {
	t.Helper()
	c, err := s.Begin(task, id, 0, required, nil, NotBegun)
	if err != nil {
		t.Fatal(err)
	}
	return &walk{t: t, s: s, c: c, id: id}
}

// do comes to jobs, each a letter for its key, behind it what it says; upper-case ones
// look at the host, and "+" says that they change it. "!" fails.
func (w *walk) do(jobs string) *walk {
	w.t.Helper()
	for word := range strings.FieldsSeq(jobs) {
		e := Ending{Job: w.job, Succeeded: !strings.HasSuffix(word, "!"), Changed: true, Output: []byte(word[1:])}
		if word[0] <= 'Z' {
			e.Changed = strings.HasSuffix(word, "+")
		} else {
			e.Key = &Key{word[0]}
			e.Left = w.c.Leaves(*e.Key, Result{Origin: Origin{Run: 1, Task: "other", Attempt: 1}}, Origin{Run: 2, Job: w.job}) && e.Succeeded
			if !e.Left {
				w.result += word[:1]
			}
		}
		note, err := w.c.Ended(e)
		if err != nil {
			w.t.Fatal(err)
		}
		if note != nil {
			w.notes = append(w.notes, note)
		}
		w.job++
	}
	return w
}

func (w *walk) well() (string, [16]byte)   { return w.result, w.c.End(EndedWell) }
func (w *walk) failed() (string, [16]byte) { return w.result, w.c.End(EndedOtherwise) }

func opened(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "facts.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestCourse: which jobs of the last attempt run, and whether what requires the step has
// to follow. All jobs' successes are remembered.
func TestCourse(t *testing.T) {
	for _, c := range []struct {
		name     string
		attempts []string // jobs; "!" at the end of one lets the attempt fail there
		runs     string   // the jobs of the last one that run
		dirties  bool     // whether its output is another one than before it
	}{
		{"nothing has changed", []string{"a b", "a b"}, "", false},
		{"a file is changed", []string{"a F b", "a F+ b"}, "b", true},
		{"a file stays", []string{"a F b", "a F b"}, "", false},
		{"a job is changed", []string{"a b c", "a x c"}, "xc", true},
		{"there and back", []string{"a b c", "a x c", "a b c"}, "bc", true},
		{"there, which fails, and back", []string{"a b c", "a x!", "a b c"}, "bc", true},
		{"a job is added", []string{"a c", "a b c"}, "bc", true},
		{"a job is removed", []string{"a b c", "a c"}, "", false},
		{"a job is removed and back", []string{"a b c", "a c", "a b c"}, "bc", true},
		{"it goes on where it failed", []string{"a b!", "a b c"}, "bc", true},
		{"a file was changed before it failed", []string{"a F b c", "a F+ b!", "a F b c"}, "bc", true},
		{"a job twice", []string{"a b a", "a b a"}, "", false},
		{"a job twice behind a file", []string{"a F a", "a F+ a"}, "a", true},
		{"one of two is removed and back", []string{"a b a", "a b", "a b a"}, "a", true},
		{"two change places", []string{"a b", "b a"}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := opened(t)
			var ran string
			var before, output [16]byte
			for i, jobs := range c.attempts {
				w := begin(t, s, "t", uint64(i+1)).do(jobs)
				before = output
				if ran, output = w.result, [16]byte{}; strings.HasSuffix(jobs, "!") {
					_, output = w.failed()
				} else {
					_, output = w.well()
				}
			}
			if ran != c.runs || (output != before) != c.dirties {
				t.Errorf("runs %q, want %q; its output is another: %v, want %v", ran, c.runs, output != before, c.dirties)
			}
		})
	}
}

// TestFollow: a step runs where what it requires has changed something, and what requires
// it does not where its commands say what they said before.
func TestFollow(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		runs, third         string // of the second step and of the one that requires it
	}{
		{"nothing has changed", "F", "b", "", ""},
		{"a file, and the same is said", "F+", "b", "b", ""},
		{"a file, and something else is said", "F+", "bx", "b", "c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := opened(t)
			run := func(id uint64, first, second string) (ran, third string) {
				begin(t, s, "first", id).do(first).well()
				ran, _ = begin(t, s, "second", id+1, "first").do(second).well()
				third, _ = begin(t, s, "third", id+2, "second").do("c").well()
				return ran, third
			}
			run(1, "F+", "b")
			if ran, third := run(11, c.first, c.second); ran != c.runs || third != c.third {
				t.Errorf("runs %q and %q, want %q and %q", ran, third, c.runs, c.third)
			}
			if ran, third := run(21, "F", c.second); ran+third != "" {
				t.Errorf("runs %q and %q once more", ran, third)
			}
		})
	}
}

// TestFollowLater: what has to follow does so however late it comes to that.
func TestFollowLater(t *testing.T) {
	s := opened(t)
	begin(t, s, "first", 1).do("F+").well()
	begin(t, s, "second", 2, "first").do("a b").well()
	begin(t, s, "first", 3).do("F+").well()
	if ran, _ := begin(t, s, "second", 4).do("a b").well(); ran != "" {
		t.Errorf("without what it requires runs %q", ran)
	}
	if ran, _ := begin(t, s, "second", 5, "first").do("a b!").failed(); ran != "ab" {
		t.Errorf("with it runs %q", ran)
	}
	if ran, _ := begin(t, s, "second", 6, "first").do("a b").well(); ran != "b" {
		t.Errorf("behind the failure runs %q", ran)
	}
}

// TestUpgrade: where an earlier program kept no records what it remembered decides, but
// not about jobs of tasks that never ran here.
func TestUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "facts.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Remember(Key{'a'}, Result{Origin: Origin{Run: 1, Task: "other", Attempt: 7}})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	dropBucket(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before, _, err := s.Recall(Key{'a'})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		before Result
		left   bool
	}{
		{"from before", before, true},
		{"another task's since", Result{Origin: Origin{Run: 1, Task: "other", Attempt: 8}}, false},
		{"its own since", Result{Origin: Origin{Run: 1, Task: "t", Attempt: 8}}, true},
	} {
		w := begin(t, s, "t", 9)
		if left := w.c.Leaves(Key{'a'}, c.before, Origin{Run: 2, Task: "t"}); left != c.left {
			t.Errorf("%s: left alone %v", c.name, left)
		}
		w.failed()
	}
	// What is left alone by that changes nothing for what requires it.
	w := begin(t, s, "t", 9)
	note, err := w.c.Ended(Ending{Key: &Key{'a'}, Left: true})
	if err != nil || note == nil {
		t.Fatal(note, err)
	}
	if _, output := w.well(); output != [16]byte{} {
		t.Errorf("output %x", output)
	}
}

// TestSuccessor: an attempt that goes on behind another leaves what is remembered of the
// jobs before it.
func TestSuccessor(t *testing.T) {
	s := opened(t)
	begin(t, s, "t", 1).do("a b c").well()
	begin(t, s, "t", 2).do("a x!").failed()
	c, err := s.Begin("t", 3, 1, nil, nil, NotBegun)
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, s: s, c: c, id: 3, job: 1}
	if ran, _ := w.do("x c").well(); ran != "xc" {
		t.Errorf("the successor runs %q", ran)
	}
	if ran, _ := begin(t, s, "t", 4).do("a x c").well(); ran != "" {
		t.Errorf("the next run runs %q", ran)
	}
}

// TestVouchedFor: a job of which nobody can tell whether it was done runs once more where
// the attempt went on behind it, and what is behind it does not.
func TestVouchedFor(t *testing.T) {
	s := opened(t)
	begin(t, s, "t", 1).do("a b c").well()
	begin(t, s, "t", 2).do("a b!").c.End(EndedUnknown)
	c, err := s.Begin("t", 3, 2, nil, nil, NotBegun)
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, s: s, c: c, id: 3, job: 2}
	if ran, _ := w.do("c").well(); ran != "c" {
		t.Errorf("the successor runs %q", ran)
	}
	if ran, _ := begin(t, s, "t", 4).do("a b c").well(); ran != "b" {
		t.Errorf("the next run runs %q", ran)
	}
}

// TestNoise: what says something else each time keeps nothing from being left alone.
func TestNoise(t *testing.T) {
	s := opened(t)
	var outputs [][16]byte
	for id := uint64(1); id <= 2; id++ {
		c, err := s.Begin("t", id, 0, nil, nil, NotBegun)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range []Ending{{Key: &Key{'n'}, Noise: true}, {Key: &Key{'m'}, Memory: true}} {
			e.Job, e.Succeeded, e.Changed, e.Output = uint32(i), true, true, fmt.Append(nil, id)
			if _, err := c.Ended(e); err != nil {
				t.Fatal(err)
			}
		}
		outputs = append(outputs, c.End(EndedWell))
	}
	if outputs[0] == [16]byte{} || outputs[0] != outputs[1] {
		t.Errorf("outputs %x", outputs)
	}
}

// TestEviction: no record outlives the results, not even that of a step under way.
func TestEviction(t *testing.T) {
	for _, tag := range []string{"all", "jobs"} {
		s := opened(t)
		begin(t, s, "t", 1).do("a b").well()
		begin(t, s, "u", 2).do("a").well()
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		w := begin(t, s, "t", 3).do("a")
		if _, err := s.Evict(tag); err != nil {
			t.Fatal(err)
		}
		for _, task := range []string{"t", "u"} {
			if st := recordOf(t, s, task); st.known || len(st.Jobs) > 0 || st.Output != [16]byte{} {
				t.Errorf("%s leaves %+v of %s", tag, st, task)
			}
		}
		w.do("b").well()
		if st := recordOf(t, s, "t"); len(st.Jobs) != 1 {
			t.Errorf("%s: behind it %+v", tag, st)
		}
	}
}

// TestRecordsBounded: the records of the lowest attempts go first.
func TestRecordsBounded(t *testing.T) {
	s := opened(t)
	s.mu.Lock()
	for i := range stepsMax + 1 {
		st := &stepState{record: record{Attempt: uint64(stepsMax + 10 - i)}}
		st.changed()
		s.steps[fmt.Sprintf("task %05d", i)] = st
	}
	batch, err := s.unwritten()
	s.mu.Unlock()
	if err != nil || len(batch) != stepsMax+1 {
		t.Fatal(len(batch), err)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	for task, known := range map[string]bool{"task 00000": true, "task 16384": false, fmt.Sprintf("task %05d", stepsMax-stepsSpare-1): true} {
		if st := recordOf(t, s, task); st.known != known {
			t.Errorf("%s is known: %v", task, st.known)
		}
	}
}

// TestInputsKept: what a plan does not name is kept, but not without bound.
func TestInputsKept(t *testing.T) {
	s := opened(t)
	for i := range inputsSpare + 10 {
		c, err := s.Begin("t", uint64(i+1), 0, nil, []Input{{Task: fmt.Sprint(i), Output: [16]byte{1}}}, NotBegun)
		if err != nil {
			t.Fatal(err)
		}
		c.End(EndedWell)
	}
	st := recordOf(t, s, "t")
	if len(st.Inputs) != inputsSpare+1 || inputOf(st.Inputs, "8") >= 0 || !slices.Contains(st.Inputs, Input{Task: "9", Output: [16]byte{1}}) {
		t.Errorf("%d inputs", len(st.Inputs))
	}
}

// dropBucket makes the file one of an earlier program.
func dropBucket(t *testing.T, s *Store) {
	t.Helper()
	if err := s.db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketSteps) }); err != nil {
		t.Fatal(err)
	}
}

func recordOf(t *testing.T, s *Store, task string) stepState {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.step(task)
	if err != nil {
		t.Fatal(err)
	}
	return *st
}

// FuzzNote: whatever the journal holds as a note is refused or taken, and taken twice is
// the same as once, but for the output.
func FuzzNote(f *testing.F) {
	s, err := Open(filepath.Join(f.TempDir(), "facts.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	c, err := s.Begin("seed", 1, 0, nil, []Input{{Task: "a"}}, NotBegun)
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range []Ending{{Key: &Key{1}, Succeeded: true, Changed: true}, {Changed: true}, {Key: &Key{1}}} {
		note, err := c.Ended(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(note)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var n note
		if wire.Unmarshal(data, &n) != nil {
			return
		}
		r := record{Jobs: []done{{Key: digest{1}}, {Key: digest{2}, Due: true}, {Key: digest{1}, Attempt: 6}}}
		r.apply(7, &n)
		output, once := r.Output, fmt.Sprintf("%+v", r)
		r.apply(7, &n)
		if r.Output = output; fmt.Sprintf("%+v", r) != once {
			t.Errorf("%s, and again %+v", once, r)
		}
	})
}

// BenchmarkCourse is what the record costs for a job that is left alone, and for one that
// runs, in a step of 64.
func BenchmarkCourse(b *testing.B) {
	const jobs = 64
	for _, left := range []bool{true, false} {
		b.Run(fmt.Sprintf("left=%v", left), func(b *testing.B) {
			s, err := Open(filepath.Join(b.TempDir(), "facts.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			attempt := uint64(0)
			for b.Loop() {
				attempt++
				c, err := s.Begin("t", attempt, 0, []string{"required"}, nil, NotBegun)
				if err != nil {
					b.Fatal(err)
				}
				for i := range uint32(jobs) {
					key := Key{byte(i)}
					c.Leaves(key, Result{}, Origin{Job: i})
					if _, err := c.Ended(Ending{Job: i, Key: &key, Left: left, Succeeded: true, Changed: true, Output: []byte("output\n")}); err != nil {
						b.Fatal(err)
					}
				}
				c.End(EndedWell)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/jobs, "ns/job")
		})
	}
}
