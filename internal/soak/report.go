package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// counts are what happened, as far as it is counted while it happens.
type counts struct {
	runs, cancels, resolved atomic.Int64
	open                    atomic.Int64 // runs under way, as the operator saw them last
	ambiguous               atomic.Int64 // commands without an answer, which were repeated
	unanswered              atomic.Int64 // reads without an answer
	stale                   atomic.Int64 // reads answered without a majority
}

// A Report is what a soak amounts to.
type Report struct {
	Seed    uint64
	Elapsed time.Duration
	// Faults by kind, and those that found nobody to strike.
	Faults map[string]int
	Missed int
	// Crashes are ends of processes that nobody asked for.
	Crashes map[string]int
	// Of the log:
	Records, Runs, Steps, Jobs, LeaderChanges, Unknown int
	// Sealed is how many records are in segment files, by orchestrator.
	Sealed map[string]int
	// Outcomes of runs, by name.
	Outcomes map[string]int
	// Acknowledged commands and requests in the checked history; reads that said of
	// themselves that they may be old; commands that were repeated.
	Acknowledged, History, Stale, Repeated int
	// Resolved are decisions of the soak's operator, Decisions what they were.
	Resolved  int
	Decisions string
	// Effects that happened on hosts.
	Effects int
	// Calm is how long it took from the last fault until everything had ended.
	Calm time.Duration
	// Broken are promises that were not kept, and what the soak itself could not do.
	Broken []string
}

// String is the report as it is printed.
func (r *Report) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-16s %s\n", name, fmt.Sprintf(format, args...))
	}
	total := 0
	for _, n := range r.Faults {
		total += n
	}
	line("seed", "%d", r.Seed)
	line("elapsed", "%s, of it %s from the last fault to the last end", r.Elapsed.Round(time.Second), r.Calm.Round(100*time.Millisecond))
	line("faults", "%d (%d more found nobody to strike)", total, r.Missed)
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		line("", "%4d %s", r.Faults[kind], kind)
	}
	line("crashes", "%d %s", sum(r.Crashes), list(r.Crashes))
	line("records", "%d", r.Records)
	line("in segments", "%s", list(r.Sealed))
	line("runs", "%d: %s", r.Runs, list(r.Outcomes))
	line("steps", "%d", r.Steps)
	line("jobs", "%d, %d effects counted on the hosts", r.Jobs, r.Effects)
	line("commands", "%d acknowledged, %d times repeated without an answer before", r.Acknowledged, r.Repeated)
	line("history", "%d requests in one order; %d reads said that they may be old", r.History, r.Stale)
	line("leaders", "%d changes", r.LeaderChanges)
	line("unknown", "%d outcomes, %d decided by the operator", r.Unknown, r.Resolved)
	if len(r.Broken) == 0 {
		line("broken", "nothing")
	}
	for _, text := range r.Broken {
		line("BROKEN", "%s", text)
	}
	return b.String()
}

func sum(m map[string]int) int {
	total := 0
	for _, n := range m {
		total += n
	}
	return total
}

func list(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(parts, ", ")
}
