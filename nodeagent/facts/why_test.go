package facts

import "testing"

// Why tells of the tasks that came to something else where a job has run since, and of
// nothing in a first run and in one that leaves all alone.
func TestWhy(t *testing.T) {
	s := opened(t)
	id := uint64(0)
	run := func(task, jobs string, required ...string) string {
		t.Helper()
		id++
		w := begin(t, s, task, id, required...).do(jobs)
		why := w.c.Why()
		w.well()
		return why
	}
	for i, tt := range []struct{ a, b, c, want string }{
		{"A+", "B+", "C+", ""},
		{"A", "B", "C", ""},
		{"A+", "B", "C", "since a changed"},
		{"A", "B", "C", ""},
		{"A+", "B+", "C+", "since a and b and 1 more changed"},
		{"A", "B+", "C", "since b changed"},
	} {
		for task, jobs := range map[string]string{"a": tt.a, "b": tt.b, "c": tt.c} {
			run(task, jobs)
		}
		if why := run("d", "x", "c", "a", "b"); why != tt.want {
			t.Errorf("run %d: %q, want %q", i, why, tt.want)
		}
	}
	run("a", "A+")
	if why := run("d", "D", "a"); why != "" {
		t.Errorf("a job that looks for itself ran: %q", why)
	}
}

// TestWhyResumed: an attempt that goes on in another agent tells the reason for which
// the earlier one ran its jobs, wherever that one was ended.
func TestWhyResumed(t *testing.T) {
	for _, c := range []struct {
		name   string
		before string // what the earlier agent has come to the end of
		lost   bool   // the record was not written
		then   string
		want   string
	}{
		{"before its first job's end", "", false, "x y", "since a changed"},
		{"before that, and nothing is on disk", "", true, "x y", "since a changed"},
		{"behind a job", "x", false, "y", "since a changed"},
		{"behind a job that only the journal tells of", "x", true, "y", "since a changed"},
		{"behind its last job", "x y", true, "", "since a changed"},
		{"behind a job that looks for itself", "D", true, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := opened(t)
			begin(t, s, "a", 1).do("A+").well()
			begin(t, s, "d", 2, "a").do("x y D").well()
			begin(t, s, "a", 3).do("A+").well()
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			before := begin(t, s, "d", 4, "a").do(c.before)
			if !c.lost {
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			s.mu.Lock()
			s.steps = map[string]*stepState{} // it is in the file, or nowhere
			s.mu.Unlock()
			if _, err := s.Recollect("d", 4, before.notes, false); err != nil {
				t.Fatal(err)
			}
			begun := NotBegun
			if len(before.notes) > 0 {
				begun = BegunAndNoted
			}
			course, err := s.Begin("d", 4, 0, []string{"a"}, nil, begun)
			if err != nil {
				t.Fatal(err)
			}
			w := &walk{t: t, s: s, c: course, id: 4, job: before.job}
			if w.do(c.then); course.Why() != c.want {
				t.Errorf("%q, want %q", course.Why(), c.want)
			}
			w.well()
			if why := begin(t, s, "d", 5, "a").do("x y").c.Why(); why != "" {
				t.Errorf("%q in the next attempt, in which nothing has changed", why)
			}
		})
	}
}
