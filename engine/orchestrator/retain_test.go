package orchestrator_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/planner"
)

// retaining runs an orchestrator on an embedded log with bounds until stop.
func retaining(t *testing.T, dir string, ca *pki.CA, r orchestrator.Retention) (o *orchestrator.Orchestrator, log *eventlog.Embedded, stop func()) {
	t.Helper()
	log, err := eventlog.OpenEmbedded(dir)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := eventlog.OpenBlobs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o, err = orchestrator.New(orchestrator.Config{Log: log, Blobs: blobs, CA: ca, Replica: 1, Version: "test", Retention: r})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, log.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return o, log, stop
}

// put appends events.
func put(t *testing.T, log *eventlog.Embedded, events ...eventlog.Event) {
	t.Helper()
	var entries []eventlog.Entry
	for _, event := range events {
		e, err := eventlog.NewEntry(time.Now().UnixNano(), event)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	if _, err := log.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

// grow adds records that mean nothing.
func grow(t *testing.T, log *eventlog.Embedded, n int) {
	t.Helper()
	for ; n > 0; n -= 1000 {
		put(t, log, slices.Repeat([]eventlog.Event{&eventlog.TaskRecorded{Run: 99, Messages: []string{"what was said"}}}, min(n, 1000))...)
	}
}

// sizedUntil waits until the log's files are as they should be.
func sizedUntil(t *testing.T, o *orchestrator.Orchestrator, what string, holds func(eventlog.Sizes) bool) eventlog.Sizes {
	t.Helper()
	deadline := time.After(patience)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		z, _, err := o.Sizes()
		if err != nil {
			t.Fatal(err)
		}
		if holds(z) {
			return z
		}
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("waited for %s: %+v", what, z)
		}
	}
}

// Old records leave the live file once they are signed, whatever bound asks for it, and
// the next start reads them as before.
func TestRetention(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]orchestrator.Retention{
		"records": {Records: 1000},
		"bytes":   {Bytes: 256 << 10},
		"age":     {Age: time.Nanosecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, ca := t.TempDir(), newCA(t)
			o, log, stop := retaining(t, dir, ca, r)
			until(t, o, "a leader", func(s *engine.State) bool { return s.Epoch != 0 })
			grow(t, log, 10_000)
			if _, err := o.SignCheckpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			z := sizedUntil(t, o, "segments", func(z eventlog.Sizes) bool { return z.Sealed > 4000 })
			if c := o.Checkpoint(); z.Sealed > c.Size {
				t.Errorf("sealed up to %d, and signed up to %d", z.Sealed, c.Size)
			}
			stop()
			o, log, _ = retaining(t, dir, ca, orchestrator.Retention{})
			head, _ := log.Head()
			until(t, o, "all records", func(s *engine.State) bool { return s.Index >= head })
			grow(t, log, 20_000)
			if _, err := o.SignCheckpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			if again, _, err := o.Sizes(); err != nil || again.Sealed != z.Sealed {
				t.Errorf("without bounds it went on to %+v, %v", again, err)
			}
		})
	}
}

// pendingRun puts a run on record that waits for an agent which never comes.
func pendingRun(t *testing.T, o *orchestrator.Orchestrator, log *eventlog.Embedded) (run uint64) {
	t.Helper()
	put(t, log,
		&eventlog.TokenCreated{TokenHash: "token", Name: "h0", Role: "agent"},
		&eventlog.AgentEnrolled{TokenHash: "token", Name: "h0", KeyDigest: "key", JournalID: "journal"},
		&eventlog.PlanRecorded{PlanID: "plan", Hosts: []string{"h0"}, HostSets: [][]uint32{{0}}, Tasks: []eventlog.PlanTask{{ID: "t", Driver: string(planner.DriverDirectord), Jobs: 1}}},
		&eventlog.RunCreated{PlanID: "plan", RequestID: "pending"})
	until(t, o, "the run", func(s *engine.State) bool {
		run = uint64(len(s.Runs))
		return run > 0
	})
	return run
}

// A run under way keeps what is behind its beginning, and is named.
func TestRunHoldsRetention(t *testing.T) {
	t.Parallel()
	log, ca := t.TempDir(), newCA(t)
	o, file, _ := retaining(t, log, ca, orchestrator.Retention{Records: 100})
	until(t, o, "a leader", func(s *engine.State) bool { return s.Epoch != 0 })
	grow(t, file, 5000)
	run := pendingRun(t, o, file)
	grow(t, file, 2*eventlog.SegmentRecords)
	if _, err := o.SignCheckpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	var began uint64
	o.View(func(s *engine.State) { began = s.Runs[run-1].Index })
	sizedUntil(t, o, "segments", func(z eventlog.Sizes) bool { return z.Sealed > 4000 })
	if z, held, err := o.Sizes(); err != nil || z.Sealed >= began || held != run {
		t.Errorf("%+v, held by run %d, which began at %d: %v", z, held, began, err)
	}
	var attempt uint64
	until(t, o, "an attempt", func(s *engine.State) bool {
		for attempt = range s.Attempts {
		}
		return attempt > 0
	})
	put(t, file, &eventlog.AttemptEnded{Attempt: attempt, Outcome: eventlog.Succeeded})
	sizedUntil(t, o, "the rest", func(z eventlog.Sizes) bool { return z.Sealed > began })
}
