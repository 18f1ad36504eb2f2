package nodeagent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"quorate/internal/blobcache"
	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// waiting dispatches an attempt that waits for a gate, and one behind it that fetches
// content and leaves an effect.
func (o *orchestrator) waiting(content []byte) (digest string) {
	o.t.Helper()
	digest = digestOf(sha256.Sum256(content))
	o.update(func() { o.blobs[digest] = content })
	gate := o.dispatch(10, 0, "until test -e gate; do sleep 0.02; done; echo gate >>log")
	fetch := o.dispatch(11, 0)
	fetch.After = []wire.Predecessor{{Attempt: 10}}
	step := &wire.Step{Run: 1, Task: "fetch", Host: "host", Jobs: []job.Job{
		{Verb: "FETCH", Text: digest, Files: []job.File{{Name: "f", Digest: digest, Size: int64(len(content))}}},
		{Index: 1, Verb: "RUN", Text: "echo fetched >>log"},
	}}
	var err error
	if fetch.Spec, err = wire.EncodeStep(step); err != nil {
		o.t.Fatal(err)
	}
	o.send(gate, fetch)
	return digest
}

// away drops the agent's connection and lets it have no other one, or lets it.
func (o *orchestrator) away(away bool) {
	o.update(func() {
		if o.crowd, o.sentAway = 0, nil; away {
			o.crowd = 1 << 30
		}
	})
	if away {
		o.drop()
	}
}

func openGate(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "root", "gate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFilesComeAhead: what a waiting attempt ships is fetched before its turn, over a
// connection that breaks and by an agent that is restarted, and from where it was; then
// no connection is needed.
func TestFilesComeAhead(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	dir := t.TempDir()
	a := startAgent(t, o, dir)
	o.connected()
	o.update(func() { o.cutBlobs, o.hangBlobs = 1, 1 })
	content := bytes.Repeat([]byte("0123456789abcdef"), 50_000)
	digest := o.waiting(content)
	path := filepath.Join(dir, "blobs", digest[:2], digest)
	eventually(t, "three quarters of the file", func() bool {
		info, err := os.Stat(path + ".part")
		return err == nil && info.Size() == int64(len(content)*3/4)
	})
	a.stop()
	startAgent(t, o, dir)
	eventually(t, "the file", func() bool { _, err := os.Stat(path); return err == nil })
	o.away(true)
	openGate(t, dir)
	eventually(t, "the end of what waited", func() bool { return effects(filepath.Join(dir, "root", "log")) == 2 })
	o.away(false)
	if end, jobs := o.ended(11); end.Outcome != journal.OutcomeSucceeded || jobs[0].Info != digest {
		t.Errorf("%+v %+v", end, jobs)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := int64(len(content))
	want := []wire.BlobRequest{{Digest: digest}, {Digest: digest, Offset: n / 2}, {Digest: digest, Offset: n * 3 / 4}}
	if !slices.Equal(o.asked, want) {
		t.Errorf("requests %+v, want %+v", o.asked, want)
	}
}

// TestStartWaitsForTheLink: an attempt whose turn comes while its file is not there and
// there is no connection waits for one, and joins what is under way for it.
func TestStartWaitsForTheLink(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	dir := t.TempDir()
	startAgent(t, o, dir)
	o.connected()
	o.update(func() { o.hangBlobs = 1 })
	digest := o.waiting([]byte("content"))
	o.until("the request of what is fetched ahead", func() bool { return len(o.asked) == 1 })
	o.away(true)
	openGate(t, dir)
	log := filepath.Join(dir, "root", "log")
	eventually(t, "the end of what was before it", func() bool { return effects(log) == 1 })
	o.away(false)
	if end, jobs := o.ended(11); end.Outcome != journal.OutcomeSucceeded || jobs[0].Info != digest {
		t.Errorf("%+v %+v", end, jobs)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.asked) != 2 {
		t.Errorf("requests %+v, want one and another after the connection was lost", o.asked)
	}
}

// TestCancelledFetchesStop: nothing more is fetched for an attempt that was cancelled.
func TestCancelledFetchesStop(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	dir := t.TempDir()
	startAgent(t, o, dir)
	o.connected()
	o.update(func() { o.hangBlobs = 1 })
	o.waiting([]byte("content"))
	o.until("a fetch that stands still", func() bool { return len(o.asked) == 1 })
	o.send(o.cancel(11))
	o.until("the end of the fetch", func() bool { return o.unwanted == 1 })
	openGate(t, dir)
	o.ended(10)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.asked) != 1 {
		t.Errorf("requests %+v, want one", o.asked)
	}
}

// fileOf is a file whose digest is made of a letter.
func fileOf(letter string, size int64) job.File {
	return job.File{Name: letter, Digest: digestOf(sha256.Sum256([]byte(letter))), Size: size}
}

// letters tells what fileOf made of which.
func letters[V any](digests map[string]V) (all string) {
	for _, letter := range "abcdef" {
		if _, ok := digests[fileOf(string(letter), 0).Digest]; ok {
			all += string(letter)
		}
	}
	return all
}

// TestNextToStartFirst: what has begun comes first, then what was scheduled first; what
// does not fit is left out, what is here is not fetched, and what has ended is nobody's.
func TestNextToStartFirst(t *testing.T) {
	a, j, accept := chained(t, nil)
	accept(1)
	accept(2, wire.Predecessor{Attempt: 1})
	accept(3)
	accept(4, wire.Predecessor{Attempt: 2})
	p := a.provisions
	p.add(shipment{4, []job.File{fileOf("e", 1)}}, shipment{2, []job.File{fileOf("c", 1), fileOf("d", 50)}},
		shipment{3, []job.File{fileOf("a", 1), fileOf("b", 1)}}, shipment{1, []job.File{fileOf("a", 1)}}, shipment{9, []job.File{fileOf("f", 1)}})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); p.fetches.Wait() })
	under := func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		return letters(p.under)
	}
	here := func(letter string) {
		t.Helper()
		path := a.blobs.dir.Path(fileOf(letter, 0).Digest)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(letter), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	p.fill(ctx)
	if got := under(); got != "ab" {
		t.Errorf("%s are fetched first, want a and b, which have begun", got)
	}
	if err := j.Commit(func(s *journal.State, add func(journal.Record)) error {
		rec, err := s.End(1, journal.OutcomeFailed, "", nil)
		add(rec)
		add(s.GiveBack(2))
		rec, end := s.End(3, journal.OutcomeFailed, "", nil)
		add(rec)
		return errors.Join(err, end)
	}); err != nil {
		t.Fatal(err)
	}
	accept(5)
	p.add(shipment{5, []job.File{fileOf("b", 1)}})
	a.blobs.bytesMax = 1
	p.fill(ctx)
	eventually(t, "the end of what nobody wants", func() bool { return under() == "b" })
	p.fill(ctx)
	if got := under(); got != "b" {
		t.Errorf("%s are fetched where only one has room, want b", got)
	}
	a.blobs.bytesMax = 10
	here("e")
	p.fill(ctx)
	if got := under(); got != "b" {
		t.Errorf("%s are fetched where another is here, want b", got)
	}
}

// TestFullDisk: nothing is fetched ahead where the disk is nearly full; what a job waits
// for takes the place of what others wait with, and not of what is in use.
func TestFullDisk(t *testing.T) {
	a, _, accept := chained(t, nil)
	accept(1)
	accept(2, wire.Predecessor{Attempt: 1})
	a.provisions.add(shipment{1, []job.File{fileOf("a", 1)}}, shipment{2, []job.File{fileOf("b", 1)}})
	a.blobs.free = func() (free, all int64, err error) { return 1_000_100, 20_000_000, nil }
	if err := a.blobs.getAhead(t.Context(), fileOf("a", 51)); !errors.Is(err, blobcache.ErrNoRoom) {
		t.Errorf("twice 51 bytes where 100 are free: %v", err)
	}
	left := func() string {
		t.Helper()
		all, err := a.blobs.dir.List()
		if err != nil {
			t.Fatal(err)
		}
		set := map[string]bool{}
		for _, e := range all {
			set[e.Digest] = true
		}
		return letters(set)
	}
	long := time.Now().Add(-time.Hour)
	for _, letter := range []string{"a", "b", "c"} {
		path := a.blobs.dir.Path(fileOf(letter, 0).Digest)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(letter), 0o600), os.Chtimes(path, long, long)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.blobs.prune(0, time.Now()); err != nil || left() != "ab" {
		t.Errorf("%s are left, want what open attempts ship; %v", left(), err)
	}
	if err := a.blobs.makeRoom(time.Now()); err != nil || left() != "a" {
		t.Errorf("%s are left, want what is in use; %v", left(), err)
	}
}

// TestJobsGoFirst: what no job waits for stands still while one waits for other content,
// gives its stream up before long, and goes on at once where its own is waited for.
func TestJobsGoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &blobCache{hurried: map[string]int{}, changed: make(chan struct{})}
		w := want{digest: "ahead", ahead: true}
		if err := c.letPass(t.Context(), w, time.After); err != nil {
			t.Fatalf("with nobody else: %v", err)
		}
		over := c.hurry("job's")
		if err := c.letPass(t.Context(), want{digest: "another job's"}, nil); err != nil {
			t.Errorf("what a job waits for: %v", err)
		}
		began := time.Now()
		if err := c.letPass(t.Context(), w, time.After); !errors.Is(err, errGaveWay) || time.Since(began) != gaveWayAfter {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		goesOn := func(what string, change func()) {
			t.Helper()
			passed := make(chan error, 1)
			go func() { passed <- c.letPass(t.Context(), w, nil) }()
			synctest.Wait()
			select {
			case err := <-passed:
				t.Fatalf("before %s: %v", what, err)
			default:
			}
			change()
			if err := <-passed; err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		goesOn("the job has it", over)
		c.hurry("another job's")
		goesOn("a job waits for this, too", func() { c.hurry(w.digest) })
	})
}
