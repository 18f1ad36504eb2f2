package checkpoint

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// A log is every hash of a tree, by the content of its records.
type log struct {
	records    []uint64
	hashes     []tlog.Hash
	recoveries []Recovery
}

func (l *log) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		out[i] = l.hashes[n]
	}
	return out, nil
}

func (l *log) add(t *rapid.T, content uint64) {
	h, err := tlog.StoredHashes(int64(len(l.records)), binary.BigEndian.AppendUint64(nil, content), l)
	if err != nil {
		t.Fatal(err)
	}
	l.records = append(l.records, content)
	l.hashes = append(l.hashes, h...)
}

// first is a log of the first records, with those recoveries that are among them.
func (l *log) first(t *rapid.T, n int) *log {
	out := new(log)
	for _, c := range l.records[:n] {
		out.add(t, c)
	}
	for _, r := range l.recoveries {
		if r.Index <= uint64(n) {
			out.recoveries = append(out.recoveries, r)
		}
	}
	return out
}

func (l *log) sign(t *rapid.T) *Checkpoint {
	root, err := tlog.TreeHash(int64(len(l.records)), l)
	if err != nil {
		t.Fatal(err)
	}
	c := &Checkpoint{ClusterID: "c", Size: uint64(len(l.records)), Root: root, Head: root, Recoveries: slices.Clone(l.recoveries)}
	if n := len(l.recoveries); n > 0 {
		c.Generation = l.recoveries[n-1].Generation
	}
	return c
}

// prove is what an orchestrator does for somebody who remembers points.
func (l *log) prove(t *rapid.T, c *Checkpoint, points []Point) (older uint64, proof []byte) {
	anchor, ok := Anchor(c.Recoveries, points)
	if !ok || anchor.Size >= c.Size {
		return anchor.Size, nil
	}
	p, err := tlog.ProveTree(int64(c.Size), int64(anchor.Size), l)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range p {
		proof = append(proof, h[:]...)
	}
	return anchor.Size, proof
}

// Whatever a cluster goes through lawfully, growing and being recovered, its own
// checkpoints are never taken for another log's; one in which anything is changed that
// the memory still covers always is.
func TestMemory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, m := new(log), new(Memory)
		content, generation := uint64(0), uint64(0)
		grow := func() {
			for range rapid.IntRange(1, 40).Draw(t, "records") {
				content++
				l.add(t, content)
			}
		}
		grow()
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			recovers := rapid.IntRange(0, 5).Draw(t, "recovers") == 0
			if recovers {
				l = l.first(t, rapid.IntRange(0, len(l.records)).Draw(t, "to"))
				generation++
				content++
				l.add(t, content)
				l.recoveries = append(l.recoveries, Recovery{uint64(len(l.records)), generation})
			}
			grow()
			if rapid.Bool().Draw(t, "unseen") {
				continue
			}
			c := l.sign(t)
			if anchor, ok := Anchor(c.Recoveries, m.Points()); ok {
				forgedIsFound(t, l, m, int(anchor.Size))
			}
			older, proof := l.prove(t, c, m.Points())
			if _, err := m.Judge(c, older, proof); err != nil {
				t.Fatalf("its own log: %v; remembers %v", err, m.Points())
			}
			m.Keep(c)
			if len(m.Seen) > SeenMax || m.Last().Point() != c.Point() {
				t.Fatalf("remembers %v behind %v", m.Points(), c.Point())
			}
		}
	})
}

// forgedIsFound judges a log in which one of the first records is another one, and one
// that has lost the last of them.
func forgedIsFound(t *rapid.T, l *log, m *Memory, covered int) {
	forged := &log{recoveries: l.recoveries}
	at := rapid.IntRange(0, covered-1).Draw(t, "forged")
	for i, c := range l.records {
		if i == at {
			c ^= 1 << 60
		}
		forged.add(t, c)
	}
	c := forged.sign(t)
	older, proof := forged.prove(t, c, m.Points())
	if _, err := m.Judge(c, older, proof); !errors.Is(err, ErrContradicted) {
		t.Fatalf("record %d of %d changed, %d covered: %v", at+1, len(l.records), covered, err)
	}
	c = l.sign(t)
	if _, err := m.Judge(c, older, nil); len(proof) > 0 && !errors.Is(err, ErrContradicted) {
		t.Fatalf("without a proof: %v", err)
	}
	short := l.first(t, covered)
	short.records, short.recoveries = short.records[:covered-1], l.recoveries
	if covered > 1 && (len(l.recoveries) == 0 || l.recoveries[len(l.recoveries)-1].Index < uint64(covered)) {
		c := short.sign(t)
		if _, err := m.Judge(c, 0, nil); !errors.Is(err, ErrContradicted) {
			t.Fatalf("the last covered record is lost: %v", err)
		}
	}
}

// The memory reaches far back with few checkpoints.
func TestMemoryThins(t *testing.T) {
	t.Parallel()
	m := new(Memory)
	for size := uint64(1); size <= 100_000; size += 100 {
		m.Keep(&Checkpoint{Size: size})
	}
	if len(m.Seen) != SeenMax || m.Last().Size != 99_901 {
		t.Fatalf("%d checkpoints up to %d", len(m.Seen), m.Last().Size)
	}
	before := uint64(0)
	for i, s := range m.Seen[:len(m.Seen)-1] {
		if age := 99_901 - s.Size; i > 0 && s.Size-before > 3*age+20_000 {
			t.Errorf("nothing between %d and %d", before, s.Size)
		}
		before = s.Size
	}
	if half := m.Seen[len(m.Seen)/2].Size; half < 50_000 || m.Seen[0].Size > 50_000 {
		t.Errorf("remembers %v", m.Points())
	}
}
