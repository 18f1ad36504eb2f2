package engine

import (
	"encoding/binary"
	"slices"

	"quorate/eventlog"
)

// One method for each part of the state, which writes it or reads it. A test
// changes every field there is, one at a time, and expects to find it again.

func (c *codec) state(s *State) {
	number(c, &s.Index)
	signed(c, &s.Time)
	c.time, c.id = s.Time, 0
	c.hash((*[32]byte)(&s.Head))
	c.hash((*[32]byte)(&s.voided))
	c.text(&s.ClusterID)
	number(c, &s.Generation)
	number(c, &s.RecoveredAt)
	list(c, &s.Recoveries, func(c *codec, r *Recovery) {
		number(c, &r.Index)
		number(c, &r.Generation)
	})
	number(c, &s.Checkpoint.Size)
	number(c, &s.Checkpoint.Index)
	c.bytes(&s.Checkpoint.Note)
	number(c, &s.Epoch)
	number(c, &s.Leader)
	table(c, s.Tokens, func(t *Token) string { return t.TokenHash }, (*codec).token)
	table(c, s.Operators, func(o *Operator) string { return o.Name }, (*codec).operator)
	table(c, s.Agents, func(a *Agent) uint64 { return a.ID }, (*codec).agent)
	table(c, s.Plans, func(g *Graph) string { return g.PlanID }, (*codec).graph)
	table(c, s.Attempts, func(a *Attempt) uint64 { return a.ID }, (*codec).attempt)
	list(c, &s.Runs, func(c *codec, r **Run) {
		if c.reading() {
			*r = new(Run)
		}
		c.run(*r, s.Plans)
	})
	c.index(s.names)
	c.index(s.keys)
	c.index(s.requests)
	c.numbers(&s.controllers)
	c.numbers(&s.active)
	table(c, s.members, func(m *Member) uint64 { return m.Replica }, (*codec).member)
	list(c, &s.changes, func(c *codec, v *valueChange) {
		number(c, &v.index)
		number(c, &v.agent)
		c.text(&v.key)
	})
	number(c, &s.trimAt)
	c.damping(&s.damping)
}

func (c *codec) token(t *Token) {
	asEvent(c, &t.TokenCreated)
	number(c, &t.Index)
	number(c, &t.SpentBy)
}

func (c *codec) member(m *Member) {
	asEvent(c, &m.OrchestratorMoved)
	number(c, &m.Index)
	signed(c, &m.JoinedAt)
	c.text(&m.Request)
	c.text(&m.Removed)
	asEvent(c, &m.Hashed)
	list(c, &m.hashes, func(c *codec, h *eventlog.StateHashed) { asEvent(c, h) })
}

func (c *codec) agent(a *Agent) {
	number(c, &a.ID)
	c.text(&a.Name)
	c.strings(&a.Labels)
	c.text(&a.KeyDigest)
	c.text(&a.JournalID)
	number(c, &a.JournalSeq)
	c.moment(&a.EnrolledAt)
	c.text(&a.Hostname)
	c.flags(&a.Pending, &a.Revoked, &a.Connected)
	c.text(&a.Quarantined)
	c.text(&a.Session)
	number(c, &a.Connection)
	number(c, &a.Gateway)
	c.text(&a.Version)
	c.text(&a.BootID)
	c.text(&a.Address)
	c.moment(&a.SeenAt)
	c.numbers(&a.Open)
	number(c, &a.Last)
	number(c, &a.Lapse)
	number(c, &a.Judged)
	c.numbers(&a.begun)
	if c.version >= versionRelays {
		c.flags(&a.Relay)
		number(c, &a.Via)
		c.text(&a.Transport)
	}
	c.steadiness(&a.Steadiness)
	c.drain(&a.Drain)
	if c.version >= versionBeyond {
		number(c, &a.Beyond)
	}
	some := a.values != nil
	if c.flags(&some); !some {
		return
	}
	if c.reading() {
		a.values = map[string]*Published{}
	}
	table(c, a.values, func(v *Published) string { return v.Key }, (*codec).published)
}

func (c *codec) published(v *Published) {
	c.text(&v.Key)
	c.bytes(&v.Value)
	c.flags(&v.Absent)
	number(c, &v.Run)
	number(c, &v.Task)
	number(c, &v.Job)
	number(c, &v.Attempt)
	number(c, &v.Index)
	c.moment(&v.Time)
}

// graph leaves out what newGraph derives from the rest.
func (c *codec) graph(g *Graph) {
	if !c.reading() {
		asEvent(c, &g.PlanRecorded)
		number(c, &g.Index)
		return
	}
	var recorded eventlog.PlanRecorded
	var index uint64
	asEvent(c, &recorded)
	number(c, &index)
	if c.err != nil {
		return
	}
	derived, why := newGraph(&recorded, index)
	if why != "" {
		c.fail(why)
		return
	}
	*g = *derived
}

func (c *codec) run(r *Run, plans map[string]*Graph) {
	asEvent(c, &r.RunCreated)
	number(c, &r.ID)
	if c.reading() {
		r.Graph = plans[r.PlanID]
	}
	c.moment(&r.CreatedAt)
	c.moment(&r.EndedAt)
	cancelled := r.Cancelled != nil
	if c.flags(&cancelled); cancelled {
		if c.reading() {
			r.Cancelled = new(eventlog.RunCancelled)
		}
		asEvent(c, r.Cancelled)
	}
	number(c, &r.Outcome)
	list(c, &r.Tasks, (*codec).task)
	c.counts(&r.Counts)
	number(c, &r.Index)
	c.queue(&r.queue)
	list(c, &r.dooms, func(c *codec, d *doom) {
		number(c, &d.task)
		signed(c, &d.pos)
		number(c, &d.cause)
	})
	number(c, &r.doomed)
	number(c, &r.swept)
}

func (c *codec) counts(n *Counts) {
	for _, v := range []*int{
		&n.Steps, &n.Pending, &n.Ready, &n.Running, &n.Waiting, &n.Succeeded, &n.Failed, &n.Skipped, &n.Cancelled,
		&n.JobsSucceeded, &n.JobsFailed, &n.JobsUnchanged,
		&n.TasksSettled, &n.TasksSucceeded, &n.TasksFailed, &n.TasksSkipped, &n.TasksCancelled,
	} {
		signed(c, v)
	}
}

func (c *codec) task(t *Task) {
	list(c, &t.Steps, (*codec).step)
	number(c, &t.Status)
	number(c, &t.Cause)
	c.text(&t.Reason)
	c.strings(&t.Messages)
	c.since(&t.StartedAt)
	c.since(&t.SettledAt)
	for i := range t.tally {
		number(c, &t.tally[i])
	}
	number(c, &t.unmet)
	number(c, &t.doom)
	if c.version >= versionOutputs {
		c.outputs(&t.outputs)
	}
}

func (c *codec) outputs(o **outputs) {
	some := *o != nil
	if c.flags(&some); !some {
		return
	}
	if c.reading() {
		*o = new(outputs)
	}
	list(c, &(*o).of, func(c *codec, step *output) {
		c.flags(&step.told)
		c.raw(step.value[:])
	})
}

// since codes a time that is 0 where something has not happened.
func (c *codec) since(t *int64) {
	happened := *t != 0
	if c.flags(&happened); happened {
		c.moment(t)
	}
}

func (c *codec) step(st *Step) {
	number(c, &st.Host)
	number(c, &st.Attempts)
	number(c, &st.Attempt)
	c.text(&st.Reason)
	number(c, &st.unmet)
	number(c, &st.doom)
	number(c, &st.Status)
	number(c, &st.retries)
	number(c, &st.unstarted)
	if c.version >= versionPlaces {
		c.flags(&st.parked, &st.inLine)
	} else {
		c.flags(&st.parked)
	}
}

func (c *codec) queue(q *runQueue) {
	c.positions(&q.engine)
	if c.version >= versionAhead {
		c.ahead(q)
	}
	list(c, &q.slots, func(c *codec, s *slot) {
		list(c, &s.refs, (*codec).stepRef)
		if c.version >= versionPlaces {
			list(c, &s.line, (*codec).stepRef)
		}
		if c.version >= versionDeals {
			number(c, &s.places)
		}
		number(c, &s.running)
		signed(c, &s.prev)
		signed(c, &s.next)
		c.flags(&s.listed)
	})
	signed(c, &q.first)
	signed(c, &q.last)
	number(c, &q.running)
	number(c, &q.stepsMax)
	number(c, &q.stepsPerHostMax)
}

// versionAhead is the first version in which steps are scheduled ahead.
const versionAhead = 2

// versionBeyond is the first version that marks who knows of more than is on record.
const versionBeyond = 4

// versionRelays is the first version that knows relays.
const versionRelays = 3

// versionOutputs is the first version that knows what steps led to.
const versionOutputs = 5

// versionPlaces is the first version in which steps wait at their agents for places.
const versionPlaces = 4

// versionDeals is the first version in which hosts have places of their own.
const versionDeals = 5

func (c *codec) ahead(q *runQueue) {
	refs := slices.Collect(q.mayGoAhead())
	list(c, &refs, (*codec).stepRef)
	if c.reading() {
		for _, ref := range refs {
			q.note(ref)
		}
	}
}

func (c *codec) stepRef(ref *stepRef) {
	number(c, &ref.task)
	number(c, &ref.pos)
}

func (c *codec) attempt(a *Attempt) {
	d := a.ID - c.id
	number(c, &d)
	if c.reading() {
		a.ID = c.id + d
	}
	c.id = a.ID
	number(c, &a.Run)
	number(c, &a.Task)
	number(c, &a.Host)
	number(c, &a.Agent)
	number(c, &a.FromJob)
	number(c, &a.NextJob)
	number(c, &a.Supersedes)
	number(c, &a.Successor)
	number(c, &a.Epoch)
	c.text(&a.Reason)
	c.text(&a.By)
	number(c, &a.Outcome)
	c.flags(&a.Began, &a.Cancel, &a.JobFailed)
	if c.version >= versionAhead {
		c.flags(&a.Recall)
		list(c, &a.After, func(c *codec, p *Predecessor) {
			number(c, &p.Attempt)
			c.flags(&p.Any)
		})
		number(c, &a.heir)
		number(c, &a.place)
	}
	number(c, &a.Reached)
	number(c, &a.Late)
	c.text(&a.Resolved)
	c.text(&a.ResolvedBy)
	c.results(&a.Jobs)
	c.moment(&a.ScheduledAt)
	c.since(&a.EndedAt)
}

// results codes them as they are packed.
func (c *codec) results(r *JobResults) {
	c.bytes(&r.packed)
	if !c.reading() || c.err != nil {
		return
	}
	var j JobResult
	for rest := r.packed; len(rest) > 0; {
		if !wholeResult(rest) {
			c.fail("a result is cut off")
			return
		}
		rest = j.unpack(rest)
		r.n++
	}
	r.lastJob, r.lastIndex = j.Job, j.Index
}

// wholeResult reports whether the first of packed results is all there.
func wholeResult(b []byte) bool {
	fields := 3
	if b[0]&resultExit != 0 {
		fields++
	}
	at := 1
	for range fields {
		_, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return false
		}
		at += n
	}
	return true
}
