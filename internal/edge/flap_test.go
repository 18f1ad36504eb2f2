package edge

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"quorate/engine/api"
)

// eventsPerCut is how much a cut and a return of a link may add to the log: an end of
// a connection and the next one, at each of the three orchestrators that the agent may
// turn to before one has it.
const eventsPerCut = 6

// TestFlapping cuts a bad link again and again, gives the agent another address now and
// then, and lets runs go on meanwhile. Nothing may be lost, repeated or stuck, and the
// log must not fill up with it.
func TestFlapping(t *testing.T) {
	beside(t)
	cuts, longest, tasks := size(100, 4), size(4*time.Second, 300*time.Millisecond), size(30, 10)
	seed := rand.Uint64()
	if text := os.Getenv("QUORATE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("QUORATE_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("QUORATE_SEED=%d go test ./internal/edge -run '^%s$'", seed, t.Name())
	random := rand.New(rand.NewPCG(seed, 0))
	s := newSite(t, size(3, 1), 1, Conditions{Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.05, Reorder: 0.05})
	e := s.effects()
	before := s.kinds()

	var addresses int
	var trouble error
	over := make(chan struct{})
	go func() { // joined below
		defer close(over)
		addresses, trouble = s.flap(random, cuts, longest)
	}()
	var runs []string
	for more := true; more; {
		select {
		case <-over:
			more = false // one more, or the first
		default:
		}
		n := len(runs)
		run := s.begin(s.writeTasks(fmt.Sprintf("flap%d", n), s.Agents()[0].Name(), tasks, n%3 != 2, func(int) string { return e.job("0.1") })...)
		runs = append(runs, run)
		s.until("run "+run+" ends", func() bool { return settled(s.show(run)) })
	}
	if trouble != nil {
		t.Fatal(trouble)
	}

	for n, run := range runs {
		r := s.show(run)
		if r.Status != "succeeded" || r.Summary.Succeeded != tasks {
			t.Errorf("run %s is %s: %+v", run, r.Status, r.Summary)
		}
		e.once(t, fmt.Sprintf("flap%d", n), tasks, n%3 != 2)
	}
	after := s.kinds()
	connections := 0
	for _, kind := range []string{"agent_connected", "agent_disconnected"} {
		connections += after[kind] - before[kind]
	}
	if connections > eventsPerCut*cuts {
		t.Errorf("%d events told of connections, want at most %d for each of %d cuts", connections, eventsPerCut, cuts)
	}
	if n := after["step_scheduled"] - before["step_scheduled"]; n != tasks*len(runs) {
		t.Errorf("%d attempts for %d steps", n, tasks*len(runs))
	}
	all := 0
	for kind, n := range after {
		all += n - before[kind]
	}
	t.Logf("%d runs of %d steps, %d cuts, %d addresses: %d events of connections (%.1f a cut), %.1f events a step in all: %v",
		len(runs), tasks, cuts, addresses, connections, float64(connections)/float64(cuts), float64(all)/float64(tasks*len(runs)), after)
}

func settled(r *api.Run) bool { return r.Status != "running" && r.Status != "waiting" }

// flap cuts the agent's link for a while, and changes its address in some of the cuts
// and between some. It says how often it did.
func (s *site) flap(random *rand.Rand, cuts int, longest time.Duration) (addresses int, err error) {
	link := s.links[0]
	renumber := func() {
		if err == nil {
			addresses++
			err = s.renumber(0, address(0, (addresses-1)%200), address(0, addresses%200))
		}
	}
	for n := 0; n < cuts && err == nil; n++ {
		<-time.After(time.Duration(random.Int64N(int64(longest))))
		if n%3 == 2 {
			renumber()
		}
		link.Cut()
		<-time.After(time.Duration(random.Int64N(int64(longest))))
		if n%3 == 1 {
			renumber()
		}
		link.Mend()
	}
	return addresses, err
}

// kinds counts the events of the log.
func (s *site) kinds() map[string]int {
	s.t.Helper()
	client, err := s.anyServer().Local()
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	counts := map[string]int{}
	for event, err := range client.Log(s.t.Context(), api.LogQuery{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		counts[event.Kind]++
	}
	return counts
}
