package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quorate/engine/api"
)

// A chained task is one of a chain's: a line of shell behind the one that leaves the
// task's name among the effects.
type chained struct{ name, then string }

// A story is a deployment to one host that is told twice: with steps that are sent
// ahead, and without.
type story struct {
	name string
	// chains are tasks in which each requires the one before.
	chains [][]chained
	flags  []string
	// meanwhile happens while the run goes on.
	meanwhile func(t *testing.T, c *cluster, told *telling)
	// effects are the tasks that take effect in their order, and unordered those of
	// which that is not known; statuses is how each step ends.
	effects   string
	unordered bool
	statuses  string
	code      int
}

// A telling is one run of a story. Its jobs know its directory as $TELLING.
type telling struct {
	dir   string
	ahead bool
	apply *command
}

func (d *telling) effects() []string {
	text, _ := os.ReadFile(filepath.Join(d.dir, "effects"))
	return strings.Fields(string(text))
}

// reached waits until a task has begun.
func (d *telling) reached(t *testing.T, task string) {
	t.Helper()
	eventually(t, "effect of "+task, func() bool {
		select {
		case <-d.apply.done:
			t.Fatalf("the run ended before %s: %s", task, d.apply)
		default:
		}
		return slices.Contains(d.effects(), task)
	})
}

func (d *telling) leave(t *testing.T, file string) {
	t.Helper()
	writeFiles(t, d.dir, map[string]string{file: ""})
}

// hold is the shell that waits for a file of the telling's, and ends by itself where
// a test that failed has removed all of it.
func hold(file string) string {
	return "while test -e $TELLING && ! test -e $TELLING/" + file + "; do sleep 0.02; done"
}

// queued are stories of independent tasks that wait for each other's places.
func queued() []story {
	one, two := []string{"--parallel-per-host", "1"}, []string{"--parallel-per-host", "2"}
	return []story{
		{
			name: "places", flags: one, chains: [][]chained{{{"a0", "true"}}, {{"b0", "exit 3"}}, {{"c0", "true"}, {"c1", "true"}}},
			effects: "a0 b0 c0 c1", statuses: "succeeded failed succeeded succeeded", code: exitRunFailed,
		},
		{
			name: "places, killed", flags: two, effects: "a0 b0 c0 d0", unordered: true, statuses: "succeeded succeeded succeeded succeeded",
			chains: [][]chained{{{"a0", hold("go")}}, {{"b0", hold("go")}}, {{"c0", "true"}}, {{"d0", "true"}}},
			meanwhile: func(t *testing.T, c *cluster, told *telling) {
				told.reached(t, "a0")
				told.reached(t, "b0")
				c.kill("host-1")
				told.leave(t, "go")
				c.restart("host-1")
			},
		},
		{
			name: "places, cancel", flags: one, effects: "a0", statuses: "cancelled cancelled cancelled cancelled", code: exitRunFailed,
			chains: [][]chained{{{"a0", hold("go")}}, {{"b0", "true"}}, {{"c0", "true"}, {"c1", "true"}}},
			meanwhile: func(t *testing.T, c *cluster, told *telling) {
				told.reached(t, "a0")
				if told.ahead {
					eventually(t, "steps that wait for a place", func() bool {
						run, err := c.client.Run(t.Context(), "latest")
						return err == nil && len(stepsOf(run, "shipped")) == 3
					})
				}
				if cancel := c.command("run", "cancel", "latest", "--yes"); cancel.code() != 0 {
					t.Errorf("cancel: %s", cancel)
				}
			},
		},
	}
}

// stories are about chains in whose middle something happens.
func stories() []story {
	four := []chained{{"a0", "true"}, {"a1", "true"}, {"a2", "true"}, {"a3", "true"}}
	fails := []chained{{"a0", "true"}, {"a1", "exit 3"}, {"a2", "true"}, {"a3", "true"}}
	holds := []chained{{"a0", "true"}, {"a1", hold("go")}, {"a2", "true"}, {"a3", "true"}}
	return []story{
		{name: "order", chains: [][]chained{four}, effects: "a0 a1 a2 a3", statuses: "succeeded succeeded succeeded succeeded"},
		{name: "failure", chains: [][]chained{fails}, effects: "a0 a1", statuses: "succeeded failed skipped skipped", code: exitRunFailed},
		{
			name: "cancel", chains: [][]chained{holds}, effects: "a0 a1", statuses: "succeeded cancelled cancelled cancelled", code: exitRunFailed,
			meanwhile: func(t *testing.T, c *cluster, told *telling) {
				told.reached(t, "a1")
				if cancel := c.command("run", "cancel", "latest", "--yes"); cancel.code() != 0 {
					t.Errorf("cancel: %s", cancel)
				}
			},
		},
		{
			name: "fail-fast", flags: []string{"--fail-fast"}, code: exitRunFailed,
			chains:  [][]chained{holds, {{"b0", hold("fail") + "; exit 3"}, {"b1", "true"}}},
			effects: "a0 a1 b0", unordered: true, statuses: "succeeded failed succeeded skipped skipped skipped",
			meanwhile: func(t *testing.T, c *cluster, told *telling) {
				told.reached(t, "a1")
				told.reached(t, "b0")
				told.leave(t, "fail")
				eventually(t, "the failure on record", func() bool {
					run, err := c.client.Run(t.Context(), "latest")
					return err == nil && len(stepsOf(run, "failed")) == 1
				})
				told.leave(t, "go")
			},
		},
		{
			name: "killed", chains: [][]chained{holds}, effects: "a0 a1 a2 a3", statuses: "succeeded succeeded succeeded succeeded",
			meanwhile: func(t *testing.T, c *cluster, told *telling) {
				told.reached(t, "a1")
				c.kill("host-1")
				told.leave(t, "go") // what was started goes on without the agent
				c.restart("host-1")
			},
		},
	}
}

// TestAhead wants a run to end the same whether steps were sent ahead or not, whatever
// happens in the middle of it.
func TestAhead(t *testing.T) {
	t.Parallel()
	c := newCluster(t, logEmbedded, "host-1")
	for _, s := range append(stories(), queued()...) {
		for _, ahead := range []int{1024, 0} {
			t.Run(fmt.Sprintf("%s/ahead=%d", s.name, ahead), func(t *testing.T) { s.tell(t, c, ahead) })
		}
	}
}

func (s *story) tell(t *testing.T, c *cluster, ahead int) {
	told := &telling{dir: filepath.Join(c.dir, strings.ReplaceAll(fmt.Sprintf("%s-%d", s.name, ahead), ", ", "-")), ahead: ahead > 0}
	args := append([]string{"apply", "--ahead", strconv.Itoa(ahead)}, s.flags...)
	told.apply = c.command(append(args, s.write(t, told.dir)...)...)
	if s.meanwhile != nil {
		s.meanwhile(t, c, told)
	}
	if code := told.apply.code(); code != s.code {
		t.Fatalf("want exit %d: %s", s.code, told.apply)
	}
	effects := told.effects()
	if s.unordered {
		slices.Sort(effects)
	}
	if got := strings.Join(effects, " "); got != s.effects {
		t.Errorf("effects %q, want %q", got, s.effects)
	}
	run, err := c.client.Run(t.Context(), "latest")
	if err != nil {
		t.Fatal(err)
	}
	var statuses []string
	for _, task := range run.Tasks {
		for _, step := range task.Steps {
			statuses = append(statuses, step.Status)
			if step.Attempts > 1 {
				t.Errorf("step %s took %d attempts", step.ID, step.Attempts)
			}
		}
	}
	if got := strings.Join(statuses, " "); got != s.statuses {
		t.Errorf("steps are %s, want %s", got, s.statuses)
	}
	s.checkLog(t, c, run, ahead)
}

// checkLog wants the log to tell what was sent ahead, and what of all never began.
func (s *story) checkLog(t *testing.T, c *cluster, run *api.Run, ahead int) {
	sent, never := 0, 0
	for event, err := range c.client.Log(t.Context(), api.LogQuery{Run: run.ID}) {
		if err != nil {
			t.Fatal(err)
		}
		fields, _ := event.Event.(map[string]any)
		switch {
		case event.Void:
		case event.Kind == "step_scheduled" && (fields["ahead"] == true || fields["queues"] == true):
			sent++
		case event.Kind == "task_skipped":
			never++
		case event.Kind == "attempt_ended" && fields["outcome"] == "not_started":
			never++
		}
	}
	if ahead == 0 && sent != 0 || ahead > 0 && sent == 0 {
		t.Errorf("%d steps were sent ahead", sent)
	}
	if want := len(run.Tasks) - len(strings.Fields(s.effects)); never != want {
		t.Errorf("the log tells of %d tasks that never began, want %d", never, want)
	}
}

// write writes the story's files and returns the arguments that name them.
func (s *story) write(t *testing.T, dir string) []string {
	t.Helper()
	var text strings.Builder
	text.WriteString("id: s\nversion: \"1.0\"\ntype: service\ntasks:\n")
	for _, chain := range s.chains {
		for i, task := range chain {
			fmt.Fprintf(&text, "  - id: %s\n    driver: directord\n    provides: [s.%s]\n", task.name, task.name)
			if i > 0 {
				fmt.Fprintf(&text, "    requires: [s.%s]\n", chain[i-1].name)
			}
			then := strings.ReplaceAll(task.then, "$TELLING", dir)
			fmt.Fprintf(&text, "    jobs:\n      - RUN: echo %s >> %s/effects; %s\n", task.name, dir, then)
		}
	}
	writeFiles(t, dir, map[string]string{
		"input/s.yaml": text.String(), "inventory.yaml": "hosts:\n  host-1: {role: node}\n", "roles.yaml": "node:\n  services: [s]\n",
	})
	return []string{"-s", filepath.Join(dir, "input"), "-i", filepath.Join(dir, "inventory.yaml"), "-r", filepath.Join(dir, "roles.yaml")}
}
