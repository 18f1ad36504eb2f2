package gateway

import (
	"context"
	"fmt"
	"io"
	"time"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// receive reads the agent's messages until the stream ends.
func (s *session) receive(ctx context.Context, in io.Reader) error {
	messages := s.conn.protocol().NewReader(in, wire.Agent)
	for {
		message, err := messages.Read()
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *wire.Results:
			err = s.results(ctx, m.Reports)
		case *wire.Reply:
			err = s.reply(ctx, m)
		case *wire.Ping:
			err = s.ping()
		case *wire.Ask:
			err = s.ask(m)
		case *wire.FactsReply:
			s.g.facts.answered(s, m)
		case *wire.Distrust:
			err = s.distrusted(m)
		default:
			err = fmt.Errorf("protocol: %T is not expected here", m)
		}
		if err != nil {
			return err
		}
	}
}

// results turns reports into events and hands them to the committer. It waits
// where too much of this session is on its way already: the agent's window fills
// up then, and nobody else is held up.
func (s *session) results(ctx context.Context, reports []wire.Report) error {
	batch := batch{session: s, events: make([]eventlog.Event, 0, len(reports))}
	rest, fault := s.takeReports(reports, &batch)
	if fault != nil {
		// The agent may know of an attempt by another gateway which is ahead of
		// this one. What is wrong with everything folded is wrong.
		if err := s.g.o.Barrier(ctx); err != nil {
			return err
		}
		_, fault = s.takeReports(rest, &batch)
	}
	if len(batch.events) > 0 {
		if err := s.g.commits.add(ctx, batch); err != nil {
			return err
		}
	} else {
		s.nudge()
	}
	if fault != nil {
		return s.quarantine(ctx, &eventlog.AgentQuarantined{Reason: fault.Error()})
	}
	return nil
}

// takeReports makes events of reports up to the first that is at fault, and
// returns the rest with the fault.
func (s *session) takeReports(reports []wire.Report, b *batch) (rest []wire.Report, fault error) {
	s.g.o.View(func(state *engine.State) {
		for i := range reports {
			r := &reports[i]
			if r.Seq <= s.received {
				continue // sent again, or by the session before
			}
			if fault = s.checkReport(state, r); fault != nil {
				rest = reports[i:]
				return
			}
			s.received = r.Seq
			b.events = append(b.events, eventOf(r, s.connection))
			b.bytes += r.Bytes()
			b.urgent = b.urgent || r.End || r.Began || r.Published
		}
	})
	return rest, fault
}

// checkReport refuses what no sound agent says. The reducer counts reports of an
// agent without holes, so one that is not put into the log would end all
// reporting: an agent that sends one is taken out of service instead.
func (s *session) checkReport(state *engine.State, r *wire.Report) error {
	a := state.Attempts[r.Attempt]
	if a == nil || a.Agent != s.agent {
		return fmt.Errorf("report %d is on attempt %d, which is not this agent's", r.Seq, r.Attempt)
	}
	if r.Seq != s.received+1 {
		return fmt.Errorf("report %d came after report %d", r.Seq, s.received)
	}
	if r.Began && r.End {
		return fmt.Errorf("report %d is of a beginning and an end", r.Seq)
	}
	if r.Published && (r.Began || r.End) || !r.Published && (r.Waits || len(r.Values) > 0) {
		return fmt.Errorf("report %d is of values and of something else", r.Seq)
	}
	if err := wire.CheckValues(r.Values); err != nil {
		return fmt.Errorf("report %d: %w", r.Seq, err)
	}
	if o := eventlog.Outcome(r.Outcome); !r.Began && !r.Published && (o < eventlog.Succeeded || o > eventlog.Unknown) {
		return fmt.Errorf("report %d has outcome %d", r.Seq, r.Outcome)
	}
	for _, out := range []*wire.Output{&r.Stdout, &r.Stderr} {
		if len(out.Head) > wire.OutputHeadBytesMax || len(out.Tail) > wire.OutputTailBytesMax || out.Size < 0 {
			return fmt.Errorf("report %d has an output beyond its bounds", r.Seq)
		}
	}
	if len(r.Info) > wire.InfoBytesMax || len(r.Reason) > wire.InfoBytesMax || len(r.OutputDigest) > nameBytesMax {
		return fmt.Errorf("report %d has a text beyond its bounds", r.Seq)
	}
	if n := len(r.Output); n != 0 && (n != wire.OutputBytes || !r.End) {
		return fmt.Errorf("report %d says in %d bytes what its step led to", r.Seq, n)
	}
	jobs := state.Run(a.Run).Graph.Tasks[a.Task].Jobs
	if !r.End && !r.Began && r.Job >= jobs {
		return fmt.Errorf("report %d is on job %d of %d", r.Seq, r.Job, jobs)
	}
	return s.count(a, r, jobs)
}

// count bounds the reports of an attempt: each costs a record, so there may be
// no more than jobs and ends account for.
func (s *session) count(a *engine.Attempt, r *wire.Report, jobs uint32) error {
	if a.Outcome != 0 {
		delete(s.reports, a.ID)
		if s.late++; s.late > lateReportsMax {
			return fmt.Errorf("report %d is on settled attempt %d, after %d others like it", r.Seq, a.ID, lateReportsMax)
		}
		return nil
	}
	if r.End {
		delete(s.reports, a.ID)
		return nil
	}
	limit := reportsPerJobMax*int(jobs) + reportsSpareMax
	if s.reports[a.ID]++; s.reports[a.ID] > limit {
		return fmt.Errorf("attempt %d has %d jobs and more than %d reports", a.ID, jobs, limit)
	}
	return nil
}

// eventOf is what a report says that came by the connection, as an event.
func eventOf(r *wire.Report, connection uint64) eventlog.Event {
	if r.Began {
		return &eventlog.AttemptBegan{Attempt: r.Attempt, Seq: r.Seq, Connection: connection}
	}
	if r.Published {
		return publishedEvent(r, connection)
	}
	if r.End {
		return &eventlog.AttemptEnded{
			Attempt: r.Attempt, Outcome: eventlog.Outcome(r.Outcome), Reason: r.Reason,
			OutputDigest: r.OutputDigest, Seq: r.Seq, Connection: connection, Output: r.Output,
		}
	}
	return &eventlog.JobEnded{
		Attempt: r.Attempt, Job: r.Job, Outcome: eventlog.Outcome(r.Outcome), Changed: r.Changed, Exit: r.Exit,
		StartedAt: r.StartedAt, Duration: r.Duration, Info: r.Info,
		Stdout: outputOf(&r.Stdout), Stderr: outputOf(&r.Stderr), Seq: r.Seq, Connection: connection,
	}
}

func publishedEvent(r *wire.Report, connection uint64) eventlog.Event {
	e := &eventlog.ValuesPublished{Attempt: r.Attempt, Job: r.Job, Waits: r.Waits, Seq: r.Seq, Connection: connection}
	for i := range r.Values {
		v := &r.Values[i]
		e.Values = append(e.Values, eventlog.PublishedValue{Key: v.Key, Value: v.Value, Absent: v.Absent})
	}
	return e
}

func outputOf(o *wire.Output) eventlog.Output {
	return eventlog.Output{Head: o.Head, Tail: o.Tail, Size: o.Size}
}

// reply notes what became of a command that started nothing.
func (s *session) reply(ctx context.Context, r *wire.Reply) error {
	log := s.g.logger.With("agent", s.name, "attempt", r.Attempt, "reason", clip(r.Reason, textBytesMax))
	switch r.Status {
	case wire.StatusRunning:
		return nil
	case wire.StatusBusy:
		log.Debug("attempt waits for another one")
		s.repeat(r.Attempt, busyRetryDelay)
		return nil
	case wire.StatusRejected:
		log.Warn("the agent rejected a command")
		s.repeat(r.Attempt, rejectedRetryDelay) // also what is another agent's, and has ended
		return nil
	case wire.StatusGone:
		// The agent may have heard from another gateway that the attempt is settled.
		if err := s.g.o.Barrier(ctx); err != nil {
			return err
		}
		open := false
		s.g.o.View(func(state *engine.State) {
			a := state.Attempts[r.Attempt]
			open = a != nil && a.Agent == s.agent && a.Outcome == 0
		})
		if !open {
			return nil
		}
		return s.quarantine(ctx, &eventlog.AgentQuarantined{
			Reason: fmt.Sprintf("attempt %d is under way, and the agent's journal says that it is settled", r.Attempt),
		})
	}
	return fmt.Errorf("protocol: reply with status %d", r.Status)
}

// repeat sends what there is to say about the attempt once more after a while.
func (s *session) repeat(attempt uint64, after time.Duration) {
	time.AfterFunc(after, func() {
		s.note(func(n *notes) {
			if len(n.again) < attemptsHeldMax {
				n.again = append(n.again, attempt)
			}
		})
	})
}
