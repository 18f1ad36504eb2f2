package checkpoint

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// SeenMax bounds the checkpoints that a [Memory] keeps: the newest, and fewer and
	// fewer of the older ones, for a cluster that is recovered to before the newest.
	SeenMax = 16
	// ProofBytesMax bounds a consistency proof: a hash for each level of a tree.
	ProofBytesMax = 128 * len(Hash{})
)

// ErrContradicted is wrapped by errors for a log that is not the one which was seen
// before.
var ErrContradicted = errors.New("the log contradicts what was signed before")

// A Point names a checkpoint.
type Point struct{ Size, Generation uint64 }

// Point returns what names the checkpoint.
func (c *Checkpoint) Point() Point { return Point{c.Size, c.Generation} }

// survives returns how many of the first records of a log of a generation are still
// there behind recoveries; all where it returns more than there were.
func survives(recoveries []Recovery, generation uint64) uint64 {
	n := uint64(sizeMax)
	for _, r := range recoveries {
		if r.Generation > generation {
			n = min(n, r.Index-1)
		}
	}
	return n
}

// Anchor returns the newest of the points that a log with these recoveries has to
// contain whole. There is none where each of them was signed behind what was lost.
func Anchor(recoveries []Recovery, points []Point) (anchor Point, ok bool) {
	for _, p := range points {
		if p.Size <= survives(recoveries, p.Generation) && p.Size > anchor.Size {
			anchor, ok = p, true
		}
	}
	return anchor, ok
}

// Newest returns the newest of the points.
func Newest(points []Point) (newest Point) {
	for _, p := range points {
		if p.Generation > newest.Generation || p.Generation == newest.Generation && p.Size > newest.Size {
			newest = p
		}
	}
	return newest
}

// A Memory holds checkpoints of one log, oldest first.
type Memory struct{ Seen []Checkpoint }

// Points names what is held.
func (m *Memory) Points() (points []Point) {
	for i := range m.Seen {
		points = append(points, m.Seen[i].Point())
	}
	return points
}

// Last returns the newest, or nil.
func (m *Memory) Last() *Checkpoint {
	if len(m.Seen) == 0 {
		return nil
	}
	return &m.Seen[len(m.Seen)-1]
}

// Judge compares a newer checkpoint with what is held, by a proof that its log only
// adds to the older one that [Anchor] names. Gone is how many records that were seen
// before are not in it since the cluster was recovered. The error wraps
// [ErrContradicted].
func (m *Memory) Judge(c *Checkpoint, older uint64, proof []byte) (gone uint64, err error) {
	last := m.Last()
	if last == nil {
		return 0, nil
	}
	if c.ClusterID != last.ClusterID {
		return 0, fmt.Errorf("%w: it is of the cluster %s, and was of %s", ErrContradicted, c.ClusterID, last.ClusterID)
	}
	if c.Generation < last.Generation {
		return 0, fmt.Errorf("%w: it was left behind when the cluster was recovered (generation %d, and %d was seen)", ErrContradicted, c.Generation, last.Generation)
	}
	if left := survives(c.Recoveries, last.Generation); left < last.Size {
		gone = last.Size - left
	}
	anchor, ok := Anchor(c.Recoveries, m.Points())
	if !ok {
		return gone, nil
	}
	if c.Size < anchor.Size {
		return 0, fmt.Errorf("%w: it is signed up to record %d, and was up to %d", ErrContradicted, c.Size, anchor.Size)
	}
	i := slices.IndexFunc(m.Seen, func(s Checkpoint) bool { return s.Point() == anchor })
	if err := m.Seen[i].extends(c, older, proof); err != nil {
		return 0, err
	}
	return gone, nil
}

// extends checks that a newer checkpoint's log only adds to the older one's.
func (c *Checkpoint) extends(newer *Checkpoint, older uint64, proof []byte) error {
	if newer.Size == c.Size {
		if newer.Root != c.Root || newer.Head != c.Head {
			return fmt.Errorf("%w: record %d and those before it are others than those that were signed", ErrContradicted, c.Size)
		}
		return nil
	}
	const size = len(Hash{})
	if older != c.Size || len(proof)%size != 0 || len(proof) > ProofBytesMax {
		return fmt.Errorf("%w: it proves nothing about the first %d records", ErrContradicted, c.Size)
	}
	var hashes tlog.TreeProof
	for b := range slices.Chunk(proof, size) {
		hashes = append(hashes, tlog.Hash(b))
	}
	if err := tlog.CheckTree(hashes, int64(newer.Size), newer.Root, int64(c.Size), c.Root); err != nil {
		return fmt.Errorf("%w: it does not go on from the first %d records as they were signed: %w", ErrContradicted, c.Size, err)
	}
	return nil
}

// Keep adds a checkpoint that was judged, and forgets those that a recovery has made
// meaningless. It reports whether the memory is another one than before.
func (m *Memory) Keep(c *Checkpoint) (changed bool) {
	if last := m.Last(); last != nil && last.Point() == c.Point() {
		return false
	}
	m.Seen = slices.DeleteFunc(m.Seen, func(s Checkpoint) bool {
		return s.Size >= c.Size || s.Size > survives(c.Recoveries, s.Generation)
	})
	m.Seen = append(m.Seen, *c)
	for len(m.Seen) > SeenMax {
		m.thin()
	}
	return true
}

// thin forgets one, so that the distances grow with the age.
func (m *Memory) thin() {
	newest := float64(m.Last().Size)
	best, least := 0, 0.0
	for i := 0; i+1 < len(m.Seen); i++ {
		before := 0.0
		if i > 0 {
			before = float64(m.Seen[i-1].Size)
		}
		// How much coarser the memory gets, by how long ago that is.
		loss := (float64(m.Seen[i+1].Size) - before) / (newest - before)
		if i == 0 || loss < least {
			best, least = i, loss
		}
	}
	m.Seen = slices.Delete(m.Seen, best, best+1)
}
