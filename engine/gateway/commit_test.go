package gateway

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"quorate/eventlog"
)

// TestEndsOfJobsGather looks at when the committer takes what is queued, behind a
// commit that has just been.
func TestEndsOfJobsGather(t *testing.T) {
	patient := func(s *session) batch { return batch{session: s, events: []eventlog.Event{&eventlog.JobEnded{}}} }
	urgent := func(s *session) batch {
		return batch{session: s, events: []eventlog.Event{&eventlog.AttemptEnded{}}, urgent: true}
	}
	large := func(s *session) batch {
		b := patient(s)
		b.bytes = lingerBytesMax
		return b
	}
	const soon = 10 * time.Millisecond
	for name, c := range map[string]struct {
		queued []func(*session) batch
		later  func(t *testing.T, c *committer, s *session)
		pause  time.Duration // since the last commit
		wait   time.Duration
	}{
		"ends of jobs wait":     {queued: []func(*session) batch{patient, patient}, wait: commitLinger},
		"after a pause":         {queued: []func(*session) batch{patient}, pause: commitLinger},
		"nothing to wait for":   {},
		"an end of an attempt":  {queued: []func(*session) batch{patient, urgent}},
		"much":                  {queued: []func(*session) batch{large}},
		"one comes later":       {queued: []func(*session) batch{patient}, later: func(t *testing.T, c *committer, s *session) { add(t, c, urgent(s)) }, wait: soon},
		"company comes later":   {queued: []func(*session) batch{patient}, later: func(t *testing.T, c *committer, s *session) { add(t, c, patient(s)) }, wait: commitLinger},
		"the session is to end": {queued: []func(*session) batch{patient}, later: func(t *testing.T, c *committer, s *session) { go c.drained(s) }, wait: soon},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				com := newCommitter(nil, slog.New(slog.DiscardHandler))
				s := new(session)
				last := time.Now().Truncate(commitLinger)
				time.Sleep(time.Until(last.Add(c.pause)))
				began := time.Now()
				com.hasten() // of a batch that was taken since
				com.hurry = false
				for _, b := range c.queued {
					add(t, com, b(s))
				}
				if c.later != nil {
					time.AfterFunc(soon, func() { c.later(t, com, s) })
				}
				if !com.linger(t.Context(), last) {
					t.Error("it does not go on")
				}
				if took := time.Since(began); took != c.wait {
					t.Errorf("it waited for %v, want %v", took, c.wait)
				}
				com.finish()
			})
		})
	}
}

// A clock that is set back must not hold reports up, nor must the end.
func TestLingerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCommitter(nil, slog.New(slog.DiscardHandler))
		add(t, c, batch{session: new(session), events: []eventlog.Event{&eventlog.JobEnded{}}})
		began := time.Now()
		if !c.linger(t.Context(), began.Add(time.Hour)) || time.Since(began) > commitLinger {
			t.Errorf("it waited for %v", time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if c.linger(ctx, time.Now()) {
			t.Error("it goes on")
		}
	})
}

func add(t *testing.T, c *committer, b batch) {
	t.Helper()
	if err := c.add(t.Context(), b); err != nil {
		t.Error(err)
	}
}
