package gateway

import (
	"context"
	"errors"
	"fmt"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// A challenged fact is what the agent was told before it said hello again.
type challenged struct {
	acked   uint64 // the newest committed report
	missing uint64 // an attempt under way that was begun, or 0
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
			return nil, s.g.quarantine(ctx, s, fault, hello.JournalID, hello.JournalSeq)
		case now.missing != 0 && now.missing == told.missing:
			return nil, s.g.quarantine(ctx, s, fault, "", 0)
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
		if why = a.JournalFault(hello.JournalID, hello.JournalSeq); why != "" {
			return
		}
		if now.missing = a.MissingAttempt(hello.Attempts, hello.Acked); now.missing != 0 {
			why = fmt.Sprintf("the journal does not hold attempt %d, which the agent had begun: it is an older copy, or another agent's", now.missing)
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
	message, err := wire.ReadFrom(s.control, wire.Agent)
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
func (g *gateway) quarantine(ctx context.Context, s *session, reason, journalID string, journalSeq uint64) error {
	g.logger.Error("agent quarantined", "agent", s.name, "reason", reason)
	_, voids, err := g.o.Propose(ctx, &eventlog.AgentQuarantined{
		Agent: s.agent, Reason: reason, JournalID: journalID, JournalSeq: journalSeq,
	})
	if err != nil {
		return err
	}
	if voids[0] != "" {
		g.logger.Warn("quarantine was void", "agent", s.name, "why", voids[0])
	}
	return &refusal{code: "quarantined", reason: reason}
}
