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
