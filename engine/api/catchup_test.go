package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
)

// An orchestrator that was just restarted answers when it has read its log. A
// client that asked before used to hear that its run did not exist.
func TestAnswersWaitForTheLog(t *testing.T) {
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	log := eventlog.NewMemory()
	entry, err := eventlog.NewEntry(1, &eventlog.ClusterCreated{ClusterID: ca.ClusterID()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), []eventlog.Entry{entry}); err != nil {
		t.Fatal(err)
	}
	blobs, err := eventlog.OpenBlobs(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := orchestrator.New(orchestrator.Config{Log: log, Blobs: blobs, CA: ca, Replica: 1, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandler(o)
	defer h.Close()
	answered := make(chan int, 1)
	go func() {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/v1/runs/1", nil)
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), localKey{}, "local:root")))
		answered <- w.Code
	}()
	select {
	case code := <-answered:
		t.Fatalf("answered with %d before the log was read", code)
	case <-time.After(50 * time.Millisecond):
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- o.Run(ctx) }()
	if code := <-answered; code != http.StatusNotFound {
		t.Errorf("answered with %d", code)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
