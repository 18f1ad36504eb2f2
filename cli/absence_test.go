package cli

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"quorate/engine/api"
)

// A run that says nothing because an agent is away says so, once for each thing
// that it waits for; one that moves, or has said so itself, does not.
func TestAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := &api.Run{Status: "running"}
		a := &absence{
			ask:   func(context.Context) (*api.Run, error) { return run, nil },
			timer: time.NewTimer(absenceMin), pause: absenceMin, found: make(chan string, 1),
		}
		var out bytes.Buffer
		show := &lineReporter{con: &console{out: &out}, out: &out}
		pass := func(d time.Duration) {
			for over := time.After(d); ; {
				select {
				case <-over:
					return
				case <-a.timer.C:
					a.due(t.Context())
				case why := <-a.found:
					if why = a.news(why); why != "" {
						if err := show.waiting(why); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
		want := func(what, want string) {
			t.Helper()
			if got := out.String(); got != want {
				t.Errorf("%s: got %q, want %q", what, got, want)
			}
			out.Reset()
		}
		pass(time.Minute)
		want("nobody is away", "")
		run = &api.Run{Status: "running", WaitingFor: []string{"agent n1: not connected"}}
		a.event(api.RunEvent{Type: "step-started"})
		pass(absenceMin - time.Millisecond)
		want("it has just moved", "")
		pass(time.Minute)
		want("n1 is away", "waiting agent n1: not connected\n")
		run = &api.Run{Status: "running", WaitingFor: []string{"agent n2: not connected"}}
		pass(time.Minute)
		want("n2 is away", "waiting agent n2: not connected\n")
		a.event(api.RunEvent{Type: "run-waiting"})
		pass(time.Minute)
		want("the run has said so itself", "")
	})
}
