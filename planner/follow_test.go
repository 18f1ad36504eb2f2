package planner_test

import (
	"slices"
	"strings"
	"testing"

	"quorate/planner"
)

// follows are the tasks that a task itself requires.
func (o outcome) follows(t *testing.T, id string) string {
	t.Helper()
	i := slices.IndexFunc(o.Tasks, func(task planner.Task) bool { return task.ID == id })
	if i < 0 {
		t.Fatalf("there is no task %s", id)
	}
	var ids []string
	for _, p := range o.Follows(uint32(i)) {
		ids = append(ids, o.Tasks[p].ID)
	}
	return strings.Join(ids, " ")
}

// TestFollows: a task follows what it requires, also where that says so itself, and not
// what it waits for because the task between the two is left out.
func TestFollows(t *testing.T) {
	o := narrowed(t, planner.Options{})
	if got := o.follows(t, "c-t"); got != "b-t" {
		t.Errorf("c follows %q", got)
	}
	o = narrowed(t, planner.Options{Restrict: []string{"c-t", "a-t"}})
	if got := o.follows(t, "c-t"); got != "" || o.after(t, "c-t") != "a-t" {
		t.Errorf("c, without b, follows %q", got)
	}
	o = compileFiles(t, deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: directord, jobs: [{RUN: x}], provides: [a], needed-by: [b]"),
		"services/b.yaml": service("b", "id: t, driver: directord, jobs: [{RUN: y}], provides: [b]"),
	}, "h1: a b"), planner.Options{})
	if got := o.follows(t, "b-t"); got != "a-t" {
		t.Errorf("b, which a is needed by, follows %q", got)
	}
	o = compileGroups(t, "- {name: one, targets: [n1], jobs: [{RUN: x}]}\n- {name: two, targets: [n1], jobs: [{RUN: x}]}\n", planner.Options{})
	if got := o.follows(t, "two"); got != "" || o.after(t, "two") == "" {
		t.Errorf("an orchestration follows %q", got)
	}
}

// marks are the tasks of a plan that something is left out of.
func (o outcome) marks() string {
	var out []string
	for i := range o.Tasks {
		if o.Tasks[i].Narrowed {
			out = append(out, o.Tasks[i].ID)
		}
		if o.Tasks[i].Partial {
			out = append(out, o.Tasks[i].ID+"(partial)")
		}
	}
	return strings.Join(out, " ")
}

// TestMarks: a plan says of which tasks hosts or jobs are left out, and of which tasks of
// the engine what they follow from. A whole plan has the id that it had before plans did.
func TestMarks(t *testing.T) {
	files := deployment(map[string]string{
		"services/a.yaml": service("a", "id: t, driver: directord, jobs: [{RUN: x}, {RUN: --run-once another}], provides: [a]"),
		"services/b.yaml": service("b", "id: t, driver: directord, jobs: [{RUN: y}], requires: [a], provides: [b]",
			"id: said, driver: print, message: x, requires: [a], provides: [said]", "id: done, driver: noop, requires: [said, first], provides: [done]"),
		"services/d.yaml": service("d", "id: first, driver: print, message: x, provides: [first]"),
		"services/c.yaml": service("c", "id: t, driver: directord, jobs: [{RUN: z}], requires: [b, done]"),
	}, "h1: a", "h2: a b c d")
	fingerprint := compileFiles(t, files, planner.Options{}).task(t, "a-t").Jobs[1].Spec.Fingerprint
	for _, c := range []struct {
		opt  planner.Options
		want string
	}{
		{planner.Options{}, ""},
		{planner.Options{Limit: []string{"h1", "h2"}}, ""},
		{planner.Options{Limit: []string{"h2"}}, "a-t b-said b-done"},
		{planner.Options{Restrict: []string{"a", "b", "c", "d"}}, ""},
		{planner.Options{Restrict: []string{"a", "b", "c"}}, "b-done"},
		{planner.Options{Restrict: []string{"b", "c"}}, "b-said b-done"},
		{planner.Options{Restrict: []string{"b-done", "c"}}, "b-done"},
		{planner.Options{Restrict: []string{fingerprint, "b", "c"}}, "a-t(partial) b-said b-done"},
	} {
		o := compileFiles(t, files, c.opt)
		if got := o.marks(); got != c.want {
			t.Errorf("with %+v %q are marked, want %q", c.opt, got, c.want)
		}
		again, err := planner.Decode(o.Encode())
		if err != nil || (outcome{Plan: again}).marks() != c.want {
			t.Errorf("with %+v the plan is read back as %+v: %v", c.opt, again, err)
		}
		if same := o.Unmarked().ID() == o.ID(); same != (c.want == "") {
			t.Errorf("with %+v the id without marks is the same: %v", c.opt, same)
		}
	}
}
