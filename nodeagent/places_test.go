package nodeagent

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// placed puts attempts of one job into the agent's journal that wait for one of so many
// places, as dispatches do.
func placed(t *testing.T, j *journal.Journal, places uint32, ids ...uint64) {
	t.Helper()
	placedIn(t, j, &wire.Step{Run: 1, Host: "n", Jobs: []job.Job{{Verb: "NONE"}}}, places, ids...)
}

// placedIn does so with a step of that run.
func placedIn(t *testing.T, j *journal.Journal, step *wire.Step, places uint32, ids ...uint64) {
	t.Helper()
	var id string
	j.View(func(s *journal.State) { id = s.JournalID })
	err := j.Commit(func(s *journal.State, add func(journal.Record)) error {
		for _, attempt := range ids {
			step.Task = fmt.Sprint("t", attempt)
			spec, err := wire.EncodeStep(step)
			if err != nil {
				return err
			}
			m := &wire.Dispatch{Fence: wire.Fence{JournalID: id}, Attempt: attempt, Spec: spec, Places: places}
			for _, r := range s.Dispatch(journal.Here{}, m, journal.Work{Step: journal.StepName(step.Run, step.Task, "n"), Jobs: 1, FailFast: step.FailFast}).Records {
				add(r)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func next(t *testing.T, started <-chan uint64) uint64 {
	t.Helper()
	select {
	case id := <-started:
		return id
	case <-time.After(waitMax):
		t.Fatal("nothing starts")
	}
	return 0
}

// TestPlacesAreKept: all attempts run, in their order, and never more at once than
// there are places.
func TestPlacesAreKept(t *testing.T) {
	const places, attempts = 3, 40
	var under, most atomic.Int32
	started, release := make(chan uint64), make(chan struct{})
	a, j, _ := chained(t, func(_ *journal.Journal, env *verb.Env) verb.Result {
		if n := under.Add(1); n > most.Load() {
			most.Store(n)
		}
		started <- env.Attempt
		<-release
		under.Add(-1)
		return verb.Result{Outcome: verb.Succeeded}
	})
	var ids []uint64
	for id := uint64(1); id <= attempts; id++ {
		ids = append(ids, id)
	}
	placed(t, j, places, ids...)
	a.startAll(ids)
	ran := map[uint64]bool{}
	for range places {
		ran[next(t, started)] = true
	}
	for id := uint64(1); id <= places; id++ {
		if !ran[id] {
			t.Errorf("attempt %d is not among the first: %v", id, ran)
		}
	}
	for id := uint64(places + 1); id <= attempts; id++ {
		release <- struct{}{}
		if got := next(t, started); got != id {
			t.Errorf("attempt %d starts, want %d", got, id)
		}
	}
	for range places {
		release <- struct{}{}
	}
	a.jobs.Wait()
	if n := most.Load(); n != places {
		t.Errorf("%d were under way at once, want %d", n, places)
	}
	j.View(func(s *journal.State) {
		if open := s.Open(); len(open) > 0 {
			t.Errorf("attempts %v have not ended", open)
		}
	})
}

// TestWaitingForHostsTakesNoPlace: a step that waits for other hosts gives its place
// on, since those may wait for what has to start here.
func TestWaitingForHostsTakesNoPlace(t *testing.T) {
	started, release := make(chan uint64, 2), make(chan struct{})
	a, j, _ := chained(t, func(_ *journal.Journal, env *verb.Env) verb.Result {
		started <- env.Attempt
		if env.Attempt == 1 {
			if err := env.Fleet.Publish(nil, true); err != nil {
				return verb.Result{Outcome: verb.Failed, Info: err.Error()}
			}
			<-release
		}
		return verb.Result{Outcome: verb.Succeeded}
	})
	placed(t, j, 1, 1, 2)
	a.startAll([]uint64{1, 2})
	for want := uint64(1); want <= 2; want++ {
		if got := next(t, started); got != want {
			t.Errorf("attempt %d starts, want %d", got, want)
		}
	}
	close(release)
	a.jobs.Wait()
}

// TestFailFastNeedsAConnection: what waits for a place in a run that fails fast does not
// start while the agent is cut off, since it cannot hear of a failure, and goes on when
// it is back; other runs go on by themselves.
func TestFailFastNeedsAConnection(t *testing.T) {
	started, release := make(chan uint64, 8), make(chan struct{}, 8)
	a, j, _ := chained(t, func(_ *journal.Journal, env *verb.Env) verb.Result {
		started <- env.Attempt
		<-release
		return verb.Result{Outcome: verb.Succeeded}
	})
	close(a.resumed)
	placedIn(t, j, &wire.Step{Run: 1, Host: "n", FailFast: true, Jobs: []job.Job{{Verb: "NONE"}}}, 1, 1, 2)
	placedIn(t, j, &wire.Step{Run: 2, Host: "n", Jobs: []job.Job{{Verb: "NONE"}}}, 1, 3, 4)
	a.startAll([]uint64{1, 2, 3, 4})
	begun := map[uint64]bool{next(t, started): true, next(t, started): true}
	for range 4 {
		release <- struct{}{}
	}
	if begun[next(t, started)] = true; !begun[1] || !begun[3] || !begun[4] {
		t.Fatalf("attempts %v have begun", begun)
	}
	a.jobs.Wait()
	if len(started) > 0 {
		t.Fatalf("attempt %d starts while its agent is cut off", <-started)
	}
	a.setSession(&session{agent: a, changed: make(chan struct{}, 1)})
	if got := next(t, started); got != 2 {
		t.Errorf("attempt %d starts, want 2", got)
	}
	a.jobs.Wait()
}
