package raft

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/vfs"
)

// A bench is a guarded log in a directory, without a replica above it.
type bench struct {
	t   *testing.T
	dir string
	log *guardedLog
	r   *rand.Rand
	// what the log was told, as Raft would know it
	last, term, compacted, snapshot uint64
	state                           raftpb.State
}

// openGuarded opens the log in a directory as a start would.
func openGuarded(dir string) (*guardedLog, error) { return openGuardedOn(dir, vfs.Default) }

func openGuardedOn(dir string, files config.IFS) (*guardedLog, error) {
	c := Config{DataDir: filepath.Dir(dir), Replica: 1}
	if err := c.normalize(); err != nil {
		return nil, err
	}
	useLogger(c.Logger)
	g := &guard{replica: 1, bootstrap: true}
	host := c.nodeHost(g, newLeadership(1), events{})
	host.NodeHostDir, host.Expert.FS = dir, files
	if err := host.Prepare(); err != nil {
		return nil, err
	}
	library := filepath.Join(dir, "host")
	if err := os.MkdirAll(library, 0o700); err != nil {
		return nil, err
	}
	var none config.LogDBCallback
	log, err := g.Create(host, none, []string{library}, []string{library})
	if err != nil {
		return nil, err
	}
	if _, err := log.GetBootstrapInfo(controlShard, 1); errors.Is(err, raftio.ErrNoBootstrapInfo) {
		if err := log.SaveBootstrapInfo(controlShard, 1, raftpb.Bootstrap{Addresses: map[uint64]string{1: "replica-1"}}); err != nil {
			return nil, err
		}
	}
	return log.(*guardedLog), nil
}

// What a step did, for which images may lie together after a crash.
type stepKind int

const (
	adds     stepKind = iota // to both at the same time
	replaces                 // an end of the log
	compacts                 // the sidecar first
	records                  // the log first
	large                    // the same, since the sidecar mirrors no such save
)

// step does something that Raft does to its log.
func (b *bench) step() stepKind {
	b.t.Helper()
	var err error
	kind := adds
	u := raftpb.Update{ShardID: controlShard, ReplicaID: 1}
	switch n := b.r.IntN(10); {
	case n < 5 || b.last < b.compacted+3:
		u.EntriesToSave = b.entries(b.last+1, 1+b.r.IntN(4))
	case n == 5:
		kind = replaces
		b.term++
		from := max(b.compacted, b.snapshot) + 1
		u.EntriesToSave = b.entries(from+b.r.Uint64N(b.last-from+2), 1+b.r.IntN(3))
		if u.EntriesToSave[0].Index > b.last {
			kind = adds
		}
	case n == 6: // a vote
		b.term++
	case n == 7:
		to := b.compacted + 1 + b.r.Uint64N(b.last-b.compacted)
		b.compacted = to
		if err := b.log.RemoveEntriesTo(controlShard, 1, to); err != nil {
			b.t.Fatal(err)
		}
		b.snapshot = max(b.snapshot, to)
		return compacts
	case n == 8: // its own snapshot
		b.snapshot = max(b.snapshot, b.compacted+1+b.r.Uint64N(b.last-b.compacted))
		u.Snapshot = raftpb.Snapshot{ShardID: controlShard, Index: b.snapshot, Term: b.term}
		if err := b.log.SaveSnapshots([]raftpb.Update{u}); err != nil {
			b.t.Fatal(err)
		}
		return records
	default: // one of somebody else
		kind = records
		b.last += 1 + b.r.Uint64N(20)
		b.snapshot, b.compacted = b.last, b.last
		u.Snapshot = raftpb.Snapshot{ShardID: controlShard, Index: b.last, Term: b.term}
	}
	if n := len(u.EntriesToSave); n > 0 {
		b.last = u.EntriesToSave[n-1].Index
	}
	if u.SizeUpperLimit() > updateBytesMax-40 && kind == adds {
		kind = large
	}
	if state := (raftpb.State{Term: b.term, Vote: 1 + b.term%3, Commit: b.compacted}); state != b.state {
		u.State, b.state = state, state // as the library leaves out one that has not changed
	}
	if err = b.log.SaveRaftState([]raftpb.Update{u}, 1); err != nil {
		b.t.Fatal(err)
	}
	return kind
}

func (b *bench) entries(from uint64, count int) []raftpb.Entry {
	out := make([]raftpb.Entry, count)
	size := 10 + b.r.IntN(200)
	if b.r.IntN(20) == 0 {
		size = updateBytesMax // more than the sidecar mirrors
	}
	for i := range out {
		out[i] = raftpb.Entry{Index: from + uint64(i), Term: b.term, Cmd: make([]byte, size)}
		out[i].Cmd[b.r.IntN(size)] = byte(b.r.Uint32())
	}
	return out
}

// An image is a copy of the files, and what was claimed of them.
type image struct {
	library, sidecar string
	claim            claim
}

func (b *bench) image(name string) image {
	b.t.Helper()
	dir := filepath.Join(b.t.TempDir(), name)
	copyDir(b.t, filepath.Join(b.dir, "host"), dir)
	side, err := os.ReadFile(sidecarPath(b.dir))
	if err != nil {
		b.t.Fatal(err)
	}
	return image{library: dir, sidecar: string(side), claim: b.log.claim}
}

// reopen opens a log of one image with the sidecar of another.
func (b *bench) reopen(library image, sidecar string) (claim, error) {
	b.t.Helper()
	dir := filepath.Join(b.t.TempDir(), "again")
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			b.t.Error(err)
		}
	}()
	copyDir(b.t, library.library, filepath.Join(dir, "host"))
	if err := os.WriteFile(sidecarPath(dir), []byte(sidecar), 0o600); err != nil {
		b.t.Fatal(err)
	}
	log, err := openGuarded(dir)
	if err != nil {
		return claim{}, err
	}
	got := log.claim
	return got, log.Close()
}

// torn damages the newest slot as a crash in the middle of its write would.
func torn(r *rand.Rand, sidecar string) string {
	b := []byte(sidecar)
	newest, at := uint64(0), 0
	for i := range sidecarSlots {
		if s, ok := decodeSlot(b[i*sidecarSlotBytes:][:sidecarSlotBytes]); ok && s.sequence > newest {
			newest, at = s.sequence, i*sidecarSlotBytes
		}
	}
	from := at + r.IntN(slotUpdateAt)
	clear(b[from:min(from+512, len(b))])
	return string(b)
}

// TestGuardRefusesLossAndNoCrash takes Raft's log and its sidecar through what Raft
// does to them, and puts together what a crash can leave behind at each step: it is
// never refused, and holds what was acknowledged. A log that lacks more than the
// last save is always refused.
func TestGuardRefusesLossAndNoCrash(t *testing.T) {
	seed := seedOf(t)
	steps := 12
	if os.Getenv("QUORATE_SOAK") != "" {
		steps = 300
	}
	b := &bench{t: t, dir: filepath.Join(t.TempDir(), "raft"), r: rand.New(rand.NewPCG(seed, 0)), term: 1}
	log, err := openGuarded(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	b.log = log
	b.step()
	earlier, before := b.image("first"), image{}
	lossy := false // whether the step before only added entries
	for i := range steps {
		if i > 0 {
			if err := os.RemoveAll(earlier.library); err != nil {
				t.Fatal(err)
			}
			earlier = before
		}
		before = b.image("before")
		entries := b.last
		kind := b.step()
		after := b.image("after")
		check := func(what string, library image, sidecar string) {
			t.Helper()
			got, err := b.reopen(library, sidecar)
			if err != nil {
				t.Fatalf("step %d, kind %d: %s: refused: %v", i, kind, what, err)
			}
			if same(got, before.claim) || same(got, after.claim) {
				return
			}
			t.Fatalf("step %d, kind %d: %s: holds %+v, and had %+v and %+v", i, kind, what, got, before.claim, after.claim)
		}
		check("both after", after, after.sidecar)
		check("torn", after, torn(b.r, after.sidecar))
		if kind == adds || kind == compacts {
			check("the sidecar is ahead", before, after.sidecar)
		}
		if kind == adds || kind == records || kind == large {
			check("the log is ahead", after, before.sidecar)
		}
		if kind == large {
			if _, err := b.reopen(before, after.sidecar); !errors.Is(err, ErrBehind) {
				t.Fatalf("step %d: a log that lost a large save: %v", i, err)
			}
		}
		added := kind == adds && b.last > entries
		if added && lossy && i > 0 {
			if _, err := b.reopen(earlier, after.sidecar); !errors.Is(err, ErrBehind) && !errors.Is(err, ErrDamaged) {
				t.Fatalf("step %d: a log that lost two saves: %v", i, err)
			}
		}
		lossy = added
	}
	if err := b.log.Close(); err != nil {
		t.Fatal(err)
	}
}

// same compares what two claims say of entries, snapshot and vote.
func same(a, b claim) bool {
	return a.last == b.last && a.hash == b.hash && a.snapshot == b.snapshot && a.term == b.term && a.vote == b.vote
}
