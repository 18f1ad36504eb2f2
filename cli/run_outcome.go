package cli

import (
	"fmt"
	"slices"
	"strings"

	"quorate/engine/api"
)

// reasonsShownMax bounds the reasons of different hosts that are shown of a task.
const reasonsShownMax = 2

// outcome says on how many hosts a task changed something, and why it ran there where
// agents told.
func outcome(run *api.Run, t *api.Task) string {
	if t.Status != "succeeded" {
		return ""
	}
	done, changed := 0, 0
	var reasons []string
	for i := range t.Steps {
		s := &t.Steps[i]
		if s.Attempt == 0 {
			continue // of the run that this one retries
		}
		done++
		if slices.ContainsFunc(s.Jobs, func(j api.Job) bool { return j.Changed }) {
			changed++
		}
		if s.Reason != "" && !slices.Contains(reasons, s.Reason) {
			reasons = append(reasons, s.Reason)
		}
	}
	text := ""
	switch {
	case done == 0:
		return ""
	case changed == 0:
		text = "unchanged"
	case run.Check:
		text = fmt.Sprintf("may change %d of %s", changed, count(done, "host"))
	default:
		text = fmt.Sprintf("changed on %d of %s", changed, count(done, "host"))
	}
	if len(reasons) > 0 {
		text += ", " + strings.Join(reasons[:min(len(reasons), reasonsShownMax)], ", ")
	}
	return text
}
