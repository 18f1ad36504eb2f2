package verb

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorate/internal/job"
	"quorate/nodeagent/facts"
)

// step executes jobs as those of a task's step, and returns the indexes of those that
// were not left alone, and the step's output.
func (h *host) step(texts []string, change func(*Env)) (ran []int, output [16]byte) {
	h.t.Helper()
	h.newRun()
	course, err := h.store.Begin("task", h.run, 0, nil, nil, facts.NotBegun)
	if err != nil {
		h.t.Fatal(err)
	}
	var jobs []job.Job
	for _, text := range texts {
		jobs = append(jobs, *h.job(text))
		h.next++
	}
	how := facts.EndedWell
	for i := range jobs {
		env := h.env(jobs[i].Index)
		env.Course, env.Loads, env.Attempt, env.Provenance.Task = course, Loads(jobs), h.run, "task"
		if change != nil {
			change(env)
		}
		res := Execute(context.Background(), env, &jobs[i])
		if res.Info != InfoSkipped {
			ran = append(ran, i)
		}
		if res.Outcome != Succeeded {
			how = facts.EndedOtherwise
			break
		}
	}
	return ran, course.End(how)
}

// TestWhatMakesOthersRun: which of its jobs a step runs once something is another way,
// and whether what requires it has to follow. Of the jobs, the last is a command.
func TestWhatMakesOthersRun(t *testing.T) {
	again := func(env *Env) { env.Again = true }
	for _, c := range []struct {
		name   string
		jobs   string // one a line
		edit   func(h *host)
		change func(*Env)
		runs   []int
		follow bool
	}{
		{"nothing", "ADD conf etc/conf\nRUN echo reload", nil, nil, []int{0}, false},
		{"a file", "ADD conf etc/conf\nRUN echo reload", func(h *host) { h.file("conf", "b") }, nil, []int{0, 1}, true},
		{"drift", "ADD conf etc/conf\nRUN echo reload", func(h *host) { h.write("etc/conf", "x") }, nil, []int{0, 1}, true},
		{"a file that was interrupted", "ADD conf etc/conf\nRUN echo reload", nil, again, []int{0, 1}, true},
		{"a file that the step loads", "ADD conf etc/conf\nCACHEFILE etc/conf\nRUN echo reload", func(h *host) { h.file("conf", "a: 2") }, nil, []int{0, 1}, false},
		{"a file that the step loads, in a directory", "ADD conf etc/\nCACHEFILE etc/conf\nRUN echo reload", func(h *host) { h.file("conf", "a: 2") }, nil, []int{0, 1}, false},
		{"a file beside one that the step loads", "ADD conf etc/other\nCACHEFILE etc/values\nRUN echo reload", func(h *host) { h.file("conf", "a: 2") }, nil, []int{0, 1, 2}, true},
		{"a loaded value that a command uses", "ADD conf etc/conf\nCACHEFILE etc/conf\nRUN echo {{ a }}\nRUN echo reload", func(h *host) { h.file("conf", "a: 2") }, nil, []int{0, 1, 2, 3}, true},
		{"an argument", "ARG a {{ c }}\nENV B {{ c }}\nRUN echo reload", func(h *host) { h.vars[0].Value = "2" }, nil, []int{0, 1}, false},
		{"a command that always runs", "RUN --skip-cache cat etc/c\nRUN echo reload", func(h *host) { h.write("etc/c", "2") }, nil, []int{0}, false},
		{"a command that says another thing", "RUN cat etc/c\nRUN echo reload", func(h *host) { h.write("etc/c", "2"); h.evict("cat etc/c") }, nil, []int{0, 1}, true},
		{"a command that says the same", "RUN cat etc/c\nRUN echo reload", func(h *host) { h.evict("cat etc/c") }, nil, []int{0}, false},
		{"a command that only looks", "RUN --read-only cat etc/c\nRUN echo reload", func(h *host) { h.write("etc/c", "2"); h.evict("--read-only cat etc/c") }, nil, []int{0}, false},
		{"words", "ECHO {{ c }}\nRUN echo reload", nil, nil, []int{}, false},
		{"a whole run", "RUN cat etc/c\nRUN echo reload", nil, func(env *Env) { env.IgnoreCache = true }, []int{0, 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			h.vars = []job.Option{{Name: "c", Value: "1"}}
			h.etc()
			h.write("etc/c", "1")
			h.write("etc/values", "x: 1")
			source := h.file("conf", "a: 1")
			jobs := strings.Split(strings.ReplaceAll(c.jobs, "ADD conf", "ADD "+source), "\n")
			_, before := h.step(jobs, nil)
			if c.edit != nil {
				c.edit(h)
			}
			ran, output := h.step(jobs, c.change)
			if !slices.Equal(ran, c.runs) || (output != before) != c.follow {
				t.Errorf("runs %v, want %v; what requires it has to follow: %v, want %v", ran, c.runs, output != before, c.follow)
			}
			if ran, again := h.step(jobs, nil); again != output || slices.Contains(ran, len(jobs)-1) {
				t.Errorf("once more runs %v", ran)
			}
		})
	}
}

func (h *host) etc() {
	h.t.Helper()
	if err := os.Mkdir(filepath.Join(h.dir, "etc"), 0o755); err != nil {
		h.t.Fatal(err)
	}
}

// evict forgets that the command has succeeded.
func (h *host) evict(text string) {
	h.t.Helper()
	if err := h.store.Forget(keyOf(h.job("RUN " + text))); err != nil {
		h.t.Fatal(err)
	}
}

// TestForeseen: a rehearsal finds out what a run does then.
func TestForeseen(t *testing.T) {
	h := newHost(t)
	h.etc()
	jobs := []string{"ADD " + h.file("conf", "a") + " etc/conf", "RUN echo reload", "RUN --read-only echo looks"}
	rehearse := func() (ran []int, output [16]byte) {
		h.newRun()
		copied, err := h.store.Branch(t.TempDir() + "/facts.db")
		if err != nil {
			t.Fatal(err)
		}
		defer copied.Close()
		course, err := copied.Begin("task", h.run, 0, nil, nil, facts.NotBegun)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range jobs {
			j := h.job(text)
			h.next++
			env := h.env(j.Index)
			env.Facts, env.Course, env.Provenance.Task = copied, course, "task"
			if r := Rehearse(context.Background(), env, j, true); r.Result.Changed {
				ran = append(ran, i)
			}
		}
		return ran, course.End(facts.EndedWell)
	}
	_, before := h.step(jobs, nil)
	if ran, output := rehearse(); len(ran) > 0 || output != before {
		t.Errorf("where nothing has changed %v would run", ran)
	}
	h.file("conf", "b")
	if ran, output := rehearse(); !slices.Equal(ran, []int{0, 1, 2}) || output == before {
		t.Errorf("%v would run; what requires it would follow: %v", ran, output != before)
	}
	if ran, output := h.step(jobs, nil); !slices.Equal(ran, []int{0, 1, 2}) || output == before {
		t.Errorf("%v runs", ran)
	}
	if ran, output := rehearse(); len(ran) > 0 || output == before {
		t.Errorf("behind that %v would run", ran)
	}
}
