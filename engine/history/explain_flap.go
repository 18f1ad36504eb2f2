package history

import (
	"fmt"
	"time"

	"quorate/engine"
)

// flaps says how an agent's connection behaves, as of the last record.
func (x *Explainer) flaps(a *engine.Agent) string {
	s := x.State
	d := s.Damping()
	return fmt.Sprintf("flaps (since %s; %.1f of %d reconnections count, and it is calm when it stays connected for %s)",
		timeOf(a.FlappingSince).Format("15:04:05Z"), float64(s.PenaltyAt(a, s.Time))/1000, d.Threshold, time.Duration(s.CalmIn(a, s.Time)).Round(time.Second))
}

// held says that a step which is ready is kept from its agent because that flaps, or
// nothing.
func (x *Explainer) held(since string, k stepKey) (answer, hint string) {
	run := x.State.Run(x.Run.ID)
	if run == nil {
		return "", ""
	}
	host, name := engine.NoHost, engine.ControllerLabel
	if !x.Run.Graph.IsLocal(k.task) {
		name = x.Run.hostOf(k)
		for i, h := range x.Run.Graph.Hosts {
			if h == name {
				host = uint32(i)
			}
		}
	}
	if !x.State.Held(run, host) {
		return "", ""
	}
	a := x.State.AgentByName(name)
	if a == nil {
		a, _ = x.State.Controller()
	}
	return fmt.Sprintf("%s, and is held: agent %s %s; the run gets on with others meanwhile", since, a.Name, x.flaps(a)),
		"quorate agent calm " + a.Name
}
