package nodeagent

import (
	"context"
	"time"

	pacing "quorate/internal/pace"
	"quorate/nodeagent/wire"
)

// write sends replies and reports as they come. What outputs make of reports goes in
// pieces, and no faster than the line takes it, so that what is short never waits for
// more than one piece.
func (s *session) write(ctx context.Context) error {
	w := wire.NewWriter(s.control)
	pacer := pacing.New(s.line)
	var last time.Time
	for {
		if !s.await(ctx, last) {
			return ctx.Err()
		}
		for more := true; more; {
			var hold time.Duration
			var err error
			if more, hold, err = s.gatherFrames(w, pacer); err != nil {
				return err
			}
			if w.Buffered() > 0 {
				w.Pack(s.packing())
				_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
				if err := w.Flush(); err != nil {
					return err
				}
				last = time.Now()
			}
			if hold > 0 && !s.hold(ctx, hold) {
				return ctx.Err()
			}
		}
	}
}

func (s *session) line() pacing.Trip {
	signs := s.link.signs()
	return signs.line()
}

// hold waits until reports may go on, or there is something else to send, or with false
// until ctx ends.
func (s *session) hold(ctx context.Context, rest time.Duration) bool {
	due := time.NewTimer(rest)
	defer due.Stop()
	select {
	case <-due.C:
	case <-s.urgent:
	case <-ctx.Done():
		return false
	}
	return true
}

// await returns when the next frame is due, the last one having gone at that
// time, or with false when ctx ends.
func (s *session) await(ctx context.Context, last time.Time) bool {
	select {
	case <-s.urgent:
	case <-s.changed:
		due := time.NewTimer(lingerJobs - time.Since(last))
		defer due.Stop()
		select {
		case <-due.C:
			return true
		case <-s.urgent:
		case <-ctx.Done():
			return false
		}
	case <-ctx.Done():
		return false
	}
	rest := lingerFor(s.link.signs().rtt) - time.Since(last)
	return rest <= 0 || sleep(ctx, rest)
}

// lingerFor is the shortest time between two frames on a line of that round trip: on
// a long one it is a small part of that, for which fewer packets are there to be lost,
// and what is in them is packed the better.
func lingerFor(rtt time.Duration) time.Duration {
	return min(max(linger, rtt/lingerShare), lingerMax)
}

// pieceBytes is how much of reports goes at once on a long line.
const pieceBytes = 32 << 10

// gatherFrames adds what there is to send, as much as fits into one frame of
// reports, and says whether there may be more, and how long that is to wait.
func (s *session) gatherFrames(w *wire.Writer, pacer *pacing.Pacer) (more bool, hold time.Duration, err error) {
	target := wire.ResultsBytesTarget
	if s.packing() != 0 {
		target = pieceBytes
	}
	s.mu.Lock()
	replies, letters, from, asking := s.replies, s.letters, s.sent, s.asking
	s.replies, s.letters, s.asking = nil, nil, false
	var reports []wire.Report
	if !s.paused { // and stays so until the reports are taken
		reports = s.agent.journal.ReportsAfter(from, target)
	}
	s.mu.Unlock()
	if asking {
		if err := w.Add(wire.NewPing()); err != nil {
			return false, 0, err
		}
	}
	for _, r := range replies {
		if err := w.Add(r); err != nil {
			return false, 0, err
		}
	}
	for _, m := range letters {
		if err := w.Add(m); err != nil {
			return false, 0, err
		}
	}
	if len(reports) == 0 {
		return false, 0, nil
	}
	size := 0
	for i := range reports {
		size += reports[i].Bytes()
	}
	if hold := pacer.Take(size); hold > 0 {
		return true, hold, nil
	}
	if err := w.Add(&wire.Results{Reports: reports}); err != nil {
		return false, 0, err
	}
	s.mu.Lock()
	if s.sent == from {
		s.sent = reports[len(reports)-1].Seq
	}
	s.mu.Unlock()
	return size >= target, 0, nil
}

// packFrom is the round trip from which on bytes cost more than the time to pack them.
const packFrom = 20 * time.Millisecond

// packing says for whom what is sent now is to be packed, if at all.
func (s *session) packing() wire.Side {
	if s.link.signs().rtt < packFrom {
		return 0
	}
	return wire.Agent
}
