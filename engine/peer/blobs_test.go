package peer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate/eventlog"
)

// count returns how many of the members have sound copies of all the blobs.
func (n *network) count(digests ...string) (have int) {
	for _, id := range n.members {
		all := true
		for _, d := range digests {
			all = all && n.nodes[id].sound(d)
		}
		if all {
			have++
		}
	}
	return have
}

// A majority has every blob when Replicate returns, whoever is down, and an
// error says who is where that cannot be.
func TestReplicate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		members []uint64
		self    uint64
		down    []uint64
		want    int  // sound copies at least
		fails   bool // no majority
	}{
		"alone":                        {[]uint64{1}, 1, nil, 1, false},
		"two":                          {[]uint64{1, 2}, 1, nil, 2, false},
		"two, one down":                {[]uint64{1, 2}, 1, []uint64{2}, 1, true},
		"three":                        {[]uint64{1, 2, 3}, 2, nil, 2, false},
		"three, one down":              {[]uint64{1, 2, 3}, 2, []uint64{3}, 2, false},
		"three, two down":              {[]uint64{1, 2, 3}, 2, []uint64{1, 3}, 1, true},
		"five, two down":               {[]uint64{1, 2, 3, 4, 5}, 5, []uint64{1, 3}, 3, false},
		"five, three down":             {[]uint64{1, 2, 3, 4, 5}, 5, []uint64{1, 3, 4}, 2, true},
		"one without a vote":           {[]uint64{1, 2, 3}, 4, nil, 2, false},
		"one without a vote, two down": {[]uint64{1, 2, 3}, 4, []uint64{1, 2}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, tc.members...)
			self := n.nodes[tc.self]
			if self == nil {
				self = n.add(tc.self)
			}
			for _, id := range tc.down {
				n.down[id] = true
			}
			var digests []string
			for _, size := range []int{0, 1, chunkBytes, chunkBytes + 1, 5 * chunkBytes} {
				digests = append(digests, self.put(t, name, size))
			}
			err := self.Replicate(t.Context(), append(digests, digests[0]))
			if tc.fails {
				if err == nil || !errors.Is(err, errDown) {
					t.Errorf("replicated: %v", err)
				}
			} else if err != nil {
				t.Error(err)
			}
			if have := n.count(digests...); have < tc.want {
				t.Errorf("%d have them, want %d", have, tc.want)
			}
		})
	}
}

// What a member has is not sent again, what is damaged there is, and what is
// damaged here is repaired before it is counted.
func TestReplicateRepairs(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1, 2)
	digest := n.nodes[1].put(t, "x", 100_000)
	if err := n.nodes[1].Replicate(t.Context(), []string{digest}); err != nil {
		t.Fatal(err)
	}
	n.nodes[2].damage(t, digest)
	if err := n.nodes[1].Replicate(t.Context(), []string{digest}); err != nil || n.count(digest) != 2 {
		t.Errorf("damaged there: %v, %d have it", err, n.count(digest))
	}
	n.nodes[1].damage(t, digest)
	if err := n.nodes[1].Replicate(t.Context(), []string{digest}); err != nil || n.count(digest) != 2 {
		t.Errorf("damaged here: %v, %d have it", err, n.count(digest))
	}
	n.nodes[1].damage(t, digest)
	n.nodes[2].damage(t, digest)
	var damaged *eventlog.BlobError
	if err := n.nodes[1].Replicate(t.Context(), []string{digest}); !errors.As(err, &damaged) {
		t.Errorf("damaged everywhere: %v", err)
	}
}

// A blob comes from whoever has a sound one; nobody's damaged copy is passed on.
func TestFetch(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1, 2, 3, 4)
	digest := n.nodes[4].put(t, "x", 300_000)
	n.nodes[2].put(t, "x", 300_000)
	n.nodes[2].damage(t, digest)
	n.down[3] = true
	if err := n.nodes[1].Fetch(t.Context(), digest); err != nil || !n.nodes[1].sound(digest) {
		t.Fatalf("fetched: %v", err)
	}
	_, nobodys := content("nobody has it", 10)
	if err := n.nodes[1].Fetch(t.Context(), nobodys); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "orchestrator 3") {
		t.Errorf("one that is down may have it: %v", err)
	}
	n.down[3] = false
	if err := n.nodes[1].Fetch(t.Context(), nobodys); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody has it: %v", err)
	}
	if err := n.nodes[1].Fetch(t.Context(), "../../etc/passwd"); err == nil {
		t.Error("that is no digest")
	}
}

// A heldLogger lets a fetch return only once it may.
type heldLogger struct {
	slog.Handler
	stored, release chan struct{}
}

func (l *heldLogger) Handle(context.Context, slog.Record) error {
	l.stored <- struct{}{}
	<-l.release
	return nil
}

// Who shares a fetch that stored the blob before it was damaged gets a sound one.
func TestFetchSharedBeforeDamage(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1, 2)
	digest := n.nodes[2].put(t, "x", 100_000)
	held := &heldLogger{slog.NewTextHandler(io.Discard, nil), make(chan struct{}), make(chan struct{})}
	n.nodes[1].logger = slog.New(held)
	ended := make(chan error, 2)
	fetch := func() { ended <- n.nodes[1].Fetch(t.Context(), digest) }
	go fetch()
	<-held.stored
	n.nodes[1].damage(t, digest)
	go fetch()
	select { // nothing tells that the second one shares: it fetches for itself if it comes late
	case <-held.stored:
		t.Error("it is fetched twice at once")
	case <-time.After(50 * time.Millisecond):
	}
	go func() {
		for range held.stored {
		}
	}()
	close(held.release)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	close(held.stored)
	if !n.nodes[1].sound(digest) {
		t.Error("it is damaged")
	}
}

// Many that want the same blob at once ask for it once, and one that gives up
// takes nobody along.
func TestFetchTogether(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1, 2)
	digest := n.nodes[2].put(t, "x", 100_000)
	n.hangs[2] = true
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { first <- n.nodes[1].Fetch(ctx, digest) }()
	for { // until it has dialed
		n.mu.Lock()
		dialed := n.nodes[1].dialed
		n.mu.Unlock()
		if dialed > 0 {
			break
		}
	}
	n.mu.Lock()
	n.hangs[2] = false
	n.mu.Unlock()
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if err := n.nodes[1].Fetch(t.Context(), digest); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that gave up: %v", err)
	}
	wait.Wait()
	if !n.nodes[1].sound(digest) {
		t.Error("the blob is not here")
	}
}

// A member that takes connections and says nothing holds up nobody but itself.
func TestReplicatePastOneThatHangs(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1, 2, 3)
	n.hangs[2] = true
	digest := n.nodes[1].put(t, "x", 1000)
	if err := n.nodes[1].Replicate(t.Context(), []string{digest}); err != nil {
		t.Fatal(err)
	}
	if !n.nodes[3].sound(digest) {
		t.Error("nobody else has it")
	}
	ctx, cancel := context.WithCancel(t.Context())
	n.down[3] = true
	ended := make(chan error, 1)
	go func() { ended <- n.nodes[1].Replicate(ctx, []string{digest}) }()
	cancel()
	if err := <-ended; err == nil {
		t.Error("replicated to nobody")
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1, 2)
	if p, err := n.nodes[1].Pulse(t.Context(), 2); err != nil || p.Head != 42 {
		t.Errorf("%+v, %v", p, err)
	}
	n.down[2] = true
	if err := n.nodes[1].Reach(t.Context(), 2); !errors.Is(err, errDown) {
		t.Errorf("reached: %v", err)
	}
}

// An offer may be longer than one frame: what is missing is found in the last one.
func TestManyBlobs(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1, 2)
	var digests []string
	for i := range 2*offerMax + 10 {
		for _, id := range n.members {
			if id == 2 && i%offerMax == 7 {
				continue // lacks one of each frame
			}
			b, digest := content("many", i%offerMax+i)
			n.nodes[id].plant(t, digest, b)
			digests = append(digests, digest)
		}
	}
	if err := n.nodes[1].Replicate(t.Context(), digests); err != nil || n.count(digests...) != 2 {
		t.Errorf("replicated: %v", err)
	}
	digests[3] = strings.Repeat("ab", 32)
	if err := n.nodes[1].Replicate(t.Context(), digests); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is nowhere: %v", err)
	}
}

// plant puts a blob where it belongs without syncing it.
func (n *node) plant(t *testing.T, digest string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(n.dir, digest[:2]), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, digest[:2], digest), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What a member says of itself, and where it is, gets across; who is no member any
// more is told why, and is asked for nothing else.
func TestPulse(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1, 2)
	long := strings.Repeat("\x01", 100_000)
	n.nodes[2].cfg.Alarms = func() []string { return []string{"low-space: 3 MiB", long, long, long, long, long} }
	p, err := n.nodes[1].Pulse(t.Context(), 2)
	if err != nil || p.Head != 42 || p.LogVersion != eventlog.Version || len(p.Alarms) == 0 || p.Alarms[0] != "low-space: 3 MiB" {
		t.Errorf("%+v, %v", p, err)
	}
	conn := func() net.Conn {
		c, err := n.dial(t.Context(), 1, 2)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var told eventlog.OrchestratorMoved
	here := eventlog.OrchestratorMoved{Replica: 7, Name: "x", RaftAddress: "elsewhere:7"}
	if err := TellMoved(t.Context(), conn(), here); err == nil {
		t.Error("nobody took note")
	}
	n.nodes[2].cfg.Moved = func(_ context.Context, now eventlog.OrchestratorMoved) error {
		told = now
		return nil
	}
	if err := TellMoved(t.Context(), conn(), here); err != nil {
		t.Error(err)
	}
	if here.Replica = 1; told != here {
		t.Errorf("told %+v: who speaks is who connected", told)
	}
	n.nodes[2].cfg.Removed = func(uint64) string { return "replaced by 9" }
	if _, err := n.nodes[1].Pulse(t.Context(), 2); !errors.Is(err, ErrRemoved) || !strings.Contains(err.Error(), "replaced by 9") {
		t.Errorf("removed: %v", err)
	}
	if err := TellMoved(t.Context(), conn(), here); err == nil {
		t.Error("one that was removed was listened to")
	}
}
