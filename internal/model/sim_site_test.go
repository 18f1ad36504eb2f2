package model

import (
	"math/rand/v2"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// A site is one relay that most agents come through. They hear there of each other's
// ends, also while the relay reaches nobody.
type site struct {
	relay   uint64
	cut     bool // its link is down
	notices []notice
}

// A notice is what an agent says to its site of an end that is on its disk.
type notice struct {
	key     string
	attempt uint64
	step    string
	outcome uint8
}

// found makes a site of the cluster's agents.
func (w *sim) found() {
	w.must(&eventlog.TokenCreated{TokenHash: "relay", Name: "relay", Role: engine.RelayRole})
	w.must(&eventlog.AgentEnrolled{TokenHash: "relay", Name: "relay", KeyDigest: "relay", JournalID: "relay"})
	w.site = &site{relay: w.truth.Serial(w.head.Index)}
}

// via is the relay that the agent's next connection comes through, or 0, and whether it
// comes about at all.
func (w *sim) via(a *agent) (relay uint64, ok bool) {
	switch {
	case w.site == nil:
		return 0, true
	case w.rng.IntN(12) == 0:
		a.atSite = false
		return 0, true
	}
	a.atSite = true
	return w.site.relay, !w.site.cut
}

// cutSite takes the link of the site down, or up again.
func (w *sim) cutSite() {
	if w.site == nil {
		return
	}
	if w.site.cut = !w.site.cut; !w.site.cut {
		return
	}
	w.seen["sites cut off"]++
	for _, a := range w.agents {
		if a.atSite && a.session != nil {
			a.session.end()
		}
	}
}

// neighbourly lets the agent say what has ended, or others hear of it.
func (w *sim) neighbourly(a *agent) {
	if w.site != nil && w.rng.IntN(4) == 0 {
		a.announce()
		w.hear()
	}
}

// announce has the site told of the ends that are on the agent's disk.
func (a *agent) announce() {
	if !a.atSite || a.disk.synced < len(a.disk.data) {
		return
	}
	for _, e := range a.state.Endings() {
		n := notice{key: a.w.truth.Agents[a.id].KeyDigest, attempt: e.Attempt, step: e.Step, outcome: e.Outcome}
		if !slices.Contains(a.w.site.notices, n) && a.w.rng.IntN(6) > 0 {
			a.w.site.notices = append(a.w.site.notices, n)
		}
	}
}

// hear brings one notice to some agents of the site, once or again.
func (w *sim) hear() {
	if len(w.site.notices) == 0 {
		return
	}
	i := w.rng.IntN(len(w.site.notices))
	n := w.site.notices[i]
	for _, a := range w.agents {
		if a.atSite && w.rng.IntN(4) > 0 {
			a.noticed(n)
		}
	}
	if w.rng.IntN(3) == 0 {
		w.site.notices = slices.Delete(w.site.notices, i, i+1)
	}
}

// noticed takes a notice as the agent does: it counts where it is by the key, and about
// the step, that is waited for.
func (a *agent) noticed(n notice) {
	e, ok := a.state.AwaitedElsewhere(n.attempt)
	if !ok || e.Key != n.key || journal.StepName(e.Run, e.Task, e.Host) != n.step {
		return
	}
	if r, ok := a.state.EndElsewhere(n.attempt, n.outcome, nil); ok {
		a.write(r)
		a.sync()
		a.w.seen["notices"]++
		if at := a.w.truth.Attempts[n.attempt]; at != nil && at.Outcome == 0 {
			a.w.seen["notices ahead of the log"]++
		}
	}
}

// tellEnds tells the agent what has ended elsewhere on record, once in a session.
func (s *session) tellEnds(st *engine.State, id uint64) {
	for _, e := range st.ElsewhereOf(st.Attempts[id]) {
		if e.Released && !s.ended[e.Attempt] {
			s.ended[e.Attempt] = true
			s.toAgent = append(s.toAgent, &wire.Ended{Fence: s.fenced(st.Epoch), Attempt: e.Attempt, Outcome: journal.OutcomeSucceeded})
		}
	}
}

// after is what a dispatch says of what its attempt waits for.
func after(c *engine.Command) (out []wire.Predecessor) {
	for _, p := range c.After {
		q := wire.Predecessor{Attempt: p.Attempt, Any: p.Any}
		for _, e := range c.Elsewhere {
			if e.Attempt == p.Attempt {
				q.Elsewhere = wire.Elsewhere{Key: e.KeyDigest, Run: e.Run, Task: e.Task, Host: e.Host}
			}
		}
		out = append(out, q)
	}
	return out
}

// across makes tasks of single hosts wait for all of others.
func across(rng *rand.Rand, p *eventlog.PlanRecorded) {
	single := len(p.HostSets)
	for h := range uint32(len(p.Hosts)) {
		p.HostSets = append(p.HostSets, []uint32{h})
	}
	for i := range p.Tasks {
		t := &p.Tasks[i]
		if t.Driver = string(planner.DriverDirectord); rng.IntN(4) > 0 {
			t.HostSet = uint32(single + rng.IntN(len(p.Hosts)))
		}
		if i > 0 && rng.IntN(4) > 0 {
			t.Requires = []eventlog.PlanDep{{Task: uint32(rng.IntN(i)), Scope: uint8(planner.ScopeAll)}}
		}
	}
}
