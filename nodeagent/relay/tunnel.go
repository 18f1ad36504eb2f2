package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"quorate/nodeagent/wire"
)

const (
	// upstreamWait is how long a tunnel waits for the relay to be connected; an agent
	// gives up later than that.
	upstreamWait = 7 * time.Second
	// upstreamSpread is by how much the tunnels differ that have waited: a whole site
	// comes back at once.
	upstreamSpread = 300 * time.Millisecond
	answerTimeout  = 10 * time.Second
	tunnelBytes    = 16 << 10
	// takeTimeout is what an agent gets to take what is written at once, as it does from
	// an orchestrator.
	takeTimeout = 30 * time.Second
)

// tunnel carries what follows on the stream to an orchestrator, and back.
func (r *relay) tunnel(ctx context.Context, c agentConn, down Stream) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done, err := r.shares.tunnel(ctx, c, cancel)
	if errors.Is(err, ErrFull) {
		r.refusals.note(err.Error(), c.remote())
		return refuse(down, err)
	}
	if err != nil {
		return err
	}
	defer done()
	up, answer, err := r.upstream(ctx, c.remote())
	if err != nil {
		return refuse(down, err)
	}
	defer func() {
		if err != nil {
			up.Cancel()
		}
	}()
	if err := down.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	if err := wire.WriteMessage(down, answer); err != nil {
		return err
	}
	if answer.Error != "" {
		up.Cancel()
		return down.Close()
	}
	if err := errors.Join(down.SetDeadline(time.Time{}), up.SetDeadline(time.Time{})); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { down.Cancel(); up.Cancel() })
	defer stop()
	var both sync.WaitGroup
	errs := make([]error, 2)
	both.Go(func() { errs[0] = pipe(up, down) })
	both.Go(func() { errs[1] = pipe(prompt{down}, up) })
	both.Wait()
	return errors.Join(errs...)
}

// refuse tells an agent why it gets no tunnel.
func refuse(down Stream, why error) error {
	_ = down.SetWriteDeadline(time.Now().Add(answerTimeout))
	if err := wire.WriteMessage(down, &wire.Tunnelled{Error: why.Error()}); err != nil {
		return err
	}
	return down.Close()
}

// A prompt stream ends where the agent takes nothing of what it is sent for too long: that
// fills what the relay is given credit for.
type prompt struct{ Stream }

// Write takes no longer than takeTimeout.
func (s prompt) Write(p []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(takeTimeout)); err != nil {
		return 0, err
	}
	return s.Stream.Write(p)
}

// pipe copies until one side ends, and passes that on: a proper end as one, and any
// other as a stream that is dropped.
func pipe(to, from Stream) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, tunnelBytes))
	if err != nil {
		to.Cancel()
		from.Cancel()
		return err
	}
	return to.Close()
}

// ErrNoUpstream is what an agent is told whose relay is cut off, and mostly has been for as
// long as the agent was let wait for a tunnel.
var ErrNoUpstream = errors.New("the relay has no connection to an orchestrator")

// upstream opens a tunnel's other half.
func (r *relay) upstream(ctx context.Context, agent net.Addr) (Stream, *wire.Tunnelled, error) {
	waiting, cancel := context.WithTimeout(ctx, upstreamWait)
	defer cancel()
	began := time.Now()
	up, err := r.cfg.Open(waiting)
	if err != nil {
		return nil, nil, ErrNoUpstream
	}
	if time.Since(began) > upstreamSpread && !sleep(ctx, rand.N(upstreamSpread)) {
		up.Cancel()
		return nil, nil, ctx.Err()
	}
	_ = up.SetDeadline(time.Now().Add(answerTimeout))
	stop := context.AfterFunc(ctx, up.Cancel)
	defer stop()
	if err := wire.WriteMessage(up, &wire.Tunnel{Address: agent.String()}); err != nil {
		up.Cancel()
		return nil, nil, ErrNoUpstream
	}
	message, err := wire.ReadFrom(up, wire.Orchestrator)
	answer, ok := message.(*wire.Tunnelled)
	if err != nil || !ok {
		up.Cancel()
		return nil, nil, fmt.Errorf("%w: no answer", ErrNoUpstream)
	}
	return up, answer, nil
}
