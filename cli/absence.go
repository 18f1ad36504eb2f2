package cli

import (
	"context"
	"time"

	"quorate/engine/api"
)

const (
	// absenceMin is how long a run may say nothing before it is asked whether it
	// waits for an agent, and absenceMax how long it is left alone at most.
	absenceMin = 3 * time.Second
	absenceMax = 30 * time.Second
)

// An absence looks whether a run that says nothing waits for agents: that one is
// away is no event of the run.
type absence struct {
	ask   func(ctx context.Context) (*api.Run, error)
	timer *time.Timer
	pause time.Duration
	found chan string // what the run waits for, or nothing
	told  string      // what was printed last, since the run has moved
	known bool        // an event has said that it waits
	busy  bool        // it is being asked
}

func (f *following) watchAbsence() *absence {
	return &absence{
		ask:   func(ctx context.Context) (*api.Run, error) { return f.client.Run(ctx, f.id()) },
		timer: time.NewTimer(absenceMin), pause: absenceMin, found: make(chan string, 1),
	}
}

// event notes that the run has said something.
func (a *absence) event(e api.RunEvent) {
	a.known = e.Type == "run-waiting"
	a.told, a.pause = "", absenceMin
	if !a.busy {
		a.timer.Reset(a.pause)
	}
}

// due asks the run; found gets the answer.
func (a *absence) due(ctx context.Context) {
	a.busy = true
	go func() {
		why := ""
		if run, err := a.ask(ctx); err == nil && run.Status == "running" && len(run.WaitingFor) > 0 {
			why = some(run.WaitingFor, hostsShownMax)
		}
		a.found <- why // holds one, and nobody asks before it is taken
	}()
}

// news returns what is to be printed of an answer, or nothing, and waits for the
// next time to ask.
func (a *absence) news(why string) string {
	a.busy = false
	a.pause = min(2*a.pause, absenceMax)
	a.timer.Reset(a.pause)
	if a.known || why == a.told {
		return ""
	}
	a.told = why
	return why
}
