package model

import (
	"encoding/hex"
	"flag"
	"fmt"
	"strings"
	"testing"
)

var (
	seedFlag  = flag.Int64("seed", -1, "simulate this seed only")
	seedsFlag = flag.Int("seeds", 500, "how many seeds to simulate")
)

// TestSim runs whole clusters through what happens to clusters, and holds every
// step against the promises.
func TestSim(t *testing.T) {
	first, seeds := 0, *seedsFlag
	if testing.Short() {
		seeds = min(seeds, 50)
	}
	if *seedFlag >= 0 {
		first, seeds = int(*seedFlag), 1
	}
	var records, voids, attempts int
	seen := map[string]int{}
	for seed := first; seed < first+seeds; seed++ {
		w := simulate(uint64(seed))
		if w.failure != nil {
			t.Fatalf("%v\nreproduce: go test ./internal/model -run 'TestSim$' -seed %d", w.failure, seed)
		}
		records += len(w.log)
		voids += w.voided
		attempts += len(w.truth.Attempts)
		for what, n := range w.seen {
			seen[what] += n
		}
	}
	t.Logf("%d seeds: %d records, %d of them void, %d attempts, %v", seeds, records, voids, attempts, seen)
	for _, what := range []string{
		"leaders", "quarantines", "partitions", "pauses", "deaths", "clock jumps", "reboots", "agents' deaths",
		"wiped disks", "disks put back", "jobs done alone", "restarts", "publications", "starts before a place is on record", "checks", "sites cut off", "notices ahead of the log", "flapping agents", "steps held", "steps sent ahead", "steps that wait for a place", "starts in places that were dealt", "steps behind another host", "large steps sent ahead", "words on flapping", "agents drained", "proposals twice", "proposals after their proposer",
	} {
		if seeds >= 50 && seen[what] < seeds/10 {
			t.Errorf("only %d %s in %d seeds", seen[what], what, seeds)
		}
	}
}

// TestSimOfRecoveries loses the cluster, and goes on with an earlier copy of the
// log. What the log says of an attempt is true all the same, and no step takes
// effect twice that a sound agent can speak for.
func TestSimOfRecoveries(t *testing.T) {
	first, seeds := 0, max(1, *seedsFlag/4)
	if testing.Short() {
		seeds = min(seeds, 50)
	}
	if *seedFlag >= 0 {
		first, seeds = int(*seedFlag), 1
	}
	seen := map[string]int{}
	for seed := first; seed < first+seeds; seed++ {
		w := simulate(uint64(seed), func(w *sim) { w.recovers = true })
		if w.failure != nil {
			t.Fatalf("%v\nreproduce: go test ./internal/model -run SimOfRecoveries -seed %d", w.failure, seed)
		}
		for what, n := range w.seen {
			seen[what] += n
		}
	}
	t.Logf("%d seeds: %v", seeds, seen)
	for _, what := range []string{"recoveries", "quarantines of the lost", "agents resumed"} {
		if seeds >= 50 && seen[what] < seeds/10 {
			t.Errorf("only %d %s in %d seeds", seen[what], what, seeds)
		}
	}
}

// TestSimOfBackups puts disks back that do not know of what was given back, and has
// their agents go on alone. The log takes back that it was not started, and it does not
// where gateways do not hear of it.
func TestSimOfBackups(t *testing.T) {
	first, seeds := 0, max(1, *seedsFlag/10)
	if testing.Short() {
		seeds = min(seeds, 50)
	}
	if *seedFlag >= 0 {
		first, seeds = int(*seedFlag), 1
	}
	seen, missed := map[string]int{}, 0
	for seed := first; seed < first+seeds; seed++ {
		backups := func(w *sim) { w.backups = true }
		w := simulate(uint64(seed), backups)
		if w.failure != nil {
			t.Fatalf("%v\nreproduce: go test ./internal/model -run SimOfBackups -seed %d", w.failure, seed)
		}
		for what, n := range w.seen {
			seen[what] += n
		}
		if w.seen["attempts disproved"] > 0 {
			deaf := simulate(uint64(seed), backups, func(w *sim) { w.deaf = true }).failure
			if deaf != nil && strings.Contains(deaf.Error(), "is not started and took effect") {
				missed++
			}
		}
	}
	t.Logf("%d seeds: %v; %d of them fail where nobody hears", seeds, seen, missed)
	for _, what := range []string{"disks put back", "attempts disproved"} {
		if seeds >= 100 && seen[what] < seeds/20 {
			t.Errorf("only %d %s in %d seeds", seen[what], what, seeds)
		}
	}
	if seeds >= 100 && missed == 0 {
		t.Error("no seed fails where nobody hears")
	}
}

// TestSimIsDeterministic wants the same history of the same seed.
func TestSimIsDeterministic(t *testing.T) {
	for seed := range uint64(5) {
		one, other := simulate(seed).fingerprint(), simulate(seed).fingerprint()
		if one != other {
			t.Errorf("seed %d: %s and then %s", seed, one, other)
		}
		t.Logf("seed %d: %s", seed, one)
	}
}

// fingerprint is over everything that happened, and the log.
func (w *sim) fingerprint() string {
	return fmt.Sprintf("%s/%s", hex.EncodeToString(w.trace.Sum(nil)[:8]), w.head.Hash.String()[:16])
}

func simulate(seed uint64, with ...func(*sim)) *sim {
	hosts := 1 + int(seed%4)
	replicas := []int{3, 3, 5}[seed%3]
	w := newSim(seed, replicas, hosts)
	w.failing = []float64{0, 0.05, 0.3}[w.rng.IntN(3)]
	w.plans = 3
	if seed%4 == 0 {
		w.hashEvery = 1 // it costs more than all the rest
	}
	for i := range w.plans {
		p := randomPlan(w.rng, fmt.Sprintf("plan-%d", i), hosts)
		if seed%4 == 1 || seed%4 == 3 { // several hosts
			across(w.rng, p)
		}
		if i == 1 {
			enlarge(p)
		}
		w.must(p)
	}
	if seed%2 == 1 {
		w.found()
	}
	w.founded = len(w.log)
	for _, f := range with {
		f(w)
	}
	w.elect()
	for range 4000 + w.rng.IntN(4000) {
		if w.act(); w.failure != nil {
			return w
		}
	}
	w.calm()
	if w.failure == nil {
		w.final()
	}
	return w
}
