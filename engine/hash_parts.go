package engine

// One method for each part of the state. A test changes every field there is,
// one at a time, and expects another hash.

func (d digest) token(t *Token) {
	d.str(t.TokenHash, t.Name, t.Role, t.By)
	d.strs(t.Labels)
	d.flags(t.AutoApprove)
	d.u64(uint64(t.ExpiresAt), t.Index, t.SpentBy)
	if t.Until != 0 { // tokens from before it hash as they did
		d.u64(uint64(t.Until))
	}
}

func (d digest) member(m *Member) {
	d.u64(m.Replica, m.Index, uint64(m.JoinedAt), m.Hashed.Replica, m.Hashed.At)
	d.str(m.Name, m.RaftAddress, m.AgentAddress, m.APIAddress, m.Request, m.Removed, m.Hashed.Chain, m.Hashed.State)
	d.u64(uint64(len(m.hashes)))
	for i := range m.hashes {
		h := &m.hashes[i]
		d.u64(h.Replica, h.At)
		d.str(h.Chain, h.State)
	}
}

func (d digest) agent(a *Agent) {
	d.u64(a.ID, a.JournalSeq, uint64(a.EnrolledAt), a.Connection, a.Gateway, uint64(a.SeenAt), a.Last)
	d.str(a.Name, a.KeyDigest, a.JournalID, a.Hostname, a.Quarantined)
	d.str(a.Session, a.Version, a.BootID, a.Address)
	d.strs(a.Labels)
	d.flags(a.Pending, a.Revoked, a.Connected)
	d.ids(a.Open)
	d.ids(a.begun)
	if a.Lapse != 0 || a.Judged != 0 { // as with a token's Until
		d.u64(a.Lapse, a.Judged)
	}
	if a.Relay || a.Via != 0 { // likewise
		d.flags(a.Relay)
		d.u64(a.Via)
	}
	if a.Transport != "" {
		d.str(a.Transport)
	}
	d.steadiness(&a.Steadiness)
	d.drain(&a.Drain)
	if a.Beyond != 0 {
		d.u64(a.Beyond)
	}
	if len(a.values) == 0 { // as before there were any
		return
	}
	for _, k := range sortedKeys(d, a.values) {
		v := a.values[k]
		d.str(k, v.Key, string(v.Value))
		d.flags(v.Absent)
		d.u64(v.Run, uint64(v.Task), uint64(v.Job), v.Attempt, v.Index, uint64(v.Time))
	}
}

// graph leaves out what newGraph derives from the rest.
func (d digest) graph(g *Graph) {
	d.str(g.PlanID, g.PlannerVersion, g.By)
	d.u64(g.Index)
	d.strs(g.Hosts)
	d.u64(uint64(len(g.HostSets)), uint64(len(g.Tasks)), uint64(len(g.Inputs)))
	for _, set := range g.HostSets {
		d.u32s(set)
	}
	for i := range g.Tasks {
		t := &g.Tasks[i]
		d.str(t.ID, t.Driver)
		d.u64(uint64(t.HostSet), uint64(t.Jobs), uint64(len(t.Requires)))
		d.flags(t.Idempotent, t.KeepGoing)
		d.strs(t.Messages)
		d.u32s(t.JobHostSets)
		if t.Bytes > 0 { // as with a token's Until
			d.u64(uint64(t.Bytes))
		}
		if t.Narrowed {
			d.str("narrowed")
		}
		for _, r := range t.Requires {
			d.u64(uint64(r.Task), uint64(r.Scope))
		}
	}
	for _, in := range g.Inputs {
		d.str(in.Role, in.Name, in.Digest)
	}
}

func (d digest) run(r *Run) {
	d.str(r.PlanID, r.RequestID, r.By, r.ControllerAgent)
	d.u64(uint64(r.StepsMax), uint64(r.StepsPerHostMax))
	d.flags(r.FailFast, r.IgnoreCache, r.Cancelled != nil)
	if r.Check { // states without one hash as they did before there were any
		d.str("check")
	}
	if r.RetryOf != 0 || r.RetryUnknown || r.RetryReason != "" { // likewise
		d.u64(r.RetryOf)
		d.flags(r.RetryUnknown)
		d.str(r.RetryReason)
	}
	if r.Lines || r.Asks { // likewise
		d.flags(r.Lines, r.Asks)
	}
	d.u64(r.ID, r.Index, uint64(r.CreatedAt), uint64(r.EndedAt), uint64(r.Outcome), uint64(r.swept))
	if c := r.Cancelled; c != nil {
		d.u64(c.Run)
		d.str(c.By, c.Reason, c.RequestID)
	}
	if r.AheadMax != 0 { // as with a token's Until
		d.u64(uint64(r.AheadMax), uint64(len(r.queue.noted)))
		for ref := range r.queue.mayGoAhead() {
			d.u64(uint64(ref.task), uint64(ref.pos))
		}
	}
	d.counts(&r.Counts)
	d.u64(uint64(len(r.Tasks)))
	for i := range r.Tasks {
		d.task(&r.Tasks[i])
	}
	d.queue(&r.queue)
	d.u64(uint64(len(r.dooms)), uint64(r.doomed))
	for _, x := range r.dooms {
		d.u64(uint64(x.task), uint64(x.pos), uint64(x.cause))
	}
}

func (d digest) counts(c *Counts) {
	for _, n := range []int{
		c.Steps, c.Pending, c.Ready, c.Running, c.Waiting, c.Succeeded, c.Failed, c.Skipped, c.Cancelled,
		c.JobsSucceeded, c.JobsFailed, c.JobsUnchanged,
		c.TasksSettled, c.TasksSucceeded, c.TasksFailed, c.TasksSkipped, c.TasksCancelled,
	} {
		d.u64(uint64(n))
	}
}

func (d digest) task(t *Task) {
	d.u64(uint64(t.Status), uint64(t.Cause), uint64(t.StartedAt), uint64(t.SettledAt))
	d.u64(uint64(t.unmet), uint64(t.doom))
	for _, n := range t.tally {
		d.u64(uint64(n))
	}
	d.str(t.Reason)
	d.strs(t.Messages)
	d.u64(uint64(len(t.Steps)))
	for i := range t.Steps {
		st := &t.Steps[i]
		d.u64(uint64(st.Host), uint64(st.Status), st.Attempt, uint64(st.Attempts))
		d.u64(uint64(st.unmet), uint64(st.doom), uint64(st.retries), uint64(st.unstarted))
		if st.parked {
			d.flags(true)
		}
		if st.inLine {
			d.str("in line")
		}
		d.str(st.Reason)
	}
	if t.outputs != nil { // as with a token's Until
		for i := range t.outputs.of {
			d.flags(t.outputs.of[i].told)
			d.str(string(t.outputs.of[i].value[:]))
		}
	}
}

func (d digest) queue(q *runQueue) {
	d.u32s(q.engine)
	d.u64(uint64(q.first), uint64(q.last), uint64(q.running), uint64(q.stepsMax), uint64(q.stepsPerHostMax))
	d.u64(uint64(len(q.slots)))
	for i := range q.slots {
		s := &q.slots[i]
		d.u64(uint64(s.running), uint64(s.prev), uint64(s.next), uint64(len(s.refs)))
		d.flags(s.listed)
		for _, ref := range s.refs {
			d.u64(uint64(ref.task), uint64(ref.pos))
		}
		if s.places > 0 { // as with a token's Until
			d.str("dealt")
			d.u64(uint64(s.places))
		}
		for _, ref := range s.line { // as with a token's Until
			d.u64(uint64(ref.task), uint64(ref.pos))
			d.str("in line")
		}
	}
}

func (d digest) attempt(a *Attempt) {
	d.u64(a.ID, a.Run, uint64(a.Task), uint64(a.Host), a.Agent, uint64(a.FromJob), a.Supersedes, a.Successor)
	d.u64(a.Epoch, uint64(a.Outcome), uint64(a.Late), uint64(a.NextJob), uint64(a.ScheduledAt), uint64(a.EndedAt))
	d.str(a.Reason, a.By, a.Resolved, a.ResolvedBy)
	d.flags(a.Cancel, a.JobFailed, a.Began)
	if a.Reached > 0 {
		d.u64(uint64(a.Reached))
	}
	if a.Recall || len(a.After) > 0 || a.heir != 0 || a.place != 0 { // as with a token's Until
		d.flags(a.Recall)
		d.u64(a.heir, a.place, uint64(len(a.After)))
		for _, p := range a.After {
			d.u64(p.Attempt)
			d.flags(p.Any)
		}
	}
	d.u64(uint64(a.Jobs.Len()))
	for j := range a.Jobs.All() {
		d.u64(uint64(j.Job), uint64(j.Outcome), uint64(j.Exit), j.Index, uint64(j.Duration))
		d.flags(j.Changed)
	}
}
