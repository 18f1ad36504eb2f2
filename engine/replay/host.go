package replay

import (
	"quorate/engine"
	"quorate/eventlog"
)

// Hosts are the hosts, or the agents by their names, that an event is about, by the
// state behind it.
func Hosts(s *engine.State, e eventlog.Event) (names []string) {
	agent := func(id uint64) {
		if a := s.Agent(id); a != nil {
			names = append(names, a.Name)
		}
	}
	attempt := func(id uint64) {
		if a := s.Attempts[id]; a != nil {
			if host := s.Run(a.Run).Graph.HostName(a.Task, a.Host); host != "" {
				names = append(names, host)
			}
			agent(a.Agent)
		}
	}
	switch e := e.(type) {
	case *eventlog.TokenCreated:
		names = append(names, e.Name)
	case *eventlog.AgentEnrolled:
		names = append(names, e.Name)
	case *eventlog.AgentApproved:
		agent(e.Agent)
	case *eventlog.AgentRevoked:
		agent(e.Agent)
	case *eventlog.AgentConnected:
		agent(e.Agent)
	case *eventlog.AgentDisconnected:
		agent(e.Agent)
	case *eventlog.AgentQuarantined:
		agent(e.Agent)
	case *eventlog.AgentCalmed:
		agent(e.Agent)
	case *eventlog.AgentDrained:
		agent(e.Agent)
	case *eventlog.AgentUndrained:
		agent(e.Agent)
	case *eventlog.StepScheduled:
		attempt(s.Serial(s.Index))
		agent(e.Agent)
	case *eventlog.JobEnded:
		attempt(e.Attempt)
	case *eventlog.AttemptBegan:
		attempt(e.Attempt)
	case *eventlog.AttemptEnded:
		attempt(e.Attempt)
	case *eventlog.ValuesPublished:
		attempt(e.Attempt)
	case *eventlog.StepResolved:
		attempt(e.Attempt)
	case *eventlog.TaskSkipped:
		names = append(names, skipped(s, e)...)
	}
	return names
}

// skipped are the hosts whose steps were skipped.
func skipped(s *engine.State, e *eventlog.TaskSkipped) (names []string) {
	r := s.Run(e.Run)
	if r == nil || int(e.Task) >= len(r.Tasks) {
		return nil
	}
	hosts := e.Hosts
	if len(hosts) == 0 {
		hosts = r.Graph.HostSets[r.Graph.Tasks[e.Task].HostSet]
	}
	for _, h := range hosts {
		if name := r.Graph.HostName(e.Task, h); name != "" {
			names = append(names, name)
		}
	}
	return names
}
