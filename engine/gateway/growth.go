package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/internal/checkpoint"
	"quorate/nodeagent/wire"
)

const (
	// checkpointEvery is how often agents are told how far the log is signed.
	checkpointEvery = time.Minute
	// announceAtOnce sessions are told at a time, announcePause apart.
	announceAtOnce = 256
	announcePause  = 50 * time.Millisecond
	// codeForked refuses an agent that has seen more of the log than is here.
	codeForked = "forked"
	// growthTries bounds how often the log is read up to now for an agent that has seen
	// more of it, and signingWithin how long a checkpoint behind a recovery may take.
	growthTries   = 3
	signingWithin = 5 * time.Second
)

// growth returns the newest checkpoint for an agent, with the proof that it only adds
// to those which the agent has seen. It refuses the agent where the log here is
// shorter: then records were lost, or this is another log.
func (s *session) growth(ctx context.Context, hello *wire.Hello) (*wire.Checkpoint, error) {
	if len(hello.Seen) > checkpoint.SeenMax {
		return nil, errors.New("hello beyond its bounds")
	}
	points := make([]checkpoint.Point, len(hello.Seen))
	for i, seen := range hello.Seen {
		points[i] = checkpoint.Point{Size: seen.Size, Generation: seen.Generation}
	}
	var anchor checkpoint.Point
	for range growthTries {
		c, err := s.signed(ctx)
		if err != nil {
			return nil, err
		}
		ok := false
		switch {
		case c == nil && len(points) == 0:
			return &wire.Checkpoint{}, nil
		case c == nil:
			anchor = checkpoint.Newest(points)
		case checkpoint.Newest(points).Generation > c.Generation:
			anchor = checkpoint.Newest(points)
		default:
			if anchor, ok = checkpoint.Anchor(c.Recoveries, points); !ok || anchor.Size <= c.Size {
				return s.proven(c, anchor.Size)
			}
		}
		// Another gateway may have told the agent of what is not folded here yet.
		if err := s.g.o.Barrier(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", &refusal{code: "busy", reason: "the agent has seen more of the log than is here, and no majority answers"}, err)
		}
	}
	var index uint64
	s.g.o.View(func(st *engine.State) { index = st.Index })
	reason := fmt.Sprintf("the agent has seen this cluster's log signed up to record %d of generation %d, and here it is not (it ends at %d): records were lost, or this is another log", anchor.Size, anchor.Generation, index)
	s.g.logger.Error("REFUSED: an agent has seen more of the log than is here", "agent", s.name, "reason", reason)
	s.g.o.Distrusted(s.agent, reason)
	return nil, &refusal{code: codeForked, reason: reason}
}

// signed returns the newest checkpoint, behind a recovery one that covers it.
func (s *session) signed(ctx context.Context) (*orchestrator.Signed, error) {
	o := s.g.o
	ctx, cancel := context.WithTimeout(ctx, signingWithin)
	defer cancel()
	for {
		news := o.CheckpointNews()
		c, err := o.CheckpointFolded(ctx)
		var since uint64
		o.View(func(st *engine.State) { since = st.RecoveredAt })
		if err == nil && (since == 0 || c != nil && c.Size >= since) {
			return c, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, &refusal{code: "busy", reason: "the log is not signed yet"}
		}
	}
}

// proven proves that a checkpoint adds to what the agent has seen, 0 for nothing.
func (s *session) proven(c *orchestrator.Signed, older uint64) (*wire.Checkpoint, error) {
	m := &wire.Checkpoint{Note: c.Note, Older: older}
	if older == 0 || older == c.Size {
		return m, nil
	}
	var err error
	m.Proof, err = s.g.o.ProveGrowth(older, c.Size)
	return m, err
}

// tellGrowth frames the newest checkpoint where the agent has not seen it.
func (s *session) tellGrowth(out *wire.Writer) error {
	c := s.g.o.Checkpoint()
	if c == nil || c.Size <= s.shown {
		return nil
	}
	m, err := s.proven(c, s.shown)
	if err != nil {
		return err
	}
	if err := out.Add(m); err != nil {
		return err
	}
	s.shown = c.Size
	return nil
}

// announce tells the connected agents how far the log is signed, some at a time.
func (g *gateway) announce(ctx context.Context) {
	for {
		news := g.o.CheckpointNews()
		for i, s := range g.sessions.all() {
			s.note(func(n *notes) { n.signed = true })
			if i%announceAtOnce == announceAtOnce-1 && !wait(ctx, announcePause) {
				return
			}
		}
		if !wait(ctx, g.limits.CheckpointEvery) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
	}
}

// distrusted ends the session of an agent that has seen another log.
func (s *session) distrusted(d *wire.Distrust) error {
	reason := clip(d.Reason, textBytesMax)
	s.g.logger.Error("REFUSED BY AN AGENT: it has seen another log of this cluster than this one", "agent", s.name, "reason", reason,
		"seen", clip(string(d.Note), checkpoint.NoteBytesMax),
		"hint", `compare this orchestrator with the others: "quorate audit checkpoint"; stop the one whose log was changed, and replace it`)
	s.g.o.Distrusted(s.agent, reason)
	return fmt.Errorf("the agent does not trust this log: %s", reason)
}
