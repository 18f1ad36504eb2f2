package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/internal/soak/lab"
)

// A scene is a cluster of three orchestrators and six agents on the loopback
// interface, with a deployment of a hundred steps on record.
type scene struct {
	t       *testing.T
	lab     *lab.Lab
	effects Effects
	plan    *Deployment
	client  *api.Client // of all orchestrators
}

// sceneTasks times the six agents make the steps of a scene's run.
const sceneTasks = 17

func newScene(t *testing.T) *scene {
	t.Helper()
	bin, err := lab.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t}
	if s.lab, err = lab.New(t.Context(), lab.Options{Binary: bin, Orchestrators: 3, Agents: 6, Restless: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.lab.Logs(20))
		}
		if err := s.lab.Close(); err != nil {
			t.Error(err)
		}
	})
	s.effects = Effects{filepath.Join(s.lab.Dir, "effects")}
	if err := os.Mkdir(s.effects.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, a := range s.lab.Agents() {
		hosts = append(hosts, a.Name())
	}
	var tasks []Task
	for i := range sceneTasks {
		task := Task{Name: fmt.Sprintf("t%d", i), Jobs: []string{s.effects.Script() + "; sleep 0.05"}}
		if i > 0 {
			task.After = fmt.Sprintf("t%d", i-1)
		}
		tasks = append(tasks, task)
	}
	if s.plan, err = Compile(filepath.Join(s.lab.Dir, "input"), "hundred", hosts, tasks); err != nil {
		t.Fatal(err)
	}
	from, err := s.lab.Client("operator")
	if err != nil {
		t.Fatal(err)
	}
	if s.client, err = s.lab.Dial(from, s.lab.Servers()); err != nil {
		t.Fatal(err)
	}
	if err := s.plan.Record(t.Context(), s.client); err != nil {
		t.Fatal(err)
	}
	return s
}

// start starts the run, under a request id that is repeated until it is answered.
func (s *scene) start(id string) uint64 {
	s.t.Helper()
	var run *api.Run
	s.until("the start of a run", func() (err error) {
		ctx, cancel := context.WithTimeout(s.t.Context(), answerTimeout)
		defer cancel()
		run, err = s.client.CreateRun(ctx, api.RunSubmit{PlanID: s.plan.PlanID, RequestID: id, IgnoreCache: true})
		return err
	})
	return run.ID
}

// until repeats what may fail while nobody leads.
func (s *scene) until(what string, try func() error) {
	s.t.Helper()
	var last error
	err := s.lab.Until(s.t.Context(), what, func() bool { last = try(); return last == nil })
	if err != nil {
		s.t.Fatal(errors.Join(err, last))
	}
}

// show returns a run.
func (s *scene) show(id uint64) (run *api.Run, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), answerTimeout)
	defer cancel()
	return s.client.Run(ctx, strconv.FormatUint(id, 10))
}

// reached waits until so many steps of a run have succeeded.
func (s *scene) reached(id uint64, steps int) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d steps of run %d", steps, id), func() error {
		run, err := s.show(id)
		if err == nil && run.Summary.Succeeded < steps && !run.Done() {
			err = fmt.Errorf("run is %s with %d", run.Status, run.Summary.Succeeded)
		}
		return err
	})
}

// undisturbed wants the run to end as if nothing had happened: every step
// succeeded in its first attempt, with each effect once.
func (s *scene) undisturbed(id uint64) {
	s.t.Helper()
	s.reached(id, sceneTasks*6)
	s.until("the end of the run", func() error {
		run, err := s.show(id)
		if err == nil && !run.Done() {
			err = errors.New(run.Status)
		}
		return err
	})
	run, err := s.show(id)
	if err != nil {
		s.t.Fatal(err)
	}
	if run.Status != "succeeded" {
		s.t.Errorf("run %d %s: %+v", id, run.Status, run.Summary)
	}
	counts, err := s.effects.Count()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, task := range run.Tasks {
		for _, st := range task.Steps {
			if n := counts[Place{st.Attempt, 0}]; st.Status != "succeeded" || st.Attempts != 1 || n != 1 {
				s.t.Errorf("%s is %s after %d attempts with %d effects, want it succeeded, at once, with one", st.ID, st.Status, st.Attempts, n)
			}
		}
	}
}

// TestLeaderKilled kills the leader at random moments during runs of a hundred
// steps: each effect happens once, and every run ends as an undisturbed one does.
// It takes QUORATE_SOAK_KILLS rounds, or a few.
func TestLeaderKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	seed := number(t, "QUORATE_SOAK_SEED", uint64(time.Now().UnixNano())%1_000_000)
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newScene(t)
	for round := range number(t, "QUORATE_SOAK_KILLS", 3) {
		id := s.start(fmt.Sprintf("round-%d", round))
		s.reached(id, r.IntN(sceneTasks*6))
		<-time.After(time.Duration(r.IntN(int(100 * time.Millisecond))))
		leader := s.lab.Leader(t.Context())
		for leader == nil {
			leader = s.lab.Leader(t.Context())
		}
		leader.Kill()
		s.undisturbed(id)
		if err := leader.Start(); err != nil {
			t.Fatal(err)
		}
		if err := s.lab.Serving(t.Context(), leader); err != nil {
			t.Fatal(err)
		}
	}
	s.sameEverywhere()
}

// sameEverywhere stops all orchestrators and wants the same log, and the same
// state of it, in every directory.
func (s *scene) sameEverywhere() {
	s.t.Helper()
	k := &soak{lab: s.lab, cfg: Config{Log: s.t.Logf}}
	var replicas []replica
	for _, o := range s.lab.Servers() {
		if err := o.Stop(); err != nil {
			s.t.Error(err)
		}
		if out, err := s.lab.Run(s.t.Context(), o, "replay", "--verify", "--data-dir", o.Dir); err != nil {
			s.t.Errorf("%v: %s", err, out)
		}
		r, err := readReplica(o)
		if err != nil {
			s.t.Fatal(err)
		}
		replicas = append(replicas, r)
	}
	if _, err := k.sameState(replicas); err != nil {
		s.t.Error(err)
	}
}

// TestReplaced loses an orchestrator for good in the middle of a run and replaces
// it by one command, which the run does not notice.
func TestReplaced(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	s := newScene(t)
	id := s.start("replaced")
	s.reached(id, 20)
	victim := s.lab.Leader(t.Context())
	if victim == nil {
		t.Fatal("nobody leads")
	}
	number := victim.Replica(t.Context())
	victim.Kill()
	victim.Leave()
	if err := os.RemoveAll(victim.Dir); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var fresh *lab.Server
	s.until("the replacement", func() (err error) {
		fresh, err = s.lab.Join(t.Context(), number)
		return err
	})
	s.until("three voting orchestrators", func() error {
		if n := s.lab.Voters(t.Context()); n != 3 {
			return fmt.Errorf("%d vote", n)
		}
		return nil
	})
	t.Logf("%s votes %s after the command", fresh.Name(), time.Since(began).Round(10*time.Millisecond))
	s.undisturbed(id)
	s.sameEverywhere()
}

// TestMajorityLost kills two of three orchestrators during a run: no command is
// acknowledged, reads say that they may be old, agents finish what they have, and
// all goes on when one is back.
func TestMajorityLost(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	s := newScene(t)
	id := s.start("before")
	s.reached(id, 20)
	servers := s.lab.Servers()
	killAll(servers[:2])
	stale := false
	from, err := s.lab.Client("reader")
	if err != nil {
		t.Fatal(err)
	}
	left, err := s.lab.Dial(from, servers[2:], api.WithNotice(func(n api.Notice) { stale = stale || n.Stale }))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if run, err := left.CreateRun(ctx, api.RunSubmit{PlanID: s.plan.PlanID, RequestID: "without a majority"}); err == nil {
		t.Errorf("run %d was acknowledged by one of three", run.ID)
	} else if !strings.Contains(err.Error(), "majority") {
		t.Errorf("the refusal does not say why: %v", err)
	}
	if _, err := left.Run(ctx, strconv.FormatUint(id, 10)); err != nil || !stale {
		t.Errorf("read without a majority: stale %t, %v; want an answer that says so", stale, err)
	}
	if err := servers[0].Start(); err != nil {
		t.Fatal(err)
	}
	s.undisturbed(id)
	if err := servers[1].Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.lab.Serving(t.Context(), servers[1]); err != nil {
		t.Fatal(err)
	}
	s.sameEverywhere()
}
