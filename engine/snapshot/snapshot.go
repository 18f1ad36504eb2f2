// Package snapshot keeps states of the engine in files beside the log, so that who
// wants the state behind the millionth record need not fold the million. A snapshot
// is no evidence: it is trusted where it fits the log's chain at its index, and
// without any the log is folded from its beginning, which costs time only.
//
// It never writes to a directory that it was only asked to read.
package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unique"

	"github.com/klauspost/compress/zstd"

	"quorate/engine"
	"quorate/eventlog"
)

var (
	// ErrDamaged is wrapped by errors for a snapshot that is not what was written.
	ErrDamaged = errors.New("the snapshot is damaged")
	// ErrOther is wrapped by errors for a snapshot of a version of the program that
	// may have folded the log in another way.
	ErrOther = errors.New("the snapshot is of another version of this program")
)

// A Snapshot is the state at a record.
type Snapshot struct {
	State *engine.State
	// Voids say why records up to there changed nothing.
	Voids Voids
}

// Voids are the records that changed nothing, by index, and why. There are few of
// them and fewer reasons: every reason is kept once.
type Voids map[uint64]unique.Handle[string]

// Add notes that a record changed nothing.
func (v Voids) Add(index uint64, reason string) { v[index] = unique.Make(reason) }

// Reason returns why a record changed nothing; it is empty for one that did change
// something.
func (v Voids) Reason(index uint64) string {
	if h, void := v[index]; void {
		return h.Value()
	}
	return ""
}

// A Place is where in a log a snapshot belongs.
type Place struct {
	Index uint64
	Head  eventlog.Hash
}

// A snapshot is a header and, compressed, the voids and the encoded state. The
// header is the magic, the version of the state's encoding (1 byte), the index (8,
// big-endian), the chain's hash there (32), and the SHA-256 over the three of them
// and everything behind the header.
const (
	magic       = "quorate-snapshot-1\n"
	headerBytes = len(magic) + 1 + 8 + 32 + 32
	// inflatedBytesMax bounds what a snapshot may grow to, and windowBytesMax what
	// growing it takes: one may come from outside.
	inflatedBytesMax = 16 << 30
	windowBytesMax   = 64 << 20
	reasonBytesMax   = 64 << 10
)

func (p Place) header() []byte {
	b := append([]byte(magic), engine.EncodingVersion)
	b = binary.BigEndian.AppendUint64(b, p.Index)
	return append(b, p.Head[:]...)
}

// readHeader returns where a snapshot belongs, and the digest that it should have.
func readHeader(r io.Reader) (p Place, digest []byte, err error) {
	b := make([]byte, headerBytes)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: it ends early", ErrDamaged)
		}
		return Place{}, nil, err
	}
	if string(b[:len(magic)]) != magic {
		return Place{}, nil, fmt.Errorf("%w: it begins with something else", ErrDamaged)
	}
	if b[len(magic)] != engine.EncodingVersion {
		return Place{}, nil, ErrOther
	}
	p.Index = binary.BigEndian.Uint64(b[len(magic)+1:])
	copy(p.Head[:], b[len(magic)+9:])
	return p, b[headerBytes-sha256.Size:], nil
}

// Write writes a snapshot. The error is of w.
func Write(w io.WriteSeeker, s *Snapshot) error {
	header := Place{s.State.Index, s.State.Head}.header()
	if _, err := w.Write(append(header, make([]byte, sha256.Size)...)); err != nil {
		return err
	}
	sum := sha256.New()
	sum.Write(header)
	out := bufio.NewWriter(w)
	pack, err := zstd.NewWriter(io.MultiWriter(out, sum), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if _, err := pack.Write(s.Voids.encode()); err != nil {
		return err
	}
	if err := s.State.Encode(pack); err != nil {
		return err
	}
	if err := pack.Close(); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if _, err := w.Seek(int64(len(header)), io.SeekStart); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

// Read reads a snapshot to the end of r. fits says whether it is of the log that
// it is wanted for; where it is not, and nil is returned without an error, no more
// than the header was read. The error wraps [ErrDamaged] or [ErrOther], or is of r.
func Read(r io.Reader, fits func(Place) bool) (*Snapshot, error) {
	var s *Snapshot
	place, err := read(r, fits, func(body *bufio.Reader) (err error) {
		s, err = readBody(body)
		return err
	})
	if err != nil || s == nil {
		return nil, err
	}
	if s.State.Index != place.Index || s.State.Head != place.Head {
		return nil, fmt.Errorf("%w: it is of record %d and says %d", ErrDamaged, s.State.Index, place.Index)
	}
	return s, nil
}

// Sum returns the SHA-256 of the encoded state in a snapshot, which is that of the
// state that the log folds to there, or somebody made the snapshot up. ok is false,
// without an error, where it does not fit. Errors are those of [Read].
func Sum(r io.Reader, fits func(Place) bool) (sum [sha256.Size]byte, ok bool, err error) {
	h := sha256.New()
	_, err = read(r, fits, func(body *bufio.Reader) error {
		ok = true
		if _, err := decodeVoids(body); err != nil {
			return err
		}
		_, err := io.Copy(h, body)
		return err
	})
	h.Sum(sum[:0])
	return sum, ok && err == nil, err
}

// read has take read what is behind the header, where the snapshot fits.
func read(r io.Reader, fits func(Place) bool, take func(*bufio.Reader) error) (Place, error) {
	place, digest, err := readHeader(r)
	if err != nil {
		return place, err
	}
	if !fits(place) {
		return place, nil
	}
	sum := sha256.New()
	sum.Write(place.header())
	source := bufio.NewReader(io.TeeReader(r, sum))
	unpack, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowBytesMax))
	if err != nil {
		return place, err
	}
	defer unpack.Close()
	if err := take(bufio.NewReader(io.LimitReader(unpack, inflatedBytesMax))); err != nil {
		return place, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if _, err := io.Copy(io.Discard, source); err != nil {
		return place, err
	}
	if !bytes.Equal(sum.Sum(nil), digest) {
		return place, fmt.Errorf("%w: its digest does not match", ErrDamaged)
	}
	return place, nil
}

func readBody(r *bufio.Reader) (*Snapshot, error) {
	voids, err := decodeVoids(r)
	if err != nil {
		return nil, err
	}
	state, err := engine.DecodeState(r)
	if err != nil {
		return nil, err
	}
	return &Snapshot{State: state, Voids: voids}, nil
}

// encode writes the reasons, each once, and then the records by index, each as its
// distance from the one before and the position of its reason.
func (v Voids) encode() []byte {
	indexes := slices.Sorted(maps.Keys(v))
	position := map[unique.Handle[string]]int{}
	var reasons []byte
	var records []byte
	last := uint64(0)
	for _, index := range indexes {
		h := v[index]
		at, known := position[h]
		if !known {
			at = len(position)
			position[h] = at
			reasons = binary.AppendUvarint(reasons, uint64(len(h.Value())))
			reasons = append(reasons, h.Value()...)
		}
		records = binary.AppendUvarint(records, index-last)
		records = binary.AppendUvarint(records, uint64(at))
		last = index
	}
	b := binary.AppendUvarint(nil, uint64(len(position)))
	b = append(b, reasons...)
	b = binary.AppendUvarint(b, uint64(len(indexes)))
	return append(b, records...)
}

func decodeVoids(r *bufio.Reader) (Voids, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	var reasons []unique.Handle[string]
	for range n {
		length, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, err
		}
		if length > reasonBytesMax {
			return nil, fmt.Errorf("a reason of %d bytes", length)
		}
		text := make([]byte, length)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		reasons = append(reasons, unique.Make(string(text)))
	}
	if n, err = binary.ReadUvarint(r); err != nil {
		return nil, err
	}
	voids := Voids{}
	index := uint64(0)
	for range n {
		step, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, err
		}
		at, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, err
		}
		if at >= uint64(len(reasons)) {
			return nil, fmt.Errorf("reason %d of %d", at, len(reasons))
		}
		index += step
		voids[index] = reasons[at]
	}
	return voids, nil
}
