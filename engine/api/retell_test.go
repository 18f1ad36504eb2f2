package api_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
)

// A heldLog lets nobody know of records from the first of a kind on, though they
// are committed and can be read, until it is released.
type heldLog struct {
	engine.Log
	kind    eventlog.Kind
	release chan struct{}

	mu   sync.Mutex
	held bool
}

func (l *heldLog) Append(ctx context.Context, entries []eventlog.Entry) (uint64, error) {
	for _, e := range entries {
		if e.Kind == l.kind {
			l.mu.Lock()
			l.held = true
			l.mu.Unlock()
		}
	}
	return l.Log.Append(ctx, entries)
}

func (l *heldLog) Wait(ctx context.Context, index uint64) error {
	if err := l.Log.Wait(ctx, index); err != nil {
		return err
	}
	l.mu.Lock()
	held := l.held
	l.mu.Unlock()
	if !held {
		return nil
	}
	select {
	case <-l.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A watch that folds the log again must not run ahead of the orchestrator: its
// client would hear of the end of a run that, when asked for, still runs.
func TestRetellWaitsForTheFold(t *testing.T) {
	memory := eventlog.NewMemory()
	t.Cleanup(func() { memory.Close() })
	held := &heldLog{Log: memory, kind: eventlog.KindRunEnded, release: make(chan struct{})}
	var h *api.Handler
	rig := gatewaytest.Start(t, gatewaytest.Options{Log: held, BeforeRun: func(o *orchestrator.Orchestrator) { h = api.NewHandler(o) }})
	path := filepath.Join(t.TempDir(), "quorate.sock")
	ln := gatewaytest.Must(api.ListenUnix(path))
	run(t, func(ctx context.Context) error { return api.ServeListener(ctx, h, ln) })
	c := gatewaytest.Must(api.Dial("unix://" + path))
	t.Cleanup(func() { c.Close(); h.Close() })

	rig.Enrol(t, "n1").Work(t)
	submit(t, c, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}), "one")
	rig.Until(t, "the step's end", func(s *engine.State) bool { return s.Run(1).Counts.Succeeded == 1 })
	folded, _ := rig.O.Watch()
	if err := memory.Wait(t.Context(), folded+1); err != nil { // the run's end is committed
		t.Fatal(err)
	}
	api.Forget(h, 1)
	ended := make(chan string, 1)
	go func() {
		for e, err := range c.Watch(t.Context(), "1", 0) {
			if err == nil && e.Type == "run-ended" {
				ended <- gatewaytest.Must(c.Run(t.Context(), "1")).Status
			}
		}
		close(ended)
	}()
	select {
	case status := <-ended:
		t.Errorf("told of the end of a run that is %s", status)
	case <-time.After(100 * time.Millisecond):
	}
	close(held.release)
	if status, told := <-ended; told && status != "succeeded" {
		t.Errorf("run is %q after its end was told", status)
	}
}

// Who follows a run that was created while this orchestrator followed the log must not
// cost a fold of all that was before.
func TestNewRunIsToldFromMemory(t *testing.T) {
	var h *api.Handler
	rig := gatewaytest.Start(t, gatewaytest.Options{BeforeRun: func(o *orchestrator.Orchestrator) { h = api.NewHandler(o) }})
	path := filepath.Join(t.TempDir(), "quorate.sock")
	ln := gatewaytest.Must(api.ListenUnix(path))
	run(t, func(ctx context.Context) error { return api.ServeListener(ctx, h, ln) })
	c := gatewaytest.Must(api.Dial("unix://" + path))
	t.Cleanup(func() { c.Close(); h.Close() })

	rig.Enrol(t, "n1")
	submit(t, c, rig.Plan(t, []string{"n1"}, gatewaytest.Task{ID: "svc-a", Jobs: 1}), "one")
	rig.Until(t, "the run", func(s *engine.State) bool { return s.Run(1) != nil })
	if !api.Covers(h, 1, 0) {
		t.Error("the run's events are not all in memory")
	}
}
