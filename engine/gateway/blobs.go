package gateway

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"quorate/engine"
	"quorate/internal/job"
	"quorate/nodeagent/wire"
	"quorate/planner"
)

// serveStreams answers the streams that the peer opens: an agent's for blobs, a few at
// a time, and a relay's also for its agents.
func (s *session) serveStreams(ctx context.Context) error {
	var streams sync.WaitGroup
	defer streams.Wait()
	most := streamsMax
	if s.conn.relays() {
		most = relayStreamsMax
	}
	slots := make(chan struct{}, most)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		st, err := s.conn.stream(ctx)
		if err != nil {
			return err
		}
		streams.Go(func() {
			defer func() { <-slots }()
			if err := s.serveStream(ctx, st); err != nil {
				st.abort()
				if ctx.Err() == nil {
					s.g.logger.Warn("a stream was not served", "agent", s.name, "error", err)
				}
			}
		})
	}
}

// serveStream does what the first message of a stream asks for.
func (s *session) serveStream(ctx context.Context, st *stream) error {
	if err := st.readWithin(helloTimeout); err != nil {
		return err
	}
	message, err := wire.ReadFrom(st, wire.Agent)
	if err != nil {
		return err
	}
	switch m := message.(type) {
	case *wire.BlobRequest:
		st.yield()
		return s.serveBlob(ctx, st, m)
	case *wire.Tunnel:
		if s.conn.relays() {
			return s.tunnel(ctx, st, m)
		}
	}
	return errors.New("protocol: a blob request is expected on this stream")
}

// serveBlob answers one request. A blob that the agent has no business with is
// as good as absent.
func (s *session) serveBlob(ctx context.Context, st *stream, request *wire.BlobRequest) error {
	if err := request.Check(); err != nil {
		return err
	}
	allowed, err := s.mayRead(request.Digest)
	if err != nil {
		return err
	}
	if !allowed {
		s.g.logger.Warn("blob refused: no open attempt of the agent ships it", "agent", s.name, "digest", request.Digest)
		return noBlob(st)
	}
	out := &outgoing{open: s.g.o.OpenBlob, bulk: s.bulk, stream: st, digest: request.Digest, offset: request.Offset}
	return s.g.turns.inTurns(ctx, s.conn.address(), func(over func() bool) (bool, error) { return out.leg(ctx, over) })
}

func noBlob(st *stream) error {
	if err := wire.WriteBlobSize(st, wire.BlobUnknown); err != nil {
		return err
	}
	return st.Close()
}

// An outgoing is a blob on its way to whoever asked for it.
type outgoing struct {
	open   func(ctx context.Context, digest string) (*os.File, error)
	bulk   *bulk
	stream *stream
	digest string
	offset int64
	begun  bool // its size was sent
}

// leg sends what is left, or as much of it as goes until over says that it is others'
// turn. The file is open meanwhile, and not while it waits for a turn.
func (o *outgoing) leg(ctx context.Context, over func() bool) (all bool, err error) {
	file, err := o.open(ctx, o.digest)
	if errors.Is(err, fs.ErrNotExist) && !o.begun {
		return true, noBlob(o.stream)
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	o.offset = min(o.offset, info.Size())
	if _, err := file.Seek(o.offset, io.SeekStart); err != nil {
		return false, err
	}
	if !o.begun {
		if err := wire.WriteBlobSize(o.stream, uint64(info.Size())); err != nil {
			return false, err
		}
		o.begun = true
	}
	n, err := o.bulk.copy(ctx, o.stream, file, info.Size()-o.offset, over)
	o.offset += n
	if err != nil || o.offset < info.Size() {
		return false, err
	}
	return true, o.stream.Close()
}

// mayRead reports whether an open attempt of the agent ships the blob, be it one that
// waits: those are fetched ahead.
func (s *session) mayRead(digest string) (bool, error) {
	type step struct{ task, host uint32 }
	open := map[string][]step{} // by their plans
	s.g.o.View(func(state *engine.State) {
		for _, id := range s.attempts(state) {
			at := state.Attempts[id]
			plan := state.Run(at.Run).PlanID
			open[plan] = append(open[plan], step{at.Task, at.Host})
		}
	})
	var failed error
	for id, steps := range open {
		plan, err := s.g.o.Plan(id)
		if err != nil {
			failed = err
			continue
		}
		for _, st := range steps {
			if int(st.task) < len(plan.Tasks) && ships(plan, &plan.Tasks[st.task], st.host, digest) {
				return true, nil
			}
		}
	}
	return false, failed
}

// ships reports whether a task ships the blob to a host. It is asked of each open attempt
// for each blob, and so it copies nothing.
func ships(plan *planner.Plan, task *planner.Task, host uint32, digest string) bool {
	for i := range task.Jobs {
		j := &task.Jobs[i]
		if !slices.ContainsFunc(j.Spec.Files, func(f job.File) bool { return f.Digest == digest }) {
			continue
		}
		if host == engine.NoHost {
			return true
		}
		if _, member := slices.BinarySearch(plan.HostSets[j.HostSet], host); member {
			return true
		}
	}
	return false
}
