package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// The sidecar is a small file beside Raft's log that says what the log holds, so
// that a log which lost or changed anything is noticed at start (D1). Two slots
// are overwritten in turn, in place: a crash tears at most the one that is being
// written, and no write changes the file's size, so that syncing it is cheap.
const (
	sidecarFile      = "guard"
	sidecarMagic     = "QUOGRD01"
	sidecarSlotBytes = 64 << 10
	sidecarSlots     = 2

	// A slot is magic (8), checksum (4) of what follows, length (4) of the whole,
	// sequence (8), replica (8), two claims, and an update to the end.
	slotChecksumAt = len(sidecarMagic)
	slotLengthAt   = slotChecksumAt + 4
	slotSequenceAt = slotLengthAt + 4
	slotReplicaAt  = slotSequenceAt + 8
	slotClaimsAt   = slotReplicaAt + 8
	slotUpdateAt   = slotClaimsAt + 2*claimBytes
	// updateBytesMax is the largest update that a slot mirrors.
	updateBytesMax = sidecarSlotBytes - slotUpdateAt
)

// A claim is what Raft's log is known to hold, durably.
type claim struct {
	// base and last bound the entries: those behind base, up to last.
	base, last uint64
	// snapshot is the index of the newest snapshot on record.
	snapshot uint64
	// term and vote are those this replica must not go back behind: it could vote
	// twice in a term.
	term, vote uint64
	// baseHash and hash are the chain's at base and at last.
	baseHash, hash entryHash
}

const claimBytes = 5*8 + 2*len(entryHash{})

func (c *claim) append(b []byte) []byte {
	for _, v := range []uint64{c.base, c.last, c.snapshot, c.term, c.vote} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, c.baseHash[:]...)
	return append(b, c.hash[:]...)
}

func decodeClaim(b []byte) (c claim) {
	for i, v := range []*uint64{&c.base, &c.last, &c.snapshot, &c.term, &c.vote} {
		*v = binary.BigEndian.Uint64(b[8*i:])
	}
	n := copy(c.baseHash[:], b[40:])
	copy(c.hash[:], b[40+n:])
	return c
}

// A slot is one state of the sidecar.
type slot struct {
	sequence, replica uint64
	// after is what the log holds once update is in it, and before what it held
	// without. A slot without an update has the same twice.
	before, after claim
	update        []byte
}

func (s *slot) encode(b []byte) []byte {
	b = append(b[:0], sidecarMagic...)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(slotUpdateAt+len(s.update)))
	b = binary.BigEndian.AppendUint64(b, s.sequence)
	b = binary.BigEndian.AppendUint64(b, s.replica)
	b = s.before.append(b)
	b = s.after.append(b)
	b = append(b, s.update...)
	binary.BigEndian.PutUint32(b[slotChecksumAt:], crc32.Checksum(b[slotLengthAt:], castagnoli()))
	return b
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// decodeSlot returns false where b does not hold a whole slot.
func decodeSlot(b []byte) (s slot, ok bool) {
	if len(b) < slotUpdateAt || string(b[:len(sidecarMagic)]) != sidecarMagic {
		return slot{}, false
	}
	n := uint64(binary.BigEndian.Uint32(b[slotLengthAt:]))
	if n < uint64(slotUpdateAt) || n > uint64(len(b)) {
		return slot{}, false
	}
	b = b[:n]
	if crc32.Checksum(b[slotLengthAt:], castagnoli()) != binary.BigEndian.Uint32(b[slotChecksumAt:]) {
		return slot{}, false
	}
	return slot{
		sequence: binary.BigEndian.Uint64(b[slotSequenceAt:]),
		replica:  binary.BigEndian.Uint64(b[slotReplicaAt:]),
		before:   decodeClaim(b[slotClaimsAt:]),
		after:    decodeClaim(b[slotClaimsAt+claimBytes:]),
		update:   b[slotUpdateAt:],
	}, true
}

// A sidecar is the open file. It is not safe for concurrent use.
type sidecar struct {
	path     string
	file     *os.File
	replica  uint64
	sequence uint64 // of the newest slot
	buf      []byte
}

var errSidecarDamaged = errors.New("no part of it can be read")

// createSidecar makes a file that claims nothing, durably.
func createSidecar(path string, replica uint64) (*sidecar, error) {
	first := slot{sequence: 1, replica: replica}
	content := make([]byte, sidecarSlots*sidecarSlotBytes)
	for i := range sidecarSlots {
		first.sequence = uint64(sidecarSlots + i)
		copy(content[first.sequence%sidecarSlots*sidecarSlotBytes:], first.encode(nil))
	}
	if err := writeDurably(path, content); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s, _, _, err := openSidecar(path, replica)
	return s, err
}

// openSidecar opens the file and returns its newest slot; whole is false where
// another slot cannot be read, which a crash leaves behind. The error wraps
// fs.ErrNotExist where there is no file, and [errSidecarDamaged] where no slot
// can be read.
func openSidecar(path string, replica uint64) (s *sidecar, newest slot, whole bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, slot{}, false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	found := 0
	for i := range int64(sidecarSlots) {
		b := make([]byte, sidecarSlotBytes)
		n, err := f.ReadAt(b, i*sidecarSlotBytes)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, slot{}, false, fmt.Errorf("%s: %w", path, err)
		}
		at, ok := decodeSlot(b[:n])
		if !ok || int64(at.sequence%sidecarSlots) != i {
			continue
		}
		found++
		if at.sequence > newest.sequence {
			newest = at
		}
	}
	if found == 0 {
		return nil, slot{}, false, fmt.Errorf("%s: %w", path, errSidecarDamaged)
	}
	if newest.replica != replica {
		return nil, slot{}, false, fmt.Errorf("%s is of replica %d: %w", path, newest.replica, errSidecarDamaged)
	}
	s = &sidecar{path: path, file: f, replica: replica, sequence: newest.sequence, buf: make([]byte, 0, sidecarSlotBytes)}
	return s, newest, found == sidecarSlots, nil
}

// sidecarReplica returns whose a sidecar is, or 0 where no slot can be read.
func sidecarReplica(path string) (uint64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for b := range slices.Chunk(content, sidecarSlotBytes) {
		if at, ok := decodeSlot(b); ok {
			return at.replica, nil
		}
	}
	return 0, nil
}

// write puts a state into the slot that is older, and syncs it.
func (s *sidecar) write(before, after claim, update []byte) error {
	at := slot{sequence: s.sequence + 1, replica: s.replica, before: before, after: after, update: update}
	s.buf = at.encode(s.buf)
	if _, err := s.file.WriteAt(s.buf, int64(at.sequence%sidecarSlots)*sidecarSlotBytes); err != nil {
		return fmt.Errorf("raft guard: %w", err)
	}
	if err := unix.Fdatasync(int(s.file.Fd())); err != nil {
		return fmt.Errorf("raft guard: sync of %s: %w", s.path, err)
	}
	s.sequence = at.sequence
	return nil
}

func (s *sidecar) close() error { return s.file.Close() }

// sidecarPath is beside the library's own directories.
func sidecarPath(nodeHostDir string) string { return filepath.Join(nodeHostDir, sidecarFile) }

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
