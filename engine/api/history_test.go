package api

import "testing"

// What is dropped from memory is dropped by whole records, and a reader that
// wants more than is left is told so.
func TestHistoryForgets(t *testing.T) {
	h := newHistory(6)
	c := &chronicle{since: 1}
	for _, seq := range []uint64{2, 3, 3, 3, 4, 5, 6} {
		c.events = append(c.events, RunEvent{Seq: seq, Run: 1})
	}
	h.runs[1], h.total = c, len(c.events)
	if events, _, _, ok := h.read(1, 1, 2); !ok || len(events) != 4 {
		t.Errorf("%d events, want those of both records whole", len(events))
	}
	for h.total > h.max && h.forget() {
	}
	if h.total != len(c.events) || c.since != 3 || c.events[0].Seq != 4 {
		t.Errorf("%d events since %d, the first of record %d", h.total, c.since, c.events[0].Seq)
	}
	if _, _, _, ok := h.read(1, 2, 10); ok {
		t.Error("events that are gone are served")
	}
	if events, _, _, ok := h.read(1, 3, 10); !ok || len(events) != 3 {
		t.Errorf("%d events behind record 3, %t", len(events), ok)
	}
	if events, ended, news, ok := h.read(1, 6, 10); !ok || len(events) != 0 || ended || news == nil {
		t.Error("a reader at the end does not wait")
	}
}
