package nodeagent

import (
	"bytes"
	"crypto/elliptic"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"quorate/internal/pki"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

// TestHeard: an attempt that waits for one of another agent starts when that agent's own
// word of it has come, and for nothing else that a relay may pass on.
func TestHeard(t *testing.T) {
	ran := make(chan uint64, 8)
	a, j, accept := chained(t, func(j *journal.Journal, env *verb.Env) verb.Result {
		if !j.Permitted(env.Attempt) {
			t.Errorf("attempt %d starts because of what is not on disk", env.Attempt)
		}
		ran <- env.Attempt
		return verb.Result{Outcome: verb.Succeeded}
	})
	a.id = speaker(t, "c", curveKey(elliptic.P256()))
	n := &neighbours{agent: a, hotlines: map[*hotline]struct{}{}}
	other := speaker(t, "c", curveKey(elliptic.P256()))
	good, of := said(t, other)
	accept(301, wire.Predecessor{Attempt: good.Attempt, Elsewhere: of})
	accept(302, wire.Predecessor{Attempt: 301})
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	forged, older := good, good
	forged.Outcome = journal.OutcomeSkipped
	older.Attempt--
	own, err := a.id.notice(journal.Ending{Attempt: good.Attempt, Step: journal.StepName(of.Run, of.Task, of.Host), Outcome: good.Outcome})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.heard([]wire.Notice{forged, older, own, {}}); err != nil {
		t.Fatal(err)
	}
	j.View(func(s *journal.State) {
		if !s.Waits(301) {
			t.Error("a notice that does not count has let an attempt start")
		}
	})
	for range 2 { // the second is without effect
		if _, err := n.heard([]wire.Notice{forged, good, good}); err != nil {
			t.Fatal(err)
		}
	}
	for want := uint64(301); want <= 302; want++ {
		select {
		case got := <-ran:
			if got != want {
				t.Errorf("attempt %d runs, want %d", got, want)
			}
		case <-time.After(waitMax):
			t.Fatalf("attempt %d does not run", want)
		}
	}
	a.jobs.Wait()
	if len(ran) > 0 {
		t.Errorf("attempt %d ran again", <-ran)
	}
}

// TestHeardBehindARestart: what the site tells an agent whose host has restarted is kept,
// and nothing starts before a connection has told what the cluster knows, or the agent
// goes on alone.
func TestHeardBehindARestart(t *testing.T) {
	ran := make(chan uint64, 8)
	a, j, accept := chained(t, func(_ *journal.Journal, env *verb.Env) verb.Result {
		ran <- env.Attempt
		return verb.Result{Outcome: verb.Succeeded}
	})
	a.id = speaker(t, "c", curveKey(elliptic.P256()))
	n := &neighbours{agent: a, hotlines: map[*hotline]struct{}{}}
	good, of := said(t, speaker(t, "c", edKey()))
	accept(301, wire.Predecessor{Attempt: good.Attempt, Elsewhere: of})
	err := j.Append(func(s *journal.State, add func(journal.Record)) error {
		for _, r := range s.Boot("another boot").Records {
			add(r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.heard([]wire.Notice{good}); err != nil {
		t.Fatal(err)
	}
	a.jobs.Wait()
	if len(ran) > 0 {
		t.Error("an attempt started before it was known whether the disk is an old one")
	}
	a.mu.Lock()
	a.alone = true
	a.mu.Unlock()
	a.resume()
	a.jobs.Wait()
	if len(ran) != 1 {
		t.Errorf("%d attempts ran when the agent went on alone, want 1", len(ran))
	}
}

// watches reads what was written to a relay.
func watches(t *testing.T, b *bytes.Buffer) (all []*wire.Watch) {
	t.Helper()
	for {
		m, err := wire.ReadFrom(b, wire.Agent)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m.(*wire.Watch))
	}
}

// TestWatch: a relay is told of what is waited for once, and afresh when most of what it
// was told is over.
func TestWatch(t *testing.T) {
	a, j, accept := chained(t, nil)
	h := newHotline(&neighbours{agent: a}, nil)
	var written bytes.Buffer
	tell := func(afresh bool) []*wire.Watch {
		t.Helper()
		w := wire.NewWriter(&written)
		if err := h.watch(w, afresh); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		return watches(t, &written)
	}
	if got := tell(true); len(got) != 1 || !got[0].Afresh || len(got[0].Of) > 0 {
		t.Errorf("at first %+v", got)
	}
	key := pki.KeyDigest([]byte("key"))
	const many = watchedSpare + 10
	for i := range uint64(many) {
		accept(1000+i, wire.Predecessor{Attempt: 1 + i, Elsewhere: wire.Elsewhere{Key: key, Run: 1, Task: "t", Host: "h"}})
	}
	if got := tell(false); len(got) != 1 || got[0].Afresh || len(got[0].Of) != many || got[0].Of[7] != (wire.Watched{Key: key, Attempt: 8}) {
		t.Errorf("then %d messages", len(got))
	}
	if got := tell(false); len(got) > 0 {
		t.Errorf("the same again: %+v", got)
	}
	err := j.Append(func(s *journal.State, add func(journal.Record)) error {
		for attempt := uint64(1); attempt < many; attempt++ {
			if r, ok := s.EndElsewhere(attempt, journal.OutcomeSucceeded, nil); ok {
				add(r)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := tell(false); len(got) != 1 || !got[0].Afresh || len(got[0].Of) != 1 || got[0].Of[0].Attempt != many {
		t.Errorf("when all but one is over %+v", got)
	}
}

// TestWatchAgain: what comes to wait for an attempt whose notice was taken already, for
// another one that waited, asks for that notice again; a notice that does not count is
// not asked for again, which would have it come again and again.
func TestWatchAgain(t *testing.T) {
	a, _, accept := chained(t, func(*journal.Journal, *verb.Env) verb.Result { return verb.Result{Outcome: verb.Succeeded} })
	a.id = speaker(t, "c", curveKey(elliptic.P256()))
	n := &neighbours{agent: a, hotlines: map[*hotline]struct{}{}}
	good, of := said(t, speaker(t, "c", edKey()))
	forged := good
	forged.Outcome = journal.OutcomeSkipped
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	h := newHotline(n, here)
	go func() { _ = h.read() }()
	tell := func() (of []wire.Watched) {
		t.Helper()
		var written bytes.Buffer
		w := wire.NewWriter(&written)
		if err := h.watch(w, false); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, m := range watches(t, &written) {
			of = append(of, m.Of...)
		}
		return of
	}
	pass := func(notice wire.Notice) {
		t.Helper()
		if err := wire.WriteMessage(there, &wire.Noticed{Notices: []wire.Notice{notice}}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-h.wake:
		case <-time.After(waitMax):
			t.Fatal("the notice is not taken")
		}
	}
	want := []wire.Watched{{Key: of.Key, Attempt: good.Attempt}}
	accept(301, wire.Predecessor{Attempt: good.Attempt, Elsewhere: of})
	if got := tell(); !slices.Equal(got, want) {
		t.Errorf("asked for %+v, want %+v", got, want)
	}
	pass(forged)
	if got := tell(); len(got) > 0 {
		t.Errorf("asked for what does not count again: %+v", got)
	}
	for next := uint64(302); next < 304; next++ {
		pass(good)
		accept(next, wire.Predecessor{Attempt: good.Attempt, Elsewhere: of})
		if got := tell(); !slices.Equal(got, want) {
			t.Errorf("attempt %d: asked for %+v, want %+v", next, got, want)
		}
	}
}

// TestAnnouncedFirst: however much the cluster has not acknowledged, a relay that comes
// back is told of the newest, and not taken for too slow because of the others.
func TestAnnouncedFirst(t *testing.T) {
	a, _, _ := chained(t, nil)
	a.id = speaker(t, "c", edKey())
	n := &neighbours{agent: a}
	h := newHotline(n, nil)
	var all []journal.Ending
	for attempt := range uint64(2 * announcementsMax) {
		all = append(all, journal.Ending{Attempt: attempt + 1, Step: journal.StepName(1, "t", "h"), Outcome: journal.OutcomeSucceeded})
	}
	h.announce(n.sign(newest(all)))
	h.announce(n.sign(all[:100]))
	if err := h.gather(wire.NewWriter(io.Discard)); err != nil {
		t.Error(err)
	}
	if got := newest(all); got[len(got)-1].Attempt != all[len(all)-1].Attempt {
		t.Errorf("the newest is %+v", got[len(got)-1])
	}
}

// TestSilentRelay: a relay that something is expected of is asked whether it is there,
// and given up when it says nothing.
func TestSilentRelay(t *testing.T) {
	a, _, accept := chained(t, nil)
	h := newHotline(&neighbours{agent: a}, nil)
	var written bytes.Buffer
	w := wire.NewWriter(&written)
	now := time.Now()
	if err := h.pulse(w, now); err != nil || w.Buffered() > 0 {
		t.Errorf("%v: %d bytes to a relay that nothing is expected of", err, w.Buffered())
	}
	accept(10, wire.Predecessor{Attempt: 1, Elsewhere: wire.Elsewhere{Key: "k"}})
	if err := h.pulse(w, now); err != nil || w.Buffered() == 0 {
		t.Errorf("%v: %d bytes to a relay that something is expected of", err, w.Buffered())
	}
	if err := h.pulse(w, now.Add(neighbourSilence/2)); err != nil {
		t.Error(err)
	}
	if err := h.pulse(w, now.Add(neighbourSilence)); err != errSilentRelay {
		t.Errorf("error %v behind silence", err)
	}
}
