package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"quorate/engine/api"
)

// effects is where jobs leave a line for each time that they ran.
type effects string

func (s *site) effects() effects { return effects(filepath.Join(s.Dir, "effects")) }

// job is one that leaves its task's name, and takes a while.
func (e effects) job(seconds string) string {
	return fmt.Sprintf("echo $QUORATE_TASK >> %s; sleep %s", string(e), seconds)
}

// lines are the names that jobs have left, in the order in which they ran.
func (e effects) lines() []string {
	text, _ := os.ReadFile(string(e)) // there is none before the first job
	return strings.Fields(string(text))
}

// once wants each of the tasks of a deployment to have run once, in their order where
// that counts.
func (e effects) once(t *testing.T, name string, tasks int, ordered bool) {
	t.Helper()
	times := map[string]int{}
	var order []string
	for _, line := range e.lines() {
		if strings.HasPrefix(line, name+"-") {
			times[line]++
			order = append(order, line)
		}
	}
	for i := range tasks {
		task := fmt.Sprintf("%s-t%d", name, i)
		if times[task] != 1 {
			t.Errorf("%s ran %d times, want once", task, times[task])
		} else if ordered && order[i] != task {
			t.Errorf("%s ran as number %d, want %d", order[i], i, i)
		}
	}
}

// begin starts a run and returns its number, without waiting for its end.
func (s *site) begin(args ...string) string {
	s.t.Helper()
	out, err := s.Run(s.t.Context(), s.anyServer(), append(args, "--detach")...)
	if err != nil {
		s.t.Fatal(err)
	}
	run := strings.TrimSpace(string(out))
	if _, err := strconv.Atoi(run); err != nil {
		s.t.Fatalf("number of the run: %v", err)
	}
	return run
}

// show returns a run as the cluster sees it.
func (s *site) show(run string) *api.Run {
	s.t.Helper()
	client, err := s.anyServer().Local()
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	var r *api.Run
	err = s.Until(s.t.Context(), "run "+run+" is shown", func() (ok bool) {
		r, err = client.Run(s.t.Context(), run)
		return err == nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// steps counts the steps of a run with a status.
func steps(r *api.Run, status string) (n int) {
	for _, t := range r.Tasks {
		for _, s := range t.Steps {
			if s.Status == status {
				n++
			}
		}
	}
	return n
}

// endsWithin is how soon a run whose steps were done without a link ends when that is back.
const endsWithin = 2 * time.Second

// TestCutOff cuts the link to an agent that was sent a chain of steps ahead, kills the
// agent and the leader meanwhile, and wants all of it done when the link is back.
func TestCutOff(t *testing.T) {
	beside(t)
	tasks, cut, each := size(100, 20), size(time.Minute, 2*time.Second), size("0.2", "0.05")
	s := newSite(t, 3, 1, Conditions{Delay: size(roundTrip, 60*time.Millisecond) / 2})
	a, link := s.Agents()[0], s.links[0]
	e := s.effects()
	run := s.begin(s.writeTasks("chain", a.Name(), tasks, true, func(int) string { return e.job(each) })...)
	s.until("the chain goes on", func() bool { return len(e.lines()) >= 3 })

	link.Cut()
	began := time.Now()
	a.Kill()
	if leader := s.Leader(t.Context()); leader == nil {
		t.Fatal("nobody leads")
	} else {
		leader.Kill()
		s.until("another one leads", func() bool { l := s.Leader(t.Context()); return l != nil && l != leader })
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	s.until("the agent does without a link what it was sent", func() bool { return len(e.lines()) >= tasks })
	r := s.show(run)
	if n := steps(r, "shipped"); r.Status != "running" || n < tasks/2 {
		t.Errorf("behind the cut the run is %s and shows %d steps as shipped: %+v", r.Status, n, r.Summary)
	}
	<-time.After(cut - time.Since(began))
	link.Mend()
	back := time.Now()
	s.until("the run ends", func() bool { r = s.show(run); return r.Status != "running" && r.Status != "waiting" })
	took := time.Since(back)
	t.Logf("the run ended %.2f s after the link was back, which had been cut for %.1f s", took.Seconds(), back.Sub(began).Seconds())
	if full() && took > endsWithin {
		t.Errorf("the run ended %v after the link was back, want %v at most", took, endsWithin)
	}
	if r.Status != "succeeded" || r.Summary.Succeeded != tasks {
		t.Errorf("the run %s: %+v", r.Status, r.Summary)
	}
	for _, task := range r.Tasks {
		for _, step := range task.Steps {
			if step.Attempts != 1 {
				t.Errorf("step %s took %d attempts, want 1", step.ID, step.Attempts)
			}
		}
	}
	e.once(t, "chain", tasks, true)
}
