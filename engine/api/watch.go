package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"quorate/engine"
	"quorate/engine/snapshot"
	"quorate/eventlog"
)

// watch streams the events of a run. Those of the newest runs are in memory; for
// others the log is folded again, on the side.
func (h *Handler) watch(w http.ResponseWriter, r *http.Request) error {
	run, err := h.runIn(r)
	if err != nil {
		return err
	}
	since, err := numberIn(r, "since", 0)
	if err != nil {
		return err
	}
	if err := h.writable(); err != nil { // what it tells may be old, and would stay so
		return err
	}
	out, err := newLines(w)
	if err != nil {
		return nil // nobody reads it
	}
	v := viewing{h: h, run: run, since: since, out: out}
	if err := v.follow(r.Context()); err != nil && r.Context().Err() == nil {
		return out.fail(err)
	}
	return nil
}

// A viewing is one client's watch; since is the record of the last event sent.
type viewing struct {
	h     *Handler
	run   uint64
	since uint64
	out   *lines
}

// errGone ends a stream whose client is gone.
var errGone = errors.New("the client is gone")

func (v *viewing) follow(ctx context.Context) error {
	beat := time.NewTicker(heartbeatPeriod)
	defer beat.Stop()
	for {
		events, ended, news, ok := v.h.history.read(v.run, v.since, watchEventsMax)
		switch {
		case !ok:
			if ended, err := v.retell(ctx, beat.C); err != nil || ended {
				return err
			}
		case len(events) > 0:
			if ended, err := v.send(events); err != nil || ended {
				return err
			}
		case ended:
			return nil
		default:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-news:
			case <-beat.C:
				if err := v.h.writable(); err != nil {
					return err
				}
				if err := v.out.heartbeat(); err != nil {
					return errGone
				}
			}
		}
	}
}

// send writes events, all of each record.
func (v *viewing) send(events []RunEvent) (ended bool, err error) {
	for i := range events {
		if err := v.out.add(&events[i]); err != nil {
			return false, err
		}
		ended = ended || events[i].Type == "run-ended"
	}
	if err := v.out.flush(); err != nil {
		return false, errGone
	}
	v.since = events[len(events)-1].Seq
	return ended, nil
}

// retell folds the log, from a snapshot in front of the run or from its beginning, and
// sends the run's events on the way, up to where memory has them.
func (v *viewing) retell(ctx context.Context, beat <-chan time.Time) (ended bool, err error) {
	for waiting := true; waiting; {
		select {
		case v.h.retells <- struct{}{}:
			defer func() { <-v.h.retells }()
			waiting = false
		case <-beat:
			if v.out.heartbeat() != nil {
				return false, errGone
			}
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	state := v.h.before(ctx, v.run)
	narrator := NewNarrator(state)
	for !v.h.history.covers(v.run, max(v.since, state.Index)) {
		// Not ahead of what is folded: who hears that the run has ended and then
		// asks for it must not be told that it runs.
		folded, _ := v.h.o.Watch()
		if folded <= state.Index {
			if err := v.h.o.WaitFolded(ctx, state.Index+1); err != nil {
				return false, err
			}
			continue
		}
		records, err := v.h.o.Records(ctx, state.Index+1, int(min(folded-state.Index, retellRecordMax)))
		if err != nil {
			return false, err
		}
		events, err := tell(state, narrator, records, v.run, v.since)
		if err != nil {
			return false, err
		}
		if len(events) > 0 {
			if ended, err := v.send(events); err != nil || ended {
				return ended, err
			}
		}
		if r := state.Run(v.run); r != nil && r.Outcome != 0 {
			return true, nil
		}
	}
	v.since = max(v.since, state.Index)
	return false, nil
}

// before returns a state from before a run was created, the newest there is.
func (h *Handler) before(ctx context.Context, run uint64) *engine.State {
	var created uint64
	h.o.View(func(s *engine.State) {
		if r := s.Run(run); r != nil {
			created = r.Index
		}
	})
	if created == 0 {
		return engine.NewState()
	}
	file, err := h.o.OpenState(ctx, created-1)
	if err != nil || file == nil {
		return engine.NewState()
	}
	defer file.Close()
	found, err := snapshot.Read(file, func(p snapshot.Place) bool { return p.Index < created })
	if err != nil || found == nil {
		return engine.NewState()
	}
	return found.State
}

// tell folds records and returns what they mean for a run, behind a record.
func tell(state *engine.State, narrator *Narrator, records []eventlog.Record, run, since uint64) (told []RunEvent, err error) {
	for i := range records {
		event, err := eventlog.Decode(records[i].Kind, records[i].Data)
		if err != nil {
			return nil, err
		}
		void, err := state.Apply(records[i], event)
		if err != nil {
			return nil, err
		}
		for _, e := range narrator.Events(state, &records[i], event, void) {
			if e.Run == run && e.Seq > since {
				told = append(told, e)
			}
		}
	}
	return told, nil
}
