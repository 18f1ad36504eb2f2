package engine

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"quorate/eventlog"
)

// Bounds of what hosts publish. The gateway refuses agents that go beyond those of
// one value.
const (
	// ValuesPerAgentMax is how many values of a host are kept, those that were
	// published last.
	ValuesPerAgentMax = 256
	// changesSpareMin is how many changes there are at least before those that were
	// overtaken are dropped.
	changesSpareMin = 256
)

// A Published value is the newest of a name that a host has published, with the
// job that did it. It is never changed, only replaced.
type Published struct {
	Key    string
	Value  []byte // as pyvalue encodes it
	Absent bool   // the host has none of that name

	Run       uint64
	Task, Job uint32
	Attempt   uint64
	Index     uint64 // of the record
	Time      int64  // unix nanoseconds
}

// A valueChange says that an agent's value of the key is new as of the index.
type valueChange struct {
	index, agent uint64
	key          string
}

// foldValuesPublished takes values of a host. They are facts about the host: they
// count also where the attempt that brought them about is settled.
func (s *State) foldValuesPublished(e *eventlog.ValuesPublished) string {
	a, agent, why := s.reporter(e.Attempt, e.Seq, e.Connection)
	if why != "" {
		return why
	}
	for i := range e.Values {
		if e.Values[i].Key == "" {
			return s.reported(agent, e.Seq, "a value without name")
		}
	}
	void := "nothing is published"
	for i := range e.Values {
		s.publish(agent, a, e.Job, &e.Values[i])
		void = ""
	}
	if e.Waits && s.park(a) {
		void = ""
	}
	if void == "" {
		a.come(e.Job, e.Waits)
	}
	return s.reported(agent, e.Seq, void)
}

func (s *State) publish(agent *Agent, a *Attempt, job uint32, v *eventlog.PublishedValue) {
	before := agent.values[v.Key]
	if agent.values == nil {
		agent.values = map[string]*Published{}
	}
	if before == nil && len(agent.values) >= ValuesPerAgentMax {
		delete(agent.values, agent.oldestValue())
	}
	agent.values[v.Key] = &Published{
		Key: v.Key, Value: v.Value, Absent: v.Absent,
		Run: a.Run, Task: a.Task, Attempt: a.ID, Job: job, Index: s.Index, Time: s.Time,
	}
	had := before != nil && !before.Absent
	if had && !v.Absent && bytes.Equal(before.Value, v.Value) || !had && v.Absent {
		return // no news to those who know the one before
	}
	s.changes = append(s.changes, valueChange{s.Index, agent.ID, v.Key})
	if len(s.changes) > max(s.trimAt, changesSpareMin) {
		s.trimChanges()
		s.trimAt = 2 * len(s.changes)
	}
}

func (a *Agent) oldestValue() string {
	oldest := slices.MinFunc(a.Values(), func(x, y *Published) int {
		return cmp.Or(cmp.Compare(x.Index, y.Index), cmp.Compare(x.Key, y.Key))
	})
	return oldest.Key
}

// trimChanges drops the changes that later ones of the same value have overtaken.
func (s *State) trimChanges() {
	type name struct {
		agent uint64
		key   string
	}
	newest := make(map[name]uint64, len(s.changes))
	for _, c := range s.changes {
		newest[name{c.agent, c.key}] = c.index
	}
	s.changes = slices.DeleteFunc(s.changes, func(c valueChange) bool {
		a := s.Agents[c.agent]
		return a.values[c.key] == nil || newest[name{c.agent, c.key}] != c.index
	})
}

// dropValues forgets what an agent has published that is none any more.
func (s *State) dropValues(a *Agent) {
	if a.values == nil {
		return
	}
	a.values = nil
	s.trimChanges()
}

// park takes a step whose job waits for other hosts out of what the run may have
// under way: those it waits for may need its place. It reports whether it did.
func (s *State) park(a *Attempt) bool {
	r := s.Run(a.Run)
	pos, ok := r.Graph.stepAt(a.Task, a.Host)
	if !ok || a.Outcome != 0 {
		return false
	}
	st := &r.Tasks[a.Task].Steps[pos]
	if st.Attempt != a.ID || st.Status != Running {
		return false
	}
	switch {
	case st.inLine:
		st.inLine = false
		r.queue.leave(a.Host, stepRef{a.Task, uint32(pos)})
	case st.parked:
		return s.leavePlace(a)
	default:
		st.parked = true
		r.queue.ended(a.Host)
	}
	s.serve(r, a.Host)
	return true
}

// come notes that the attempt is at a job, and whether that waits for other hosts.
func (a *Attempt) come(job uint32, waits bool) {
	if waits {
		job++
	}
	a.Reached = max(a.Reached, job)
}

// Values returns what the host of the agent has published, by name.
func (a *Agent) Values() []*Published {
	out := make([]*Published, 0, len(a.values))
	for _, v := range a.values {
		out = append(out, v)
	}
	slices.SortFunc(out, func(x, y *Published) int { return cmp.Compare(x.Key, y.Key) })
	return out
}

// Value returns the newest value of a name that the host has published, or nil.
func (a *Agent) Value(key string) *Published { return a.values[key] }

// ChangesSince calls f with each value of a name in since that has changed behind
// the index there, in the order of the changes.
func (s *State) ChangesSince(since map[string]uint64, f func(a *Agent, v *Published)) {
	first := s.Index + 1
	for _, index := range since {
		first = min(first, index+1)
	}
	i, _ := slices.BinarySearchFunc(s.changes, first, func(c valueChange, index uint64) int { return cmp.Compare(c.index, index) })
	for _, c := range s.changes[i:] {
		if known, wanted := since[c.key]; !wanted || c.index <= known {
			continue
		}
		if a := s.Agents[c.agent]; a != nil && a.values[c.key] != nil {
			f(a, a.values[c.key])
		}
	}
}

// jobHosts are the hosts of a job, as positions in the plan's hosts.
func (g *Graph) jobHosts(task, job uint32) []uint32 {
	t := &g.Tasks[task]
	if int(job) < len(t.JobHostSets) {
		return g.HostSets[t.JobHostSets[job]]
	}
	return g.HostSets[t.HostSet]
}

// Unanswered returns the first host, of those of the task from the position on, that
// has yet to come to the QUERY at the task's job, and its position; "" where none is
// left. A host that the QUERY is not for has to be behind the jobs before it: they
// may publish the key as well. A position that was passed need not be looked at again.
//
// The values themselves do not tell: another task may ask for the same key meanwhile.
func (s *State) Unanswered(r *Run, task, job uint32, from int) (host string, position int) {
	hosts := r.Graph.HostSets[r.Graph.Tasks[task].HostSet]
	for ; from < len(hosts); from++ {
		if !s.passed(r, task, hosts[from], job) && !s.reached(r, task, hosts[from], job) {
			return r.Graph.Hosts[hosts[from]], from
		}
	}
	return "", from
}

// reached reports whether the task's step on the host has published what the job
// asks for, or has come behind it.
func (s *State) reached(r *Run, task, host, job uint32) bool {
	pos, ok := r.Graph.stepAt(task, host)
	if !ok {
		return false
	}
	a := s.Attempts[r.Step(task, pos).Attempt]
	return a != nil && a.Reached > job
}

// passed reports whether the task's step on the host is behind the job, or will
// never come to it.
func (s *State) passed(r *Run, task, host, job uint32) bool {
	pos, ok := r.Graph.stepAt(task, host)
	if !ok {
		return true
	}
	st := r.Step(task, pos)
	if st.Status.Settled() {
		return true
	}
	next := r.Graph.nextJob(task, host, 0)
	if a := s.Attempts[st.Attempt]; a != nil {
		next = r.resume(a)
	}
	return next > job
}

// JobPassed reports whether a job of the task is done on a host, or never will be;
// not where it is not for that host.
func (s *State) JobPassed(r *Run, task, job uint32, host string) (passed, there bool) {
	h := slices.Index(r.Graph.Hosts, host)
	if h < 0 || int(task) >= len(r.Graph.Tasks) {
		return false, false
	}
	if _, ok := slices.BinarySearch(r.Graph.jobHosts(task, job), uint32(h)); !ok {
		return false, false
	}
	return s.passed(r, task, uint32(h), job), true
}

// HostFault says why a host may not come to what others wait for, for people.
func (s *State) HostFault(host string) string {
	switch a := s.AgentByName(host); {
	case a == nil:
		return "it has no agent"
	case a.barred() != "":
		return a.barred()
	case !a.Connected:
		return "its agent is not connected"
	case a.Drained():
		return "its agent is drained"
	}
	return fmt.Sprintf("agent %s is connected", host)
}

// Silent returns the hosts of the QUERY at the task's job that have not published
// the key for it.
func (s *State) Silent(r *Run, task, job uint32, key string) (hosts []string) {
	for _, h := range r.Graph.jobHosts(task, job) {
		name := r.Graph.Hosts[h]
		a := s.AgentByName(name)
		if a == nil || !answers(a.values[key], r, task, job) {
			hosts = append(hosts, name)
		}
	}
	return hosts
}

// answers reports whether the value was published for the QUERY at the task's job,
// or behind it.
func answers(v *Published, r *Run, task, job uint32) bool {
	return v != nil && v.Run == r.ID && (v.Task != task || v.Job >= job)
}
