package engine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"quorate/eventlog"
)

// Packed results are the results, whatever they are and in whatever order.
func TestJobResults(t *testing.T) {
	t.Parallel()
	result := rapid.Custom(func(t *rapid.T) JobResult {
		return JobResult{
			Job: rapid.Uint32().Draw(t, "job"), Outcome: eventlog.Outcome(rapid.IntRange(0, resultOutcome).Draw(t, "outcome")),
			Changed: rapid.Bool().Draw(t, "changed"), Exit: rapid.Int32().Draw(t, "exit"),
			Index: rapid.Uint64().Draw(t, "index"), Duration: rapid.Int64().Draw(t, "duration"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(result).Draw(t, "results")
		r := ResultsOf(want...)
		r.clip()
		if got := slices.Collect(r.All()); !slices.Equal(got, want) || r.Len() != len(want) {
			t.Fatalf("%d results %+v, want %+v", r.Len(), got, want)
		}
		for _, job := range []uint32{0, rapid.Uint32().Draw(t, "other")} {
			is := func(j JobResult) bool { return j.Job == job }
			if got, want := r.has(job), slices.ContainsFunc(want, is); got && !want {
				t.Fatalf("has a result of job %d", job)
			}
		}
	})
}

// Results of jobs are what most of the memory of a long log would go to.
func TestJobResultsAreSmall(t *testing.T) {
	t.Parallel()
	var r JobResults
	const n = 1000
	for i := range n {
		r.add(JobResult{Job: uint32(i), Outcome: eventlog.Succeeded, Changed: true, Index: uint64(5_000_000 + 6*i), Duration: 1_234_567})
	}
	r.clip()
	if got := cap(r.packed); got > 9*n {
		t.Errorf("%d results take %d bytes", n, got)
	}
}
