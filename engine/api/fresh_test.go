package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
)

// A lonelyLog is one whose peers are gone: it can be read, and knows of no majority.
type lonelyLog struct{ *eventlog.Memory }

// Barrier fails in the one way that nobody waits for to get better.
func (lonelyLog) Barrier(context.Context) error { return eventlog.ErrClosed }

// Without a majority reads say that they may be out of date, what is not found may
// yet exist, and no command reaches the log.
func TestWithoutMajority(t *testing.T) {
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := eventlog.OpenBlobs(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	log := lonelyLog{eventlog.NewMemory()}
	o, err := orchestrator.New(orchestrator.Config{Log: log, Blobs: blobs, CA: ca, Replica: 1, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandler(o)
	defer h.Close()
	for _, tc := range []struct {
		method, path, body string
		status             int
		stale              bool
		says               string
	}{
		{"GET", "/livez", "", http.StatusOK, false, "ok"},
		{"GET", "/readyz", "", http.StatusServiceUnavailable, false, ""},
		{"GET", "/v1/status", "", http.StatusOK, false, `"replica":1`},
		{"GET", "/v1/cluster", "", http.StatusOK, true, `"stale":true`},
		{"GET", "/v1/runs", "", http.StatusOK, true, `"runs":[]`},
		{"GET", "/v1/agents", "", http.StatusOK, true, `"agents":[]`},
		{"GET", "/v1/log", "", http.StatusOK, true, ""},
		{"GET", "/v1/runs/7", "", http.StatusServiceUnavailable, true, "no run 7, as far as this orchestrator knows"},
		{"GET", "/v1/agents/n1", "", http.StatusServiceUnavailable, true, "as far as this orchestrator knows"},
		{"POST", "/v1/tokens", `{"role":"agent","ttl_seconds":60}`, http.StatusServiceUnavailable, false, "nothing was recorded"},
		{"POST", "/v1/runs", `{"plan_id":"p","request_id":"r"}`, http.StatusServiceUnavailable, false, "nothing was recorded"},
		{"POST", "/v1/cluster/remove", `{"replica":1,"request_id":"r"}`, http.StatusServiceUnavailable, false, "nothing was recorded"},
	} {
		r := httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), localKey{}, "local:root")))
		if w.Code != tc.status || (w.Header().Get("Quorate-Stale") == "true") != tc.stale || !strings.Contains(w.Body.String(), tc.says) {
			t.Errorf("%s %s: %d, stale %q: %s", tc.method, tc.path, w.Code, w.Header().Get("Quorate-Stale"), w.Body)
		}
	}
	if head, _ := log.Head(); head != 0 {
		t.Errorf("%d records were written", head)
	}
}

// A fullCluster is one of which this orchestrator's disk is full.
type fullCluster struct{ orchestrator.Cluster }

func (fullCluster) Alarms() []orchestrator.Alarm {
	return []orchestrator.Alarm{{Code: "low-space", Text: "little"}, {Code: "read-only", Text: "free 64 MiB"}}
}

func (fullCluster) Leader() (replica, term uint64, known bool) { return 2, 1, true }

// An orchestrator whose disk is full says that, and leaves commands and streams to
// others: the log is reachable all the while.
func TestFullDiskSendsElsewhere(t *testing.T) {
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := eventlog.OpenBlobs(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := orchestrator.New(orchestrator.Config{Log: eventlog.NewMemory(), Blobs: blobs, CA: ca, Replica: 1, Version: "test", Cluster: fullCluster{}})
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandler(o)
	defer h.Close()
	r := httptest.NewRequest("POST", "/v1/tokens", strings.NewReader(`{"role":"agent","ttl_seconds":60}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), localKey{}, "local:root")))
	if says := "the disk of this orchestrator is full: free 64 MiB"; w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), says) {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	scraped := httptest.NewRecorder()
	r = httptest.NewRequest("GET", "/metrics", nil)
	h.ServeHTTP(scraped, r.WithContext(context.WithValue(r.Context(), localKey{}, "local:root")))
	for _, line := range []string{`quorate_alarm{code="low-space"} 1`, `quorate_alarm{code="read-only"} 1`, `quorate_alarm{code="slow-disk"} 0`, `quorate_alarm{code="lost-records"} 0`} {
		if !strings.Contains(scraped.Body.String(), line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
	if err := h.writable(); !elsewhere(err) {
		t.Errorf("a client with others stays here after %v", err)
	}
}
