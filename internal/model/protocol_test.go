package model

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// statesMax keeps an exploration within the memory of a small machine.
const statesMax = 2_000_000

func with(counts ...any) map[fault]int {
	m := map[fault]int{}
	for i := 0; i < len(counts); i += 2 {
		m[counts[i].(fault)] = counts[i+1].(int)
	}
	return m
}

// worlds are the explorations: each has room for the faults that act on each other,
// so that all of them together stay small.
func worlds() []config {
	crashes := with(agentDies, 2, machineReboots, 1, jobDies, 1, linkBreaks, 1, proposalsLost, 1, helloDelayed, 1)
	people := with(runCancelled, 1, stepResolved, 1, attemptGivenUp, 1, leaderChanges, 1)
	both := with(agentDies, 1, machineReboots, 1, linkBreaks, 1, leaderChanges, 1, runCancelled, 1, stepResolved, 1, attemptGivenUp, 1)
	few := with(agentDies, 1, machineReboots, 1, runCancelled, 1, stepResolved, 1, attemptGivenUp, 1)
	disks := with(agentDies, 1, machineReboots, 1, linkBreaks, 1, proposalsLost, 1, diskWiped, 1, diskCopied, 1, diskPutBack, 1, attemptGivenUp, 1)
	var all []config
	for _, idempotent := range []bool{true, false} {
		for _, c := range []config{
			{name: "crashes", jobs: 1, attempts: 3, total: 3, faults: crashes},
			{name: "crashes, two jobs", jobs: 2, attempts: 2, total: 2, faults: crashes},
			{name: "people", jobs: 1, attempts: 2, total: 3, faults: people},
			{name: "crashes and people", jobs: 1, attempts: 2, total: 2, faults: both},
			{name: "crashes and people, two jobs", jobs: 2, attempts: 2, total: 2, faults: few, wide: true},
			{name: "crashes, old orders kept", jobs: 1, attempts: 2, total: 2, faults: crashes, keepAll: true},
			{name: "disks", jobs: 1, attempts: 2, total: 3, faults: disks, wide: true},
		} {
			if c.idempotent = idempotent; idempotent {
				c.name += ", idempotent"
			}
			if idempotent && c.wide { // what repeats by itself has many more ways to go
				if *seedsFlag >= seedsOfSim {
					all = append(all, pairs(c)...)
				}
				c.total = 1
			}
			all = append(all, c)
		}
	}
	return all
}

// seedsOfSim is from how many seeds on, as in make sim, more is explored.
const seedsOfSim = 5000

// pairs explores what two of the faults lead to, two at a time: all of them together are
// more states than fit.
func pairs(c config) (all []config) {
	faults := slices.Sorted(maps.Keys(c.faults))
	for i, one := range faults {
		for _, other := range faults[i+1:] {
			p := c
			p.name, p.total = fmt.Sprintf("%s, %v and %v", c.name, one, other), 2
			p.faults = with(one, 1, other, 1)
			all = append(all, p)
		}
	}
	return all
}

// TestPairsAddUp: what two of the faults lead to, two at a time, is all that two of them
// lead to, and nothing else. A state knows the faults that led to it, so the numbers have
// to add up, once states are not taken for one where no fault is left to tell them apart:
// that is why those of TestProtocol do not.
func TestPairsAddUp(t *testing.T) {
	c := config{jobs: 1, attempts: 2, whole: true, faults: with(agentDies, 1, machineReboots, 1, jobDies, 1, linkBreaks, 1, runCancelled, 1)}
	count := func(c config) int {
		states, found := explore(c, statesMax)
		if found != nil {
			t.Error(found)
		}
		return states
	}
	n := len(c.faults)
	one, none := c, c
	one.total = 1
	sum := 0
	for _, p := range pairs(c) {
		sum += count(p)
	}
	singles, start := count(one), count(none)
	// Each fault alone is in n-1 of the pairs, and none at all in each of them.
	sum -= (n-2)*(singles-start) + (n*(n-1)/2-1)*start
	c.total = 2
	if got := count(c); got != sum {
		t.Errorf("%d states of all together, and %d of all pairs", got, sum)
	}
	t.Logf("%d states, %d without a fault, %d with one at most", sum, start, singles)
}

func TestProtocol(t *testing.T) {
	all := 0
	for _, c := range worlds() {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() {
				c.total = min(c.total, 2)
			}
			begun := time.Now()
			states, found := explore(c, statesMax)
			all += states
			t.Logf("%d states in %v", states, time.Since(begun).Round(time.Millisecond))
			if found != nil {
				t.Error(found)
			}
		})
	}
	t.Logf("%d states in all", all)
	if least := map[bool]int{true: 20_000, false: 500_000}[testing.Short()]; all < least {
		t.Errorf("%d states are fewer than the %d that there were: a bound is too narrow", all, least)
	}
}

// TestMutants puts one bug after the other into the wiring: each has to be found.
func TestMutants(t *testing.T) {
	for _, c := range []struct {
		mutant     mutant
		invariants []int
		idempotent bool
		faults     map[fault]int
	}{
		{notSynced, []int{1, 6}, false, with(machineReboots, 1)},
		{rerun, []int{1}, false, with(agentDies, 1)},
		{dropNoFloor, []int{1}, false, with(linkBreaks, 1)},
		{noTombstone, []int{3}, false, with(runCancelled, 1)},
		{noSuperseding, []int{4, 5}, true, with(attemptGivenUp, 1)},
		{guessNotStarted, []int{3}, false, with(agentDies, 1)},
		{retryOnTimeout, []int{5}, false, nil},
		{leaveChildren, []int{4}, true, with(agentDies, 1)},
		{noJournalID, []int{1}, false, with(diskWiped, 1)},
		{ackTooEarly, []int{6}, false, with(proposalsLost, 1)},
		{begunUnnumbered, []int{1}, false, with(diskCopied, 1, diskPutBack, 1)},
		{oldConnections, []int{6}, false, with(machineReboots, 1)},
	} {
		t.Run(string(c.mutant), func(t *testing.T) {
			w := config{jobs: 1, idempotent: c.idempotent, attempts: 2, total: 3, faults: c.faults, mutant: c.mutant}
			states, found := explore(w, statesMax)
			if found == nil || !slices.Contains(c.invariants, found.invariant) {
				t.Fatalf("%d states, found %v, want invariant %v broken", states, found, c.invariants)
			}
			t.Logf("%s: invariant %d broken after %d moves: %s (%d states)", c.mutant, found.invariant, len(found.path), found.why, states)
			w.mutant = sound
			if _, found := explore(w, statesMax); found != nil {
				t.Errorf("without the mutant: %v", found)
			}
		})
	}
}
