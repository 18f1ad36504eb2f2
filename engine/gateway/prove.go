package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// A challenged fact is what the agent was told before it said hello again.
type challenged struct {
	acked     uint64   // the newest committed report
	missing   uint64   // an attempt under way that was begun, or one that had started, or 0
	disproved []uint64 // attempts that have not started, and that the journal does not forbid
}

// again are those of the disproved attempts that the agent was told of before.
func (c *challenged) again(told *challenged) []uint64 {
	return slices.DeleteFunc(slices.Clone(c.disproved), func(id uint64) bool { return !slices.Contains(told.disproved, id) })
}

// prove returns a Hello that fits the record, or quarantines the agent.
//
// A Hello that does not fit proves nothing by itself. It may have waited while this
// process slept and the agent went on elsewhere; and this gateway may not yet have
// folded what the agent was told by another one. So the log is read up to now, the
// agent is asked once more, and only what it said after it was told counts against it.
func (s *session) prove(ctx context.Context, hello *wire.Hello) (*wire.Hello, error) {
	var told challenged
	for range challengesMax {
		if fault, _ := s.fault(hello); fault == "" {
			return hello, nil
		}
		if err := s.g.o.Barrier(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", &refusal{code: "busy", reason: "the journal cannot be compared with the log: no majority answers"}, err)
		}
		fault, now := s.fault(hello)
		switch {
		case fault == "":
			return hello, nil
		case hello.JournalID != now.journal || hello.JournalSeq < told.acked:
			return nil, s.quarantine(ctx, &eventlog.AgentQuarantined{Reason: fault, JournalID: hello.JournalID, JournalSeq: hello.JournalSeq, Disproved: now.again(&told)})
		case now.missing != 0 && now.missing == told.missing, len(now.again(&told)) > 0:
			return nil, s.quarantine(ctx, &eventlog.AgentQuarantined{Reason: fault, Disproved: now.again(&told)})
		}
		var err error
		if hello, err = s.challenge(ctx, &wire.Challenge{Acked: now.acked, Reason: clip(fault, textBytesMax)}); err != nil {
			return nil, err
		}
		told = now.challenged
	}
	return nil, errUnsettled
}

// onRecord is what a journal is compared with.
type onRecord struct {
	challenged
	journal string
}

// fault says why the journal is not the one on record, as far as that is folded
// here, and what the record is.
func (s *session) fault(hello *wire.Hello) (why string, now onRecord) {
	s.g.o.View(func(st *engine.State) {
		a := st.Agent(s.agent)
		now.acked, now.journal = a.JournalSeq, a.JournalID
		// In the previous protocol it does not say what it forbids, so that nothing is disproved.
		if hello.JournalID == now.journal && s.conn.protocol() > wire.Previous {
			now.disproved = st.Disproved(a, hello.Attempts, hello.Forbidden)
		}
		if why = a.JournalFault(hello.JournalID, hello.JournalSeq); why != "" {
			return
		}
		if now.missing = a.MissingAttempt(hello.Attempts, hello.Acked); now.missing != 0 {
			why = fmt.Sprintf("the journal does not hold attempt %d, which the agent had begun: it is an older copy, or another agent's", now.missing)
		} else if now.missing = st.Overtaken(a, hello.Unstarted); now.missing != 0 {
			why = fmt.Sprintf("the journal holds attempt %d as not started, and the agent has said how it went: it is an older copy, or another agent's", now.missing)
		} else if len(now.disproved) > 0 {
			why = fmt.Sprintf("the journal does not know that attempt %d never starts, which is on record: it is an older copy, or another agent's", now.disproved[0])
		}
	})
	return why, now
}

// challenge tells the agent what does not fit, and reads its next Hello.
func (s *session) challenge(ctx context.Context, c *wire.Challenge) (*wire.Hello, error) {
	s.g.logger.Info("agent is asked to introduce itself again", "agent", s.name, "reason", c.Reason)
	if err := wire.WriteMessage(s.control, c); err != nil {
		return nil, err
	}
	if err := s.control.readWithin(helloTimeout); err != nil {
		return nil, err
	}
	message, err := s.conn.protocol().Receive(s.control, wire.Agent)
	if err != nil {
		return nil, fmt.Errorf("hello after a challenge: %w", err)
	}
	hello, ok := message.(*wire.Hello)
	if !ok {
		return nil, errors.New("hello after a challenge: another message came")
	}
	if err := checkHello(hello); err != nil {
		return nil, err
	}
	return hello, s.control.readWithin(0)
}

// quarantine takes the agent out of service. The journal is what it showed;
// without one the reason alone counts. It returns the refusal.
func (s *session) quarantine(ctx context.Context, e *eventlog.AgentQuarantined) error {
	e.Agent = s.agent
	s.g.logger.Error("agent quarantined", "agent", s.name, "reason", e.Reason, "may_have_started", e.Disproved)
	_, voids, err := s.g.o.Propose(ctx, e)
	if err != nil {
		return err
	}
	if voids[0] != "" {
		s.g.logger.Warn("quarantine was void", "agent", s.name, "why", voids[0])
	}
	return &refusal{code: codeQuarantined, reason: e.Reason}
}

// codeQuarantined is what agents in quarantine are refused with.
const codeQuarantined = "quarantined"

// testify hears an agent that is in quarantine: its disk may have been put back once
// more since, to before an attempt was given back, and have let that start.
func (g *gateway) testify(ctx context.Context, c *connection, control *stream, hello *wire.Hello) error {
	id, digest, err := g.identify(c)
	if err != nil {
		return err
	}
	name, _ := g.check(c, id, digest)
	s := &session{g: g, agent: id, name: name, conn: c, control: control}
	_, now := s.fault(hello)
	if len(now.disproved) == 0 {
		return nil
	}
	told := now.challenged
	if hello, err = s.challenge(ctx, &wire.Challenge{Acked: told.acked, Reason: "attempts never start that the journal does not forbid"}); err != nil {
		return err
	}
	if _, now = s.fault(hello); len(now.again(&told)) == 0 {
		return nil
	}
	return s.quarantine(ctx, &eventlog.AgentQuarantined{Reason: "the journal is an older copy once more", Disproved: now.again(&told)})
}
