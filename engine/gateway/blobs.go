package gateway

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"

	"quorate/engine"
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
		return s.noBlob(st)
	}
	select { // reading from the disk is for so many at a time
	case s.g.blobs <- struct{}{}:
		defer func() { <-s.g.blobs }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.copyBlob(ctx, st, request)
}

func (s *session) noBlob(st *stream) error {
	if err := wire.WriteBlobSize(st, wire.BlobUnknown); err != nil {
		return err
	}
	return st.Close()
}

func (s *session) copyBlob(ctx context.Context, st *stream, request *wire.BlobRequest) error {
	file, err := s.g.o.OpenBlob(ctx, request.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		return s.noBlob(st)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	offset := min(request.Offset, info.Size())
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	if err := wire.WriteBlobSize(st, uint64(info.Size())); err != nil {
		return err
	}
	if err := s.bulk.copy(ctx, st, file, info.Size()-offset); err != nil {
		return err
	}
	return st.Close()
}

// mayRead reports whether an open attempt of the agent ships the blob.
func (s *session) mayRead(digest string) (bool, error) {
	type step struct {
		plan       string
		task, host uint32
	}
	var steps []step
	s.g.o.View(func(state *engine.State) {
		for _, id := range s.attempts(state) {
			at := state.Attempts[id]
			steps = append(steps, step{state.Run(at.Run).PlanID, at.Task, at.Host})
		}
	})
	var failed error
	for _, st := range steps {
		plan, err := s.g.o.Plan(st.plan)
		if err != nil {
			failed = err
			continue
		}
		if int(st.task) < len(plan.Tasks) && ships(plan, &plan.Tasks[st.task], st.host, digest) {
			return true, nil
		}
	}
	return false, failed
}

func ships(plan *planner.Plan, task *planner.Task, host uint32, digest string) bool {
	for _, j := range jobsFor(plan, task, host, 0) {
		for i := range j.Files {
			if j.Files[i].Digest == digest {
				return true
			}
		}
	}
	return false
}
