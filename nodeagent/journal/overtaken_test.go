package journal

import (
	"testing"

	"quorate/nodeagent/wire"
)

// A journal that was put back to before a restart of the machine would do once more what
// came behind it. The cluster knows better: it has reports that the journal lacks, or has
// settled the attempt.
func TestRestartThatIsOvertaken(t *testing.T) {
	for _, tc := range []struct {
		name         string
		acked, floor uint64
		open         bool
	}{
		{"the cluster has what the journal has", 1, 0, true},
		{"the cluster has heard of what came behind", 2, 0, false},
		{"the cluster has settled the attempt", 1, 10, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			j := mustOpen(t, dir, "before")
			mustAppend(t, j, intended(10, 3, 1), &JobStarted{Attempt: 10}, &RestartAsked{Attempt: 10, BootID: "before"})
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			j = mustOpen(t, dir, "after")
			err := j.Commit(func(s *State, add func(Record)) error {
				if s.Certain() {
					t.Error("the journal is certain before the cluster was heard")
				}
				d, err := s.Welcome(&wire.Welcome{Acked: tc.acked, Floor: tc.floor})
				for _, r := range d.Records {
					add(r)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			s := stateOf(j)
			a, held := s.Attempt(10)
			if open := held && a.Phase == Intent; open != tc.open {
				t.Errorf("the attempt is held %t: %+v", held, a)
			}
			if got := j.ReportsAfter(tc.acked, 1<<20); !tc.open && (len(got) != 1 || !got[0].End || got[0].Outcome != OutcomeUnknown || got[0].Seq != tc.acked+1) {
				t.Errorf("reports %+v", got)
			}
		})
	}
}
