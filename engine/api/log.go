package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// A logQuery selects records.
type logQuery struct {
	since  uint64
	follow bool
	kind   eventlog.Kind // 0 for all
	run    uint64        // 0 for all
	limit  uint64        // 0 for no limit
}

// log streams records of the log. Only folded records are shown: what came of an
// event is known by then.
func (h *Handler) log(w http.ResponseWriter, r *http.Request) error {
	query, err := h.logQuery(r)
	if err != nil {
		return err
	}
	out, err := newLines(w)
	if err != nil {
		return nil // nobody reads it
	}
	if err := h.streamLog(r.Context(), out, query); err != nil && r.Context().Err() == nil {
		return out.fail(err)
	}
	return nil
}

func (h *Handler) logQuery(r *http.Request) (q logQuery, err error) {
	values := r.URL.Query()
	if q.since, err = h.sinceIn(r); err != nil {
		return q, err
	}
	if q.run, err = numberIn(r, "run", 0); err != nil {
		return q, err
	}
	if q.limit, err = numberIn(r, "limit", 0); err != nil {
		return q, err
	}
	if name := values.Get("kind"); name != "" {
		kind, known := eventlog.ParseKind(name)
		if !known {
			return q, badRequest("kind %.64q is not one of the log's", name)
		}
		q.kind = kind
	}
	if text := values.Get("follow"); text != "" {
		if q.follow, err = strconv.ParseBool(text); err != nil {
			return q, badRequest("follow=%.32q: want 1 or 0", text)
		}
	}
	return q, nil
}

// sinceIn reads the index behind which the records are wanted, or the time from
// which on.
func (h *Handler) sinceIn(r *http.Request) (uint64, error) {
	text := r.URL.Query().Get("since")
	if text == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, nil
	}
	from, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, badRequest("since=%.64q: want an index or a time such as 2006-01-02T15:04:05Z", text)
	}
	// The log's times never run backwards.
	folded, _ := h.o.Watch()
	low, high := uint64(1), folded+1
	for low < high {
		mid := low + (high-low)/2
		records, err := h.o.Records(r.Context(), mid, 1)
		if err != nil {
			return 0, err
		}
		if len(records) == 0 || records[0].Time >= from.UnixNano() {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low - 1, nil
}

func (h *Handler) streamLog(ctx context.Context, out *lines, q logQuery) error {
	beat := time.NewTicker(heartbeatPeriod)
	defer beat.Stop()
	for next, sent := q.since+1, uint64(0); ; {
		folded, news := h.o.Watch()
		if next > folded {
			if !q.follow {
				return nil
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-news:
			case <-beat.C:
				if out.heartbeat() != nil {
					return errGone
				}
			}
			continue
		}
		records, err := h.o.Records(ctx, next, int(min(folded+1-next, logRecordsMax)))
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return nil
		}
		views, err := h.logViews(records, q)
		if err != nil {
			return err
		}
		for i := range views {
			if err := out.add(&views[i]); err != nil {
				return err
			}
			if sent++; sent == q.limit {
				_ = out.flush() // a client that is gone gets nothing
				return nil
			}
		}
		if out.flush() != nil {
			return errGone
		}
		next = records[len(records)-1].Index + 1
	}
}

// logViews decodes records and drops those that the query does not want.
func (h *Handler) logViews(records []eventlog.Record, q logQuery) ([]LogEvent, error) {
	events := make([]eventlog.Event, len(records))
	for i := range records {
		if q.kind != 0 && records[i].Kind != q.kind {
			continue
		}
		event, err := eventlog.Decode(records[i].Kind, records[i].Data)
		if err != nil {
			return nil, err
		}
		events[i] = event
	}
	var views []LogEvent
	h.o.ViewVoids(func(s *engine.State, void func(index uint64) string) {
		for i := range records {
			if events[i] == nil {
				continue
			}
			if q.run != 0 && runOf(s, &records[i], events[i]) != q.run {
				continue
			}
			views = append(views, LogView(s, &records[i], events[i], void(records[i].Index)))
		}
	})
	return views, nil
}
