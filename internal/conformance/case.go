// Package conformance holds the cases by which this program is compared with
// Directord and Task-Core.
//
// A test that holds cases says so where it begins, by [Case], and a script of the
// command line by a line "case SUITE NUMBER...". The tests of this package find these
// declarations, see to it that every case has one, and write docs/compatibility.md.
package conformance

import "testing"

// The suites: the tools whose behaviour is specified in numbered cases.
const (
	Directord = "directord"
	TaskCore  = "task-core"
)

// Case declares that a test holds the cases of a suite with these numbers, each a
// literal, as "3b". A test that is skipped holds nothing, and fails for it; only
// with -short may it.
func Case(t testing.TB, suite string, numbers ...string) {
	t.Helper()
	t.Cleanup(func() {
		if t.Skipped() && !testing.Short() {
			t.Errorf("the cases %v of %s are held by nothing: the test was skipped", numbers, suite)
		}
	})
}
