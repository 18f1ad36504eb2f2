package soak

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A Fault is one piece of trouble in a schedule.
type Fault struct {
	// At is when it begins, from the start of the soak; For is how long it lasts.
	At, For time.Duration
	Kind    string
	// Pick chooses who it strikes, among those that there are then.
	Pick uint64
}

// String is a line of the printed schedule.
func (f Fault) String() string {
	return fmt.Sprintf("%8.1fs %-20s %5.1fs %016x", f.At.Seconds(), f.Kind, f.For.Seconds(), f.Pick)
}

// A kindOfFault is what can happen, how often, and for how long.
type kindOfFault struct {
	name     string
	weight   int
	min, max time.Duration
}

// The kinds, by whom they strike. Durations are in the order of what they mean to
// the cluster: an election takes some 100 ms, a lost connection is noticed within
// seconds.
func kindsOfFaults(clocks bool) []kindOfFault {
	const ms = time.Millisecond
	kinds := []kindOfFault{
		{"kill leader", 12, 0, 3000 * ms},
		{"kill follower", 8, 0, 3000 * ms},
		{"kill two", 3, 100 * ms, 2000 * ms},
		{"kill all", 2, 100 * ms, 1500 * ms},
		{"pause leader", 6, 50 * ms, 6000 * ms},
		{"pause follower", 4, 50 * ms, 8000 * ms},
		{"cut leader", 6, 300 * ms, 8000 * ms},
		{"cut follower", 5, 300 * ms, 8000 * ms},
		{"mute leader", 4, 300 * ms, 6000 * ms},
		{"mute follower", 4, 300 * ms, 6000 * ms},
		{"split leader", 4, 300 * ms, 6000 * ms},
		{"flap orchestrator", 3, 1000 * ms, 4000 * ms},
		{"transfer", 3, 0, 100 * ms},
		{"stop orchestrator", 3, 0, 2000 * ms},
		{"kill agent", 8, 0, 2000 * ms},
		{"pause agent", 4, 50 * ms, 6000 * ms},
		{"cut agent", 5, 300 * ms, 8000 * ms},
		{"flap agent", 3, 1000 * ms, 4000 * ms},
		{"crash host", 4, 0, 2000 * ms},
		{"slay agent", 5, 0, 2000 * ms},
		{"kill all agents", 1, 100 * ms, 1000 * ms},
		{"kill relay", 4, 0, 3000 * ms},
		{"pause relay", 3, 50 * ms, 8000 * ms},
		{"cut relay", 3, 300 * ms, 8000 * ms},
		{"split relay", 6, 300 * ms, 20000 * ms},
		{"cut client", 3, 300 * ms, 5000 * ms},
		{"fill disk", 3, 1000 * ms, 8000 * ms},
	}
	if clocks {
		kinds = append(kinds, kindOfFault{"set clock", 6, 500 * ms, 10000 * ms})
	}
	return kinds
}

// gapMax is the longest quiet time between two faults. A quarter of the gaps is
// none at all, so that faults meet.
const gapMax = 3 * time.Second

// Schedule draws the faults of a soak: the same seed, length and kinds give the
// same schedule.
func Schedule(seed uint64, length time.Duration, clocks bool) []Fault {
	r := rand.New(rand.NewPCG(seed, 0))
	kinds := kindsOfFaults(clocks)
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	var faults []Fault
	at := time.Second
	for at < length {
		n := r.IntN(total)
		i := 0
		for ; n >= kinds[i].weight; i++ {
			n -= kinds[i].weight
		}
		k := kinds[i]
		// Short ones are as likely as long ones: races hide in both.
		scale := r.Float64() * r.Float64()
		f := Fault{At: at, For: k.min + time.Duration(scale*float64(k.max-k.min)), Kind: k.name, Pick: r.Uint64()}
		faults = append(faults, f)
		if r.IntN(4) > 0 {
			at += f.For + time.Duration(r.Int64N(int64(gapMax)))
		} else {
			at += time.Duration(r.Int64N(int64(time.Second)))
		}
	}
	return faults
}
