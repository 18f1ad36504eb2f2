package eventlog

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// formatOf reads what a store says about its file.
func formatOf(t *testing.T, s *Store) (format uint16) {
	t.Helper()
	err := s.view(func(tx *bolt.Tx) error {
		format = binary.BigEndian.Uint16(tx.Bucket(bucketMeta).Get(keyFormat))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return format
}

// TestSegmentsChangeTheFormat wants programs that know nothing of segments to refuse a
// file from the first one on, and not before: they would open it, and miss records.
func TestSegmentsChangeTheFormat(t *testing.T) {
	t.Parallel()
	s, _ := sealedStore(t, 5000, 4000) // too few for a segment
	if format := formatOf(t, s); format != formatVersion {
		t.Errorf("format %d before there is a segment", format)
	}
	if _, err := s.Seal(t.Context(), 5000); err != nil {
		t.Fatal(err)
	}
	if format := formatOf(t, s); format != formatSegmented {
		t.Errorf("format %d beside a segment", format)
	}
	if err := compactNow(s); err != nil {
		t.Fatal(err)
	}
	if format := formatOf(t, s); format != formatSegmented {
		t.Errorf("format %d once it is written anew", format)
	}
	whole := filepath.Join(filepath.Dir(s.Path()), "whole.db")
	other, err := OpenStore(whole, StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var head Head
	if err := errors.Join(other.Commit(Commit{Records: chain(t, &head, 10)}), other.Close(), s.Replace(whole)); err != nil {
		t.Fatal(err)
	}
	if format := formatOf(t, s); format != formatVersion {
		t.Errorf("format %d once the segments are gone", format)
	}
}

// TestNothingMovesBehindAFailedCommit wants a store whose commit may or may not be on
// the disk to leave it alone, until it is opened again.
func TestNothingMovesBehindAFailedCommit(t *testing.T) {
	t.Parallel()
	s, _ := sealedStore(t, 5000, 0)
	cause := errors.New("the disk is gone")
	s.metaMu.Lock()
	s.failed = cause
	s.metaMu.Unlock()
	if last, err := s.Seal(t.Context(), 5000); !errors.Is(err, cause) || last != 0 {
		t.Errorf("sealed up to %d: %v", last, err)
	}
}

// TestSegmentsWithoutTheirLog wants a missing or empty database beside segments to be
// told from a log that is yet to begin, by whoever opens it.
func TestSegmentsWithoutTheirLog(t *testing.T) {
	t.Parallel()
	s, _ := sealedStore(t, 5000, 5000)
	if err := errors.Join(s.Close(), os.Remove(s.Path())); err != nil {
		t.Fatal(err)
	}
	for _, opt := range []StoreOptions{{}, {}, {ReadOnly: true}} { // the first leaves an empty one
		_, err := OpenStore(s.Path(), opt)
		if corrupt, ok := errors.AsType[*CorruptError](err); !ok || !strings.Contains(corrupt.Reason, "holds segments of it") {
			t.Errorf("%+v: %v", opt, err)
		}
	}
	if err := os.Truncate(s.Path(), 0); err != nil {
		t.Fatal(err)
	}
	_, err := OpenStore(s.Path(), StoreOptions{ReadOnly: true})
	if corrupt, ok := errors.AsType[*CorruptError](err); !ok || corrupt.Reason != "the file is empty" {
		t.Errorf("an empty file: %v", err)
	}
}
