package engine

import (
	"fmt"
	"slices"

	"quorate/eventlog"
)

// foldStepScheduled starts an attempt, or refuses it where the proposal is
// older than what has happened since.
func (s *State) foldStepScheduled(e *eventlog.StepScheduled) string {
	r, t, void := s.task(e.Run, e.Task)
	if void != "" {
		return void
	}
	g := r.Graph
	pos, ok := g.stepAt(e.Task, e.Host)
	switch {
	case !ok || g.IsEngine(e.Task):
		return "no such step"
	case e.Epoch != s.Epoch:
		return fmt.Sprintf("scheduled in epoch %d, now is %d", e.Epoch, s.Epoch)
	case r.stopped():
		return "the run is being stopped"
	case !mayMove(t.step(pos), eventlog.KindStepScheduled), e.Ahead != (t.step(pos) == Pending):
		return "the step is " + t.step(pos).String()
	case e.Ahead:
		return s.foldScheduledAhead(r, e, pos)
	}
	st := &t.Steps[pos]
	a := s.agentFor(r, e.Host, st.Attempt)
	switch {
	case a == nil:
		return "no agent may run the step"
	case a.ID != e.Agent && !(e.Host == NoHost && s.mayControl(r, st, e.Agent)):
		return fmt.Sprintf("the step is for agent %d", a.ID)
	case e.Supersedes != st.Attempt:
		return fmt.Sprintf("the step's newest attempt is %d", st.Attempt)
	case e.FromJob != s.nextJob(r, e.Task, st):
		return fmt.Sprintf("the step goes on with job %d", s.nextJob(r, e.Task, st))
	case e.Queues && !r.queues():
		return "steps of the run do not wait for places"
	}
	if why := s.placeFault(r, e, a); why != "" {
		return why
	}
	if r.queue.take(e); !r.queue.hasRoom(e.Host) {
		st.parked, st.inLine = true, true
		r.queue.join(e.Host, stepRef{e.Task, uint32(pos)})
	}
	s.start(r, e, pos, nil, nil)
	if e.Places > 0 {
		s.serve(r, e.Host)
	}
	return ""
}

// mayControl reports whether the agent may run a step without host that another
// controller is preferred for: any of them may where the plan names none and no
// attempt came before.
func (s *State) mayControl(r *Run, st *Step, agent uint64) bool {
	a := usable(s.Agents[agent])
	if a == nil || a.Drained() || r.ControllerAgent != "" || st.Attempt != 0 {
		return false
	}
	for _, id := range s.controllers {
		if id == agent {
			return true
		}
	}
	return false
}

// start makes an attempt. One that is sent ahead waits behind others, and takes
// the place of one of them.
func (s *State) start(r *Run, e *eventlog.StepScheduled, pos int, after []Predecessor, place *Attempt) {
	t := &r.Tasks[e.Task]
	st := &t.Steps[pos]
	a := &Attempt{
		ID:          s.Serial(s.Index),
		Run:         e.Run,
		Task:        e.Task,
		Host:        e.Host,
		Agent:       e.Agent,
		FromJob:     e.FromJob,
		Supersedes:  e.Supersedes,
		Epoch:       e.Epoch,
		ScheduledAt: s.Time,
		After:       after,
	}
	if place != nil {
		place.heir, a.place, st.parked = a.ID, place.ID, true
	}
	if p := s.Attempts[e.Supersedes]; p != nil {
		p.Successor = a.ID
		a.JobFailed = p.JobFailed
		a.Reached = p.Reached
	}
	s.Attempts[a.ID] = a
	agent := s.Agents[e.Agent]
	agent.Open = append(agent.Open, a.ID)
	agent.elsewhere += s.elsewhere(agent.ID, after)
	agent.openBytes += s.bytesOf(a)
	agent.Last = a.ID
	st.Attempt = a.ID
	st.Attempts++
	st.Reason = ""
	if t.StartedAt == 0 {
		t.StartedAt = s.Time
	}
	s.move(r, e.Task, pos, Running)
	if place != nil {
		s.taken(r, place)
	}
	s.lookBehind(r, e.Task, e.Host)
	if agent.lapsed(r, a.Supersedes) {
		s.settle(a, eventlog.Unknown, "the agent may have done the step in what was lost when the cluster was recovered", "")
	}
}

// lapsed reports whether an attempt of the run that supersedes the other one, or none,
// is unknown as soon as it is scheduled: its agent may have done the step in what was
// lost when the cluster was recovered.
func (a *Agent) lapsed(r *Run, supersedes uint64) bool { return supersedes == 0 && r.Index < a.Lapse }

// reporter returns the attempt that a report with the number is about, and its agent,
// or why the report does not count.
func (s *State) reporter(attempt, seq, connection uint64) (a *Attempt, agent *Agent, why string) {
	if a = s.Attempts[attempt]; a == nil {
		return nil, nil, "no such attempt"
	}
	agent = s.Agents[a.Agent]
	return a, agent, agent.reportFault(seq, connection)
}

// reported folds what the agent said under its number. A report with the next
// number always counts, though it may change nothing else: the agent has to be
// told that it need not be repeated.
func (s *State) reported(a *Agent, seq uint64, void string) string {
	if seq == 0 {
		return void
	}
	a.JournalSeq = seq
	return ""
}

func (s *State) foldJobEnded(e *eventlog.JobEnded) string {
	a, agent, why := s.reporter(e.Attempt, e.Seq, e.Connection)
	if why != "" {
		return why
	}
	return s.reported(agent, e.Seq, s.takeJob(a, e))
}

// foldAttemptBegan notes that the agent's journal holds the attempt: its report
// has a number, so that an older copy of the journal is behind it.
func (s *State) foldAttemptBegan(e *eventlog.AttemptBegan) string {
	a, agent, why := s.reporter(e.Attempt, e.Seq, e.Connection)
	if why != "" {
		return why
	}
	void := "the attempt has begun"
	if !a.Began {
		a.Began, void = true, ""
		if a.Outcome == 0 {
			i, _ := slices.BinarySearch(agent.begun, a.ID)
			agent.begun = slices.Insert(agent.begun, i, a.ID)
		}
	}
	return s.reported(agent, e.Seq, void)
}

func (s *State) takeJob(a *Attempt, e *eventlog.JobEnded) string {
	r := s.Run(a.Run)
	switch {
	case e.Outcome < eventlog.Succeeded || e.Outcome > eventlog.Unknown:
		return "unknown outcome"
	case e.Job < a.FromJob || e.Job >= r.Graph.Tasks[a.Task].Jobs:
		return "no such job"
	case a.Outcome != 0 && !s.undecided(a):
		return "the attempt is settled"
	case a.Jobs.has(e.Job):
		return "the job has ended"
	}
	a.Jobs.add(JobResult{
		Job:      e.Job,
		Outcome:  e.Outcome,
		Changed:  e.Changed,
		Exit:     e.Exit,
		Index:    s.Index,
		Duration: e.Duration,
	})
	switch e.Outcome {
	case eventlog.Succeeded, eventlog.Skipped:
		r.Counts.JobsSucceeded++
		if !e.Changed {
			r.Counts.JobsUnchanged++
		}
	case eventlog.Failed:
		r.Counts.JobsFailed++
		a.JobFailed = true
	case eventlog.Cancelled:
		a.JobFailed = true
	}
	return ""
}

// undecided reports whether the attempt is unknown and evidence about it can
// still count: it has no successor, and nobody has settled its step.
func (s *State) undecided(a *Attempt) bool {
	if a.Outcome != eventlog.Unknown || a.Successor != 0 {
		return false
	}
	r := s.Run(a.Run)
	pos, _ := r.Graph.stepAt(a.Task, a.Host)
	st := &r.Tasks[a.Task].Steps[pos]
	return r.Outcome == 0 && st.Attempt == a.ID && (st.Status == Waiting || st.Status == Ready)
}

func (s *State) foldAttemptEnded(e *eventlog.AttemptEnded) string {
	a, agent, why := s.reporter(e.Attempt, e.Seq, e.Connection)
	if why != "" {
		return why
	}
	void := s.takeEnd(a, e)
	if void == "" {
		s.keepAttemptOutput(a, e.Output)
	}
	return s.reported(agent, e.Seq, void)
}

func (s *State) takeEnd(a *Attempt, e *eventlog.AttemptEnded) string {
	switch {
	case e.Outcome < eventlog.Succeeded || e.Outcome > eventlog.Unknown:
		return "unknown outcome"
	case e.By != "" && e.Outcome != eventlog.Unknown:
		return "only the agent knows the outcome"
	case a.Outcome == 0:
		s.settle(a, e.Outcome, e.Reason, e.By)
		return ""
	case !definite(e.Outcome) || a.Outcome != eventlog.Unknown || a.Late != 0:
		return "the attempt is settled"
	case !s.undecided(a):
		a.Late = e.Outcome
		return ""
	}
	a.Outcome, a.Reason, a.By, a.EndedAt = e.Outcome, e.Reason, "", s.Time
	s.conclude(a)
	return ""
}

// disprove takes back that an attempt has not started. Where its step was to be tried
// again by itself, that is decided anew; what has become of it otherwise stays.
func (s *State) disprove(a *Attempt) {
	a.Outcome, a.Reason, a.By, a.EndedAt = eventlog.Unknown, disprovedEnd, "", s.Time
	r := s.Run(a.Run)
	pos, _ := r.Graph.stepAt(a.Task, a.Host)
	st := &r.Tasks[a.Task].Steps[pos]
	if r.Outcome == 0 && !r.stopped() && st.Attempt == a.ID && (st.Status == Ready || st.Status == Pending) {
		s.conclude(a)
	}
}

const disprovedEnd = "it was given back, and its agent has come with an older journal, which may have let it start since"

// settle ends an attempt that is under way.
func (s *State) settle(a *Attempt, o eventlog.Outcome, reason, by string) {
	a.Outcome, a.Reason, a.By, a.EndedAt = o, reason, by, s.Time
	a.Jobs.clip()
	s.Agents[a.Agent].settledAttempt(a, s.elsewhere(a.Agent, a.After), s.bytesOf(a))
	r := s.Run(a.Run)
	s.bequeath(r, a)
	s.conclude(a)
	s.serve(r, a.Host)
}
