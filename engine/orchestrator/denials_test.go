package orchestrator_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/denial"
	"quorate/eventlog"
)

var refused = denial.Denial{Entry: "agents", Caller: "agent:7", Reason: denial.Revoked, Address: "192.0.2.1"}

// A refusal is on record at once where there is a leader, and kept where there is none.
func TestDenialsOnRecord(t *testing.T) {
	log := newElectable(t)
	o := start(t, log, nil)
	seen := make(chan *eventlog.AccessDenied, 16)
	defer o.Observe(func(_ *engine.State, _ *eventlog.Record, event eventlog.Event, void string) {
		if e, ok := event.(*eventlog.AccessDenied); ok && void == "" {
			seen <- e
		}
	}, nil)()
	for range 3 {
		o.Denied(refused)
	}
	for range 1000 {
		runtime.Gosched()
	}
	if n := log.tries(); n != 0 {
		t.Errorf("%d records were proposed without a leader", n)
	}
	log.elect(true)
	select {
	case e := <-seen:
		if e.Count != 3 || e.Entry != refused.Entry || e.Caller != refused.Caller || e.Reason != "revoked" || fmt.Sprint(e.Addresses) != "[192.0.2.1]" {
			t.Errorf("on record is %+v", e)
		}
	case <-time.After(patience):
		t.Fatal("nothing is on record")
	}
}

// What the log does not take is put on record when it does.
func TestDenialsAreKept(t *testing.T) {
	log := newElectable(t)
	log.elect(true)
	o := start(t, log, nil)
	until(t, o, "the epoch", func(s *engine.State) bool { return s.Epoch != 0 })
	seen := make(chan *eventlog.AccessDenied, 16)
	defer o.Observe(func(_ *engine.State, _ *eventlog.Record, event eventlog.Event, _ string) {
		if e, ok := event.(*eventlog.AccessDenied); ok {
			seen <- e
		}
	}, nil)()
	log.fail(fmt.Errorf("full: %w", eventlog.ErrRefused))
	o.Denied(refused)
	for deadline, before := time.Now().Add(patience), log.tries(); log.tries() == before; {
		if time.Now().After(deadline) {
			t.Fatal("nobody tried")
		}
		runtime.Gosched()
	}
	o.Denied(refused)
	log.fail(nil)
	count := uint64(0)
	for count < 2 {
		select {
		case e := <-seen:
			count += e.Count
		case <-time.After(2 * denial.EveryMin):
			t.Fatalf("%d of 2 are on record", count)
		}
	}
}
