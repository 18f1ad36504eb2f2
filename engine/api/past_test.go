package api_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/engine/snapshot"
	"quorate/eventlog"
	"quorate/internal/bench/biglog"
	"quorate/internal/pki"
)

// onPast serves the API of an orchestrator on a log of some thousand records.
func onPast(t *testing.T, dir string) *api.Client {
	t.Helper()
	ca := gatewaytest.Must(pki.LoadOrCreate(filepath.Join(dir, "pki")))
	log := gatewaytest.Must(eventlog.OpenEmbedded(dir))
	t.Cleanup(func() { log.Close() })
	o := gatewaytest.Must(orchestrator.New(orchestrator.Config{
		Log: log, Blobs: gatewaytest.Must(eventlog.OpenBlobs(filepath.Join(dir, "blobs"))), CA: ca, Replica: 1, Version: "test",
		States: filepath.Join(dir, snapshot.DirName), StatesEvery: 1000,
	}))
	h := api.NewHandler(o)
	run(t, o.Run)
	path := filepath.Join(t.TempDir(), "quorate.sock")
	ln := gatewaytest.Must(api.ListenUnix(path))
	run(t, func(ctx context.Context) error { return api.ServeListener(ctx, h, ln) })
	c := gatewaytest.Must(api.Dial("unix://" + path))
	t.Cleanup(func() { c.Close(); h.Close() })
	return c
}

// The past can be had from a running orchestrator: a snapshot from before a point, the
// records behind it, and what was told of a run that is older than what it has folded.
func TestPast(t *testing.T) {
	dir := t.TempDir()
	ca := gatewaytest.Must(pki.LoadOrCreate(filepath.Join(dir, "pki")))
	last := gatewaytest.Must(biglog.Write(dir, ca.ClusterID(), biglog.Shape{Hosts: 4, Tasks: 5, Jobs: 3}, 3500))
	var told [2][]api.RunEvent
	for round := range told {
		t.Run([]string{"folded", "from a snapshot"}[round], func(t *testing.T) {
			c := onPast(t, dir)
			told[round] = collect(t, c, "20", 0)
			waitFor(t, func() bool {
				s, err := c.Snapshot(t.Context(), 3456)
				return err == nil && s != nil && s.State.Index == 3000
			})
			if s, err := c.Snapshot(t.Context(), 999); s != nil || err != nil {
				t.Errorf("before the first there is %v, %v", s, err)
			}
			s := gatewaytest.Must(c.Snapshot(t.Context(), 2100)).State
			for s.Index < last.Index {
				records, err := c.Records(t.Context(), s.Index+1, int(last.Index-s.Index))
				if err != nil || len(records) == 0 {
					t.Fatal(s.Index, err)
				}
				for _, rec := range records {
					if _, err := s.Fold(rec); err != nil {
						t.Fatal(err)
					}
				}
			}
			if s.Hash() != last.Hash() {
				t.Error("what was sent folds to another state")
			}
			if records, err := c.Records(t.Context(), 1<<40, 10); len(records) != 0 || err != nil {
				t.Errorf("behind the end there are %d records, %v", len(records), err)
			}
			for nanos, want := range map[int64]uint64{last.Time: last.Index, last.Time - 1: last.Index - 1, 0: 0} {
				if got, err := c.IndexAt(t.Context(), nanos); got != want || err != nil {
					t.Errorf("at %s: %d, %v, want %d", time.Unix(0, nanos), got, err, want)
				}
			}
		})
	}
	if brief(told[0]) != brief(told[1]) || len(told[0]) < 50 {
		t.Errorf("of a run behind a snapshot another story is told:\n%s\nwant:\n%s", brief(told[1]), brief(told[0]))
	}
}

// waitFor polls until something holds.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited for a minute")
		}
	}
}
