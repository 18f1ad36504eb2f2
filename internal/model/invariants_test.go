package model

import (
	"fmt"

	"quorate/eventlog"
)

// check returns the invariant that the state breaks.
func (m *machine) check(s *state) (number int, why string) {
	f := &m.cl.folded[s.orch]
	var total [2]int
	running := 0
	for i := range attemptsMax {
		sum := 0
		for job := range 2 {
			n := int(s.effects[i] >> (2 * job) & 3)
			if n > 1 {
				return 1, fmt.Sprintf("job %d of attempt %d took effect %d times", job, i+1, n)
			}
			sum += n
			total[job] += n
		}
		if s.proc(i) == alive {
			running++
		}
		switch f.outcome[i] {
		case eventlog.Succeeded:
			if want := int(m.jobs - f.fromJob[i]); sum != want {
				return 2, fmt.Sprintf("attempt %d succeeded with %d effects of %d", i+1, sum, want)
			}
			if f.doubt[i] {
				return 2, fmt.Sprintf("attempt %d succeeded with a job that did not", i+1)
			}
		case eventlog.NotStarted:
			if sum > 0 {
				return 3, fmt.Sprintf("attempt %d is not started and took effect", i+1)
			}
		}
	}
	if running > 1 {
		return 4, "two attempts overlap"
	}
	for job, n := range total {
		if !m.idempotent && n > 1+int(s.retries) {
			return 5, fmt.Sprintf("job %d took effect %d times, and an operator spoke %d times", job, n, s.retries)
		}
	}
	if f.quarantined && s.used>>(4*diskWiped)&15 == 0 && s.used>>(4*diskPutBack)&15 == 0 {
		return 6, "an agent with a sound journal is quarantined"
	}
	return 0, ""
}

// over reports whether nothing is left to happen without an operator.
func (m *machine) over(s *state) bool {
	f := &m.cl.folded[s.orch]
	if f.quarantined {
		return true
	}
	return !f.open && (len(f.decisions) == 0 || f.attempts >= m.attempts)
}
