package raft

import (
	"errors"
	"fmt"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"

	"quorate/eventlog"
)

// proposeTimeout is how long an answer may take until a proposal is made again.
const proposeTimeout = 2 * time.Second

// tryHost returns how a replica proposes. The session is one without memory, the
// only kind for a state machine on disk (D17).
func tryHost(host *dragonboat.NodeHost, session *client.Session) try {
	return func(cmd []byte) (first uint64, again bool, err error) {
		request, err := host.Propose(session, cmd, proposeTimeout)
		switch {
		case errors.Is(err, dragonboat.ErrPayloadTooBig), errors.Is(err, dragonboat.ErrInvalidSession):
			return 0, false, fmt.Errorf("%w: %w", eventlog.ErrRefused, err)
		case errors.Is(err, dragonboat.ErrClosed), errors.Is(err, dragonboat.ErrShardClosed), errors.Is(err, dragonboat.ErrShardNotFound):
			return 0, false, eventlog.ErrClosed
		case err != nil: // busy, or not ready yet
			return 0, true, nil
		}
		defer request.Release()
		result := <-request.ResultC()
		switch {
		case result.Completed():
			applied := result.GetResult()
			if applied.Value == 0 {
				return 0, false, fmt.Errorf("proposal was not applied: %s", applied.Data)
			}
			return applied.Value, false, nil
		case result.Terminated():
			return 0, false, eventlog.ErrClosed
		}
		return 0, true, nil // timed out, dropped, aborted
	}
}
