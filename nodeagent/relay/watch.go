package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// noticesWriteTimeout is what an agent gets to take what is passed on to it.
const noticesWriteTimeout = 10 * time.Second

var errReplaced = errors.New("the agent has another stream of notices")

// A watcher is an agent's stream of notices.
type watcher struct {
	key  string // digest
	end  context.CancelFunc
	wake chan struct{} // holds one token when there is something to write

	// The rest is guarded by the Notices' lock. due are in order what is to be passed
	// on, all of it watched.
	watches map[place]struct{}
	due     []place
	queued  map[place]struct{}
	warned  bool

	pong chan struct{} // holds one token when the agent has asked whether we are there
}

// pass queues a notice for the agent.
func (w *watcher) pass(at place) {
	if _, queued := w.queued[at]; !queued {
		w.queued[at] = struct{}{}
		w.due = append(w.due, at)
	}
	offer(w.wake)
}

// offer leaves a token where there is none.
func offer(tokens chan<- struct{}) {
	select {
	case tokens <- struct{}{}:
	default:
	}
}

// notices serves an agent's stream of notices to its end.
func (r *relay) notices(ctx context.Context, c agentConn, s Stream, first *wire.Watch) error {
	cert := c.certificate()
	if cert == nil || r.cfg.Notices == nil {
		return errors.New("no notices are taken here")
	}
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	n := r.cfg.Notices
	ctx, end := context.WithCancel(ctx)
	defer end()
	w := &watcher{
		key: pki.KeyDigest(cert.RawSubjectPublicKeyInfo), end: end, wake: make(chan struct{}, 1), pong: make(chan struct{}, 1),
		watches: map[place]struct{}{}, queued: map[place]struct{}{},
	}
	stop := context.AfterFunc(ctx, s.Cancel)
	defer stop()
	n.join(w)
	defer n.leave(w)
	if err := n.watch(w, first); err != nil {
		return err
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	defer end()
	writing.Go(func() {
		defer end()
		if err := n.write(ctx, w, s); err != nil && ctx.Err() == nil {
			r.log.Debug("notices for an agent", "address", c.remote().String(), "error", err)
		}
	})
	return n.read(w, s, cert.RawSubjectPublicKeyInfo)
}

// read takes what the agent says.
func (n *Notices) read(w *watcher, s Stream, key []byte) error {
	in := bufio.NewReader(s)
	for {
		message, err := wire.ReadFrom(in, wire.Agent)
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *wire.Watch:
			err = n.watch(w, m)
		case *wire.Announce:
			err = n.announce(key, m.Notices)
		case *wire.Ping:
			offer(w.pong)
		default:
			err = fmt.Errorf("protocol: %T on a stream of notices", m)
		}
		if err != nil {
			return err
		}
	}
}

// write passes on what the agent watches.
func (n *Notices) write(ctx context.Context, w *watcher, s Stream) error {
	out := wire.NewWriter(s)
	for {
		select {
		case <-w.wake:
			if notices := n.take(w); len(notices) > 0 {
				offer(w.wake) // there may be more
				if err := out.Add(&wire.Noticed{Notices: notices}); err != nil {
					return err
				}
			}
		case <-w.pong:
			if err := out.Add(&wire.Pong{}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
		_ = s.SetWriteDeadline(time.Now().Add(noticesWriteTimeout))
		if err := out.Flush(); err != nil {
			return err
		}
	}
}
