package raft

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/eventlog"
)

// damages are what is done to a file. Each returns false where it would change
// nothing.
var damages = []struct {
	name string
	do   func(r *rand.Rand, path string, b []byte, old func() ([]byte, bool)) (after []byte, remove, ok bool)
}{
	{"a sector zeroed", zeroed(512, 512)},
	{"a page zeroed", zeroed(4096, 4096)},
	{"11 bytes zeroed", zeroed(11, 1)},
	{"a bit flipped", func(r *rand.Rand, _ string, b []byte, _ func() ([]byte, bool)) ([]byte, bool, bool) {
		at, ok := written(r, b)
		if ok {
			b[at] ^= 1 << r.IntN(8)
		}
		return b, false, ok
	}},
	{"a bit set in the room behind", func(r *rand.Rand, _ string, b []byte, _ func() ([]byte, bool)) ([]byte, bool, bool) {
		end := len(bytes.TrimRight(b, "\x00"))
		if end == len(b) {
			return nil, false, false
		}
		b[end+r.IntN(len(b)-end)] ^= 1 << r.IntN(8)
		return b, false, true
	}},
	{"cut to half", func(_ *rand.Rand, _ string, b []byte, _ func() ([]byte, bool)) ([]byte, bool, bool) {
		return b[:len(b)/2], false, len(b) > 0
	}},
	{"some bytes shorter", func(r *rand.Rand, _ string, b []byte, _ func() ([]byte, bool)) ([]byte, bool, bool) {
		return b[:max(0, len(b)-1-r.IntN(20))], false, len(b) > 0
	}},
	{"an old copy", func(_ *rand.Rand, _ string, b []byte, old func() ([]byte, bool)) ([]byte, bool, bool) {
		before, ok := old()
		return before, !ok, !ok || !bytes.Equal(before, b)
	}},
	{"removed", func(*rand.Rand, string, []byte, func() ([]byte, bool)) ([]byte, bool, bool) { return nil, true, true }},
}

// written returns where something is written in a file, by chance, and false where
// nothing is: most of a preallocated file or database is room.
func written(r *rand.Rand, b []byte) (at int, ok bool) {
	n := len(b) - bytes.Count(b, []byte{0})
	if n == 0 {
		return 0, false
	}
	nth := r.IntN(n)
	for i, c := range b {
		if c == 0 {
			continue
		}
		if nth == 0 {
			return i, true
		}
		nth--
	}
	return 0, false
}

// zeroed clears a stretch that starts at a multiple of align, and of which not
// all is zero yet, where there is one.
func zeroed(length, align int) func(*rand.Rand, string, []byte, func() ([]byte, bool)) ([]byte, bool, bool) {
	return func(r *rand.Rand, _ string, b []byte, _ func() ([]byte, bool)) ([]byte, bool, bool) {
		at, ok := written(r, b)
		if !ok {
			return nil, false, false
		}
		at = at / align * align
		clear(b[at:min(at+length, len(b))])
		return b, false, true
	}
}

// A patient is a cluster of which replica 2 is damaged: its directory as a stop
// left it, as a crash left it, and as it was some time before.
type patient struct {
	*trio
	intact map[string]string // by how it stopped
	old    string
	last   uint64
	want   eventlog.Hash
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{trio: formTrio(t, func(cfg *Config) { cfg.Space.Ballast = 1 << 60 }), intact: map[string]string{}, old: filepath.Join(t.TempDir(), "old")}
	p.settle(t, 2, p.append(t, 1, 20, "long ago "))
	copyDir(t, p.data(2), p.old)
	p.settle(t, 3, p.append(t, 1, 30, "all have it "))
	p.stop(t, 3)
	p.last = p.append(t, 1, 60, "a majority has it ")
	p.settle(t, 2, p.last)
	if err := p.nodes[2].machine.flush(); err != nil {
		t.Fatal(err)
	}
	_, p.want = p.nodes[2].Head()
	p.intact["crashed"] = filepath.Join(t.TempDir(), "crashed")
	copyDir(t, p.data(2), p.intact["crashed"])
	p.stop(t, 2)
	p.intact["stopped"] = filepath.Join(t.TempDir(), "stopped")
	copyDir(t, p.data(2), p.intact["stopped"])
	p.stop(t, 1)
	return p
}

// files are those below a directory that are not empty, relative to it.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		all = append(all, relative)
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("files of %s: %v", dir, err)
	}
	return all
}

// TestDamageIsRefusedHealedOrHarmless damages each file of a replica in every way,
// and starts it beside a replica that lags behind, without the third: what was
// acknowledged is then held by the damaged one only. Either it does not start and
// says why, or everything that was acknowledged is there, the same on both.
// QUORATE_SOAK=1 tries every file with every damage, several times; a plain run
// tries some, by seed.
func TestDamageIsRefusedHealedOrHarmless(t *testing.T) {
	p := newPatient(t)
	seed, rounds, share := seedOf(t), 1, 24
	if os.Getenv("QUORATE_SOAK") != "" {
		rounds, share = 2, 1
	}
	random := rand.New(rand.NewPCG(seed, 0))
	tally := map[string]int{}
	for round := range rounds {
		for _, stopped := range []string{"crashed", "stopped"} {
			for _, file := range files(t, p.intact[stopped]) {
				for _, d := range damages {
					if random.IntN(share) != 0 {
						continue
					}
					r := rand.New(rand.NewPCG(random.Uint64(), 1))
					name := fmt.Sprintf("%d: %s, %s: %s", round, stopped, file, d.name)
					dir := filepath.Join(t.TempDir(), "2")
					copyDir(t, p.intact[stopped], dir)
					path := filepath.Join(dir, file)
					b, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					after, remove, ok := d.do(r, path, b, func() ([]byte, bool) {
						old, err := os.ReadFile(filepath.Join(p.old, file))
						return old, err == nil
					})
					switch {
					case !ok:
						continue
					case remove:
						err = os.Remove(path)
					default:
						err = os.WriteFile(path, after, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
					outcome := p.judge(t, name, dir)
					if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
						t.Fatal(err)
					}
					tally[outcome]++
					if os.Getenv("QUORATE_SOAK") != "" {
						t.Log(name, "->", outcome)
					}
				}
			}
		}
	}
	t.Logf("outcomes: %v", tally)
}

// open starts a replica and does not wait for a majority.
func (p *patient) open(replica uint64) error {
	cfg := p.config(replica)
	if err := errors.Join(cfg.normalize(), cfg.prepare()); err != nil {
		return err
	}
	useLogger(cfg.Logger)
	n, err := open(cfg)
	if err == nil {
		p.nodes[replica] = n
	}
	return err
}

// judge starts the damaged replica beside the lagging one.
func (p *patient) judge(t *testing.T, name, damaged string) string {
	t.Helper()
	replace := func(replica uint64, from string) {
		if err := os.RemoveAll(p.data(replica)); err != nil {
			t.Fatal(err)
		}
		copyDir(t, from, p.data(replica))
	}
	lagging := filepath.Join(t.TempDir(), "3")
	copyDir(t, p.data(3), lagging)
	defer func() {
		replace(3, lagging)
		if err := os.RemoveAll(filepath.Dir(lagging)); err != nil {
			t.Error(err)
		}
	}()
	replace(2, damaged)
	err := p.open(2)
	if err != nil {
		text := err.Error()
		if !strings.Contains(text, "--replace 2") && !strings.Contains(text, p.data(2)) {
			t.Errorf("%s: the refusal names neither a file nor what to do: %v", name, err)
		}
		if strings.Contains(text, "goroutine ") {
			t.Errorf("%s: the refusal is a trace: %v", name, err)
		}
		if errors.Is(err, ErrNotBootstrapped) {
			t.Errorf("%s: taken for a new directory: %v", name, err)
		}
		return "refused"
	}
	defer p.stop(t, 2)
	if err := p.open(3); err != nil {
		t.Fatal(err)
	}
	defer p.stop(t, 3)
	last := p.append(t, 2, 1, "after the damage ")
	if last != p.last+1 {
		t.Errorf("%s: a new record is at %d, and %d were acknowledged: records are gone", name, last, p.last)
		return "LOST"
	}
	for replica := uint64(2); replica <= 3; replica++ {
		p.settle(t, replica, last)
		var corrupt *eventlog.CorruptError
		if err := p.nodes[replica].store.Scrub(t.Context(), 1<<40); errors.As(err, &corrupt) && replica == 2 {
			return "found by a read"
		} else if err != nil {
			t.Errorf("%s: replica %d: %v", name, replica, err)
		}
		page, err := p.nodes[replica].Read(t.Context(), p.last, 1)
		if err != nil || len(page) != 1 || page[0].Hash != p.want {
			t.Errorf("%s: replica %d: record %d is not what was acknowledged: %v", name, replica, p.last, err)
			return "DIVERGED"
		}
	}
	return "harmless or healed"
}
