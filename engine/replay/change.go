package replay

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/pyvalue"
)

// A Change is one thing that differs between two points of a log. Before is empty for
// what was not there, After for what is not there any more.
type Change struct {
	// What is cluster, member, operator, token, agent, value, plan, run, task, step or
	// attempt, and Which names the one of them.
	What  string `json:"what"`
	Which string `json:"which"`
	// Run is the run that it belongs to, or 0.
	Run    uint64 `json:"run,omitempty"`
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Compare returns what differs between what was taken and a later state, in the order
// in which the kinds are listed at [Change].
func (t *Shot) Compare(s *engine.State) []Change {
	c := &comparison{shot: t, s: s}
	c.cluster()
	c.people()
	for _, id := range slices.Sorted(maps.Keys(s.Agents)) {
		c.agent(s.Agents[id])
	}
	for _, id := range slices.Sorted(maps.Keys(s.Plans)) {
		if !t.plans[id] {
			c.add("plan", short(id), 0, "recorded", "", fmt.Sprintf("%d tasks by %s", len(s.Plans[id].Tasks), s.Plans[id].By))
		}
	}
	for _, r := range s.Runs {
		c.run(r)
	}
	c.attempts()
	return c.all
}

type comparison struct {
	shot *Shot
	s    *engine.State
	all  []Change
}

// add notes a difference, where there is one.
func (c *comparison) add(what, which string, run uint64, field, before, after string) {
	if before != after {
		c.all = append(c.all, Change{what, which, run, field, before, after})
	}
}

func (c *comparison) cluster() {
	t, s := c.shot, c.s
	for _, f := range []struct {
		field         string
		before, after uint64
	}{
		{"epoch", t.epoch, s.Epoch}, {"leader", t.leader, s.Leader},
		{"generation", t.generation, s.Generation}, {"checkpoint", t.checkpoint, s.Checkpoint.Size},
	} {
		c.add("cluster", short(s.ClusterID), 0, f.field, some(f.before), some(f.after))
	}
	for _, id := range slices.Concat(s.Members(), s.FormerMembers()) {
		m := s.Member(id)
		before := t.members[id]
		which := some(id)
		for _, f := range [][3]string{
			{"name", before.Name, m.Name}, {"removed", before.Removed, m.Removed},
			{"raft address", before.RaftAddress, m.RaftAddress}, {"agent address", before.AgentAddress, m.AgentAddress},
			{"api address", before.APIAddress, m.APIAddress},
		} {
			c.add("member", which, 0, f[0], f[1], f[2])
		}
	}
}

func (c *comparison) people() {
	for _, name := range slices.Sorted(maps.Keys(c.s.Operators)) {
		c.add("operator", name, 0, "certificate", some(c.shot.operators[name].issued), some(c.s.Operators[name].Index))
		c.add("operator", name, 0, "revoked", some(c.shot.operators[name].revoked), some(c.s.Operators[name].Revocation.Index))
	}
	for _, hash := range slices.Sorted(maps.Keys(c.s.Tokens)) {
		token := c.s.Tokens[hash]
		spent, known := c.shot.tokens[hash]
		if !known {
			c.add("token", short(hash), 0, "made", "", strings.TrimSpace("for an "+token.Role+" "+token.Name))
		}
		c.add("token", short(hash), 0, "spent by", some(spent), some(token.SpentBy))
	}
}

func (c *comparison) agent(a *engine.Agent) {
	before, known := c.shot.agents[a.ID]
	if !known {
		c.add("agent", a.Name, 0, "enrolled", "", some(a.ID))
	}
	b := &before.Agent
	for _, f := range [][3]string{
		{"connected", gateway(b), gateway(a)}, {"quarantined", b.Quarantined, a.Quarantined},
		{"pending", yes(b.Pending), yes(a.Pending)}, {"revoked", yes(b.Revoked), yes(a.Revoked)},
		{"version", b.Version, a.Version}, {"address", b.Address, a.Address}, {"boot", b.BootID, a.BootID},
		{"reports", some(b.JournalSeq), some(a.JournalSeq)}, {"under way", attempts(b.Open), attempts(a.Open)},
	} {
		c.add("agent", a.Name, 0, f[0], f[1], f[2])
	}
	values := map[string]string{}
	for _, v := range a.Values() {
		values[v.Key] = Value(v)
	}
	for key := range before.values {
		if _, there := values[key]; !there {
			values[key] = ""
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		c.add("value", a.Name+" "+key, 0, "value", Value(before.values[key]), values[key])
	}
}

func (c *comparison) run(r *engine.Run) {
	before := c.shot.runs[r.ID]
	if before == nil {
		if !c.shot.whole && r.Index != c.s.Index {
			return // the event had nothing to do with it
		}
		before = &runShot{tasks: make([]engine.Task, len(r.Tasks))}
		c.add("run", some(r.ID), r.ID, "created", "", fmt.Sprintf("plan %s by %s", short(r.PlanID), r.By))
	}
	fresh := before.status == ""
	c.add("run", some(r.ID), r.ID, "status", before.status, r.Status())
	if fresh {
		c.tally(r)
		return
	}
	for i := range r.Tasks {
		task := uint32(i)
		was, is := &before.tasks[i], &r.Tasks[i]
		name := r.Graph.Tasks[i].ID
		for pos := range r.Graph.StepCount(task) {
			if was.Steps == nil && is.Steps == nil {
				break // they are as their task
			}
			c.step(r, task, before.step(r, task, pos), r.Step(task, pos))
		}
		c.add("task", name, r.ID, "status", was.Status.String(), is.Status.String())
		c.add("task", name, r.ID, "reason", was.Reason, is.Reason)
	}
	if before.status == r.Status() && before.counts == r.Counts {
		return
	}
	for _, f := range counts {
		c.add("run", some(r.ID), r.ID, f.name, strconv.Itoa(f.of(&before.counts)), strconv.Itoa(f.of(&r.Counts)))
	}
}

// tally says how many tasks of a run that was not there are in which status: to list
// each of them would say nothing else.
func (c *comparison) tally(r *engine.Run) {
	n := map[string]int{}
	for i := range r.Tasks {
		n[r.Tasks[i].Status.String()]++
	}
	for _, status := range slices.Sorted(maps.Keys(n)) {
		c.add("run", some(r.ID), r.ID, "tasks "+status, "", strconv.Itoa(n[status]))
	}
	for _, f := range counts {
		c.add("run", some(r.ID), r.ID, f.name, "0", strconv.Itoa(f.of(&r.Counts)))
	}
}

var counts = []struct {
	name string
	of   func(*engine.Counts) int
}{
	{"steps succeeded", func(c *engine.Counts) int { return c.Succeeded }},
	{"steps failed", func(c *engine.Counts) int { return c.Failed }},
	{"steps skipped", func(c *engine.Counts) int { return c.Skipped }},
	{"steps waiting", func(c *engine.Counts) int { return c.Waiting }},
	{"jobs succeeded", func(c *engine.Counts) int { return c.JobsSucceeded }},
	{"jobs failed", func(c *engine.Counts) int { return c.JobsFailed }},
}

func (c *comparison) step(r *engine.Run, task uint32, was, is engine.Step) {
	if was == is {
		return
	}
	name := r.Graph.Tasks[task].ID
	if host := r.Graph.HostName(task, is.Host); host != "" {
		name += "@" + host
	}
	c.add("step", name, r.ID, "status", was.Status.String(), is.Status.String())
	c.add("step", name, r.ID, "attempt", some(was.Attempt), some(is.Attempt))
	c.add("step", name, r.ID, "reason", was.Reason, is.Reason)
}

// attempts compares those that were taken, and those that are new.
func (c *comparison) attempts() {
	ids := slices.Collect(maps.Keys(c.shot.attempts))
	if c.shot.whole {
		ids = slices.Collect(maps.Keys(c.s.Attempts))
	} else if id := c.s.Serial(c.s.Index); c.s.Attempts[id] != nil {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		was := c.shot.attempts[id]
		c.attempt(&was, c.s.Attempts[id])
	}
}

func (c *comparison) attempt(was, is *engine.Attempt) {
	if was.ID == 0 {
		r := c.s.Run(is.Run)
		c.add("attempt", some(is.ID), is.Run, "scheduled", "", fmt.Sprintf("%s on %s, from job %d",
			r.Graph.Tasks[is.Task].ID, c.s.Agents[is.Agent].Name, is.FromJob))
	}
	if was.Began == is.Began && was.Cancel == is.Cancel && was.Outcome == is.Outcome && was.Late == is.Late &&
		was.Jobs.Len() == is.Jobs.Len() && was.Successor == is.Successor && was.Resolved == is.Resolved && was.Reason == is.Reason {
		return
	}
	for _, f := range [][3]string{
		{"begun", yes(was.Began), yes(is.Began)}, {"cancel asked", yes(was.Cancel), yes(is.Cancel)},
		{"jobs ended", strconv.Itoa(was.Jobs.Len()), strconv.Itoa(is.Jobs.Len())},
		{"outcome", outcome(was.Outcome), outcome(is.Outcome)}, {"reason", was.Reason, is.Reason},
		{"late outcome", outcome(was.Late), outcome(is.Late)}, {"resolved", was.Resolved, is.Resolved},
		{"successor", some(was.Successor), some(is.Successor)},
	} {
		c.add("attempt", some(is.ID), is.Run, f[0], f[1], f[2])
	}
}

// Value is what was published, for people; nil was not.
func Value(v *engine.Published) string {
	switch {
	case v == nil:
		return ""
	case v.Absent:
		return "(absent)"
	}
	decoded, err := pyvalue.Decode(v.Value)
	if err != nil {
		return "(not readable)"
	}
	const textMax = 200
	text, whole := pyvalue.ReprWithin(decoded, textMax)
	if !whole {
		text += "…"
	}
	return text
}

func gateway(a *engine.Agent) string {
	if !a.Connected {
		return ""
	}
	return fmt.Sprintf("to %d since %s", a.Gateway, time.Unix(0, a.SeenAt).UTC().Format(time.RFC3339))
}

func outcome(o eventlog.Outcome) string {
	if o == 0 {
		return ""
	}
	return o.String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func some(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func short(id string) string { return id[:min(len(id), 12)] }

func attempts(ids []uint64) string {
	const listedMax = 6
	var words []string
	for _, id := range ids[:min(len(ids), listedMax)] {
		words = append(words, some(id))
	}
	if more := len(ids) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, " ")
}
