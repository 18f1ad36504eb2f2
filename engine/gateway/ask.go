package gateway

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"quorate/engine"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// Bounds of what an agent may wait for.
const (
	asksMax       = 256                   // questions of a session that are open
	askEvery      = 20 * time.Millisecond // how often the open ones are looked at
	runsSearched  = 64                    // newest runs in which a job is looked for
	namesListedAt = 5                     // hosts named in an answer
)

// A question is an Ask that is not answered yet.
type question struct {
	wire.Ask
	passed  int // hosts of a QUERY that need not be looked at again
	waiting string
}

// ask takes a question of the agent. Wanting nothing takes an earlier one back.
func (s *session) ask(m *wire.Ask) error {
	if len(m.Hosts) > wire.AskHostsMax || len(m.Key) > wire.KeyBytesMax {
		return fmt.Errorf("protocol: question %d is beyond its bounds", m.ID)
	}
	full := false
	s.note(func(n *notes) {
		if full = len(n.asks) >= asksMax; !full {
			n.asks = append(n.asks, *m)
		}
	})
	if full {
		return fmt.Errorf("protocol: more than %d questions at once", asksMax)
	}
	return nil
}

// takeAsks files what was asked since the last turn.
func (s *session) takeAsks(asks []wire.Ask, out *wire.Writer) error {
	for i := range asks {
		m := &asks[i]
		q := s.asks[m.ID]
		var err error
		switch {
		case m.Want == 0 && q == nil:
		case m.Want == 0:
			delete(s.asks, m.ID)
			err = out.Add(&wire.Answer{ID: m.ID, Error: q.waiting})
		case len(s.asks) >= asksMax:
			err = out.Add(&wire.Answer{ID: m.ID, Error: fmt.Sprintf("more than %d jobs of the host wait for others", asksMax)})
		default:
			if s.asks == nil {
				s.asks = map[uint64]*question{}
			}
			s.asks[m.ID] = &question{Ask: *m}
			s.asked = time.Time{} // look at once
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// answer answers the questions whose time has come, and says when to look again.
func (s *session) answer(out *wire.Writer) (again time.Duration, err error) {
	s.g.sessions.waits(s, len(s.asks) > 0)
	if len(s.asks) == 0 {
		return time.Hour, nil
	}
	if wait := askEvery - time.Since(s.asked); wait > 0 {
		return wait, nil
	}
	s.asked = time.Now()
	for id, q := range s.asks {
		values, reply, done := s.consider(q)
		if !done {
			continue
		}
		delete(s.asks, id)
		if err := teach(out, values); err != nil {
			return 0, err
		}
		if err := out.Add(&reply); err != nil {
			return 0, err
		}
	}
	return time.Hour, nil
}

// consider answers a question, if it can be answered by now.
func (s *session) consider(q *question) (values []wire.Learned, reply wire.Answer, done bool) {
	reply.ID = q.ID
	planID, run, task, err := s.asker(q)
	if err != nil {
		reply.Error = err.Error()
		return nil, reply, true
	}
	if q.Want == wire.WantJob {
		q.waiting = s.jobsAwaited(q, run)
		return nil, reply, q.waiting == ""
	}
	plan, err := s.g.o.Plan(planID)
	if err != nil {
		q.waiting = err.Error() // another orchestrator may bring it
		return nil, reply, false
	}
	if _, ok := slices.BinarySearch(s.g.keys.of(planID, plan), q.Key); !ok {
		reply.Error = fmt.Sprintf("the plan does not ask for %q", q.Key)
		return nil, reply, true
	}
	s.g.o.View(func(state *engine.State) {
		r := state.Run(run)
		if q.waiting = awaited(state, r, task, q); q.waiting != "" {
			return
		}
		done = true
		values = valuesOf(state, q.Key)
		if q.Want == wire.WantQuery {
			values, reply.Note = complete(state, r, task, q, values)
		}
	})
	return values, reply, done
}

// asker finds the attempt that a question belongs to, which has to be an open one
// of the agent.
func (s *session) asker(q *question) (plan string, run uint64, task uint32, err error) {
	s.g.o.View(func(state *engine.State) {
		a := state.Attempts[q.Attempt]
		if a == nil || a.Agent != s.agent || a.Outcome != 0 {
			err = fmt.Errorf("attempt %d is not under way", q.Attempt)
			return
		}
		r := state.Run(a.Run)
		plan, run, task = r.PlanID, a.Run, a.Task
		if q.Want == wire.WantQuery && q.Job >= r.Graph.Tasks[task].Jobs {
			err = fmt.Errorf("task %s has no job %d", r.Graph.Tasks[task].ID, q.Job)
		}
	})
	return plan, run, task, err
}

// awaited says what the question still waits for, or nothing.
func awaited(state *engine.State, r *engine.Run, task uint32, q *question) string {
	has := func(a *engine.Agent) bool {
		v := a.Value(q.Key)
		return v != nil && !v.Absent
	}
	switch {
	case q.Want == wire.WantQuery:
		host, passed := state.Unanswered(r, task, q.Job, q.passed)
		q.passed = passed
		if host != "" {
			return fmt.Sprintf("%s has not answered: %s", host, state.HostFault(host))
		}
	case q.Want == wire.WantValue && len(q.Hosts) > 0:
		for _, host := range q.Hosts {
			if a := state.AgentByName(host); a == nil || !has(a) {
				return fmt.Sprintf("%s has published no %s: %s", host, q.Key, state.HostFault(host))
			}
		}
	case q.Want == wire.WantValue:
		for _, a := range state.Agents {
			if has(a) {
				return ""
			}
		}
		return "no host has published " + q.Key
	}
	return ""
}

// valuesOf are the values of a key that hosts have, by host.
func valuesOf(state *engine.State, key string) (values []wire.Learned) {
	for _, a := range state.Agents {
		if v := a.Value(key); v != nil && !v.Absent {
			values = append(values, learned(state, a, v))
		}
	}
	slices.SortFunc(values, func(a, b wire.Learned) int { return strings.Compare(a.Host, b.Host) })
	return values
}

// complete adds that the plan's other hosts have no value, and notes which hosts of
// the QUERY have come to their end without an answer.
func complete(state *engine.State, r *engine.Run, task uint32, q *question, values []wire.Learned) ([]wire.Learned, string) {
	has := make(map[string]bool, len(values))
	for i := range values {
		has[values[i].Host] = true
	}
	for _, host := range r.Graph.Hosts {
		if !has[host] {
			values = append(values, wire.Learned{Host: host, Value: wire.Value{Key: q.Key, Absent: true}, Run: r.ID})
		}
	}
	silent := state.Silent(r, task, q.Job, q.Key)
	if len(silent) == 0 {
		return values, ""
	}
	note := strings.Join(silent[:min(len(silent), namesListedAt)], ", ")
	if more := len(silent) - namesListedAt; more > 0 {
		note += fmt.Sprintf(" and %d more", more)
	}
	return values, "ended without an answer: " + note
}

// A jobPlace is a job of a plan by its position.
type jobPlace struct{ task, job uint32 }

// A searchedRun is a run, and where its plan has the job that is looked for.
type searchedRun struct {
	id     uint64
	planID string
	places []jobPlace
}

// jobsAwaited says which host has yet to do the job of a fingerprint, or nothing.
// Of several runs that have the job for a host, the asker's own counts before the
// newest.
func (s *session) jobsAwaited(q *question, own uint64) (waiting string) {
	var runs []searchedRun
	s.g.o.View(func(state *engine.State) { runs = searchedRuns(state, own) })
	for i := range runs {
		if plan, err := s.g.o.Plan(runs[i].planID); err == nil { // one whose plan is gone cannot be waited for
			runs[i].places = jobPlaces(plan, q.Key)
		}
	}
	s.g.o.View(func(state *engine.State) {
		for _, host := range q.Hosts {
			switch found, passed := jobPassed(state, runs, host); {
			case !found:
				waiting = fmt.Sprintf("no run has the job for %s", host)
			case !passed:
				waiting = fmt.Sprintf("%s has not done the job: %s", host, state.HostFault(host))
			}
		}
	})
	return waiting
}

// searchedRuns are the asker's own run and then the newest ones.
func searchedRuns(state *engine.State, own uint64) []searchedRun {
	runs := []searchedRun{{id: own, planID: state.Run(own).PlanID}}
	for id := len(state.Runs); id > 0 && len(runs) < runsSearched; id-- {
		if r := state.Runs[id-1]; r.ID != own {
			runs = append(runs, searchedRun{id: r.ID, planID: r.PlanID})
		}
	}
	return runs
}

// jobPlaces is where the plan has jobs of the fingerprint.
func jobPlaces(plan *planner.Plan, fingerprint string) (places []jobPlace) {
	for t := range plan.Tasks {
		for j := range plan.Tasks[t].Jobs {
			if plan.Tasks[t].Jobs[j].Spec.Fingerprint == fingerprint {
				places = append(places, jobPlace{uint32(t), uint32(j)})
			}
		}
	}
	return places
}

// jobPassed reports whether a run has the job for the host, and whether the first that
// does is past it there.
func jobPassed(state *engine.State, runs []searchedRun, host string) (found, passed bool) {
	passed = true
	for _, r := range runs {
		for _, p := range r.places {
			done, there := state.JobPassed(state.Run(r.id), p.task, p.job, host)
			found, passed = found || there, passed && (done || !there)
		}
		if found {
			break
		}
	}
	return found, passed
}
