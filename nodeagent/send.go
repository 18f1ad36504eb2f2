package nodeagent

import (
	"context"
	"time"

	"quorate/nodeagent/wire"
)

// write sends replies and reports as they come.
func (s *session) write(ctx context.Context) error {
	w := wire.NewWriter(s.control)
	var last time.Time
	for {
		if !s.await(ctx, last) {
			return ctx.Err()
		}
		for {
			more, err := s.gatherFrames(w)
			if err != nil {
				return err
			}
			if w.Buffered() == 0 {
				break
			}
			w.Pack(s.packing())
			_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
			if err := w.Flush(); err != nil {
				return err
			}
			last = time.Now()
			if !more {
				break
			}
		}
	}
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

// gatherFrames adds what there is to send, as much as fits into one frame of
// reports, and says whether there may be more.
func (s *session) gatherFrames(w *wire.Writer) (more bool, err error) {
	s.mu.Lock()
	replies, letters, from, asking := s.replies, s.letters, s.sent, s.asking
	s.replies, s.letters, s.asking = nil, nil, false
	var reports []wire.Report
	if !s.paused { // and stays so until the reports are taken
		reports = s.agent.journal.ReportsAfter(from, wire.ResultsBytesTarget)
	}
	s.mu.Unlock()
	if asking {
		if err := w.Add(&wire.Ping{}); err != nil {
			return false, err
		}
	}
	for _, r := range replies {
		if err := w.Add(r); err != nil {
			return false, err
		}
	}
	for _, m := range letters {
		if err := w.Add(m); err != nil {
			return false, err
		}
	}
	if len(reports) == 0 {
		return false, nil
	}
	if err := w.Add(&wire.Results{Reports: reports}); err != nil {
		return false, err
	}
	s.mu.Lock()
	if s.sent == from {
		s.sent = reports[len(reports)-1].Seq
	}
	s.mu.Unlock()
	size := 0
	for i := range reports {
		size += reports[i].Bytes()
	}
	return size >= wire.ResultsBytesTarget, nil
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
