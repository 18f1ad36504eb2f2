package journal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// A frame is a 4-byte length of the record, a 4-byte CRC-32C of all that is not
// the CRC, the 8-byte size of the file that was known to be synced when the frame
// was written, and the record. Numbers are big-endian.
const (
	formatVersion  = 7
	fileName       = "log"
	newFileName    = "log.new"
	headerBytes    = 16
	recordBytesMax = 32 << 20
	journalIDBytes = 16
)

// ErrCorrupt is wrapped by errors about a journal that is damaged where it had
// been synced. An agent must not work with it: what it did is not known.
var ErrCorrupt = errors.New("journal is corrupt")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendFrame(dst []byte, r Record, synced int64) ([]byte, error) {
	body, err := encodeRecord(r)
	if err != nil {
		return dst, err
	}
	if len(body) > recordBytesMax {
		return dst, fmt.Errorf("journal record of %d bytes: limit is %d", len(body), recordBytesMax)
	}
	var h [headerBytes]byte
	binary.BigEndian.PutUint32(h[0:], uint32(len(body)))
	binary.BigEndian.PutUint64(h[8:], uint64(synced))
	binary.BigEndian.PutUint32(h[4:], frameCRC(h[:], body))
	return append(append(dst, h[:]...), body...), nil
}

func frameCRC(header, body []byte) uint32 {
	c := crc32.Update(0, castagnoli, header[0:4])
	c = crc32.Update(c, castagnoli, header[8:16])
	return crc32.Update(c, castagnoli, body)
}

// readFrame returns the record's bytes of the frame at the start of data, the
// synced size in it, and the length of the frame; length 0 is no valid frame.
func readFrame(data []byte) (body []byte, synced int64, length int) {
	if len(data) < headerBytes {
		return nil, 0, 0
	}
	n := binary.BigEndian.Uint32(data)
	if n == 0 || n > recordBytesMax || uint64(n) > uint64(len(data)-headerBytes) {
		return nil, 0, 0
	}
	body = data[headerBytes : headerBytes+int(n)]
	if frameCRC(data, body) != binary.BigEndian.Uint32(data[4:]) {
		return nil, 0, 0
	}
	return body, int64(binary.BigEndian.Uint64(data[8:])), headerBytes + int(n)
}

// versionNumbered is the first format in which the beginning of an attempt has a
// report with a number, versionPublishing the first in which jobs publish values,
// versionSites the first in which attempts wait for those of other agents, and for
// places, versionOutputs the first in which ends carry outputs; versionOldest is the
// oldest that is read.
const (
	versionOutputs    = 7
	versionSites      = 6
	versionPublishing = 3
	versionNumbered   = 2
	versionOldest     = 1
)

// replay folds the frames of data and returns how much of it is valid. What
// follows a bad frame may be cut off only as far as it was not synced: a valid
// frame behind, that was written when the bad one's place was synced already,
// proves damage.
func replay(data []byte) (*State, int64, error) {
	s := newState()
	pos := 0
	decode := decodeRecord
	for pos < len(data) {
		body, _, n := readFrame(data[pos:])
		if n == 0 {
			break
		}
		r, err := decode(body)
		if err == nil && pos == 0 && r.Kind() != KindSummary {
			err = fmt.Errorf("it begins with a record of kind %d", r.Kind())
		}
		if sum, ok := r.(*Summary); err == nil && ok {
			if sum.Version < versionOldest || sum.Version > formatVersion {
				return nil, 0, fmt.Errorf("journal has format version %d, this program knows %d to %d", sum.Version, versionOldest, formatVersion)
			}
			switch {
			case sum.Version < versionNumbered:
				decode = decodeUnnumbered
			case sum.Version < versionPublishing:
				decode = decodeSilent
			case sum.Version < versionSites:
				decode = decodeSingle
			case sum.Version < versionOutputs:
				decode = decodeMute
			}
		}
		if err == nil {
			err = s.Apply(r)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%w: byte %d: %w", ErrCorrupt, pos, err)
		}
		pos += n
	}
	if at, ok := syncedBehind(data, pos); ok {
		return nil, 0, fmt.Errorf("%w: byte %d is damaged, the record at byte %d says that it was synced", ErrCorrupt, pos, at)
	}
	return s, int64(pos), nil
}

// syncedBehind looks for a valid frame behind the bad one at pos that was written
// when the file was synced beyond pos.
func syncedBehind(data []byte, pos int) (int, bool) {
	for at := pos + 1; at+headerBytes <= len(data); at++ {
		if data[at] == 0 && data[at+1] == 0 && data[at+2] == 0 && data[at+3] == 0 {
			continue
		}
		if _, synced, n := readFrame(data[at:]); n != 0 && synced > int64(pos) {
			return at, true
		}
	}
	return 0, false
}

// create writes the first file of a journal.
func create(dir string) error {
	var id [journalIDBytes]byte
	rand.Read(id[:])
	s := newState()
	s.JournalID = hex.EncodeToString(id[:])
	f, _, err := rewrite(dir, s)
	if err != nil {
		return err
	}
	return f.Close()
}

// rewrite puts a new file in place that holds nothing but the state, synced, and
// returns it open for appending, with its size.
func rewrite(dir string, s *State) (*os.File, int64, error) {
	var buf bytes.Buffer
	for _, r := range s.Records() {
		b, err := appendFrame(nil, r, 0)
		if err != nil {
			return nil, 0, err
		}
		buf.Write(b)
	}
	path := filepath.Join(dir, newFileName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("journal file: %w", err)
	}
	_, err = f.Write(buf.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(path, filepath.Join(dir, fileName))
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("journal file: %w", err)
	}
	return f, int64(buf.Len()), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// load opens the journal's file and replays it, making one where there is none.
func load(dir string) (*os.File, *State, int64, error) {
	path := filepath.Join(dir, fileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, nil, 0, fmt.Errorf("journal directory: %w", err)
		}
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return nil, nil, 0, fmt.Errorf("journal directory: %w", err)
		}
		if err := create(dir); err != nil {
			return nil, nil, 0, err
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("journal file: %w", err)
	}
	s, valid, err := replay(data)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	if valid == 0 {
		// The file is put in place whole and synced, so it was never empty.
		return nil, nil, 0, fmt.Errorf("%s: %w: it has no beginning", path, ErrCorrupt)
	}
	if s.outdated { // no records of two formats in one file
		s.unnumbered, s.outdated = false, false
		f, size, err := rewrite(dir, s)
		return f, s, size, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("journal file: %w", err)
	}
	if valid < int64(len(data)) {
		if err := f.Truncate(valid); err != nil {
			f.Close()
			return nil, nil, 0, fmt.Errorf("journal file: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return nil, nil, 0, fmt.Errorf("journal file: %w", err)
	}
	return f, s, valid, nil
}
