package eventlog

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestLiveFileStaysBounded appends, and seals what is older than the newest records: the
// database uses the pages again that it is left with. QUORATE_SEAL_RECORDS sets how many
// records it is tried with.
func TestLiveFileStaysBounded(t *testing.T) {
	t.Parallel()
	alone(t)
	const keep, batch, bytesMax = 10_000, 5000, 8 << 20
	records := uint64(100_000)
	if text := os.Getenv("QUORATE_SEAL_RECORDS"); text != "" {
		var err error
		if records, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	s, err := OpenStore(filepath.Join(t.TempDir(), StoreFile), StoreOptions{Unsynced: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var head Head
	var largest int64
	for head.Index < records {
		if err := s.Commit(Commit{Records: chain(t, &head, batch)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Seal(t.Context(), head.Index-min(head.Index, keep)); err != nil {
			t.Fatal(err)
		}
		z, err := s.Sizes()
		if err != nil {
			t.Fatal(err)
		}
		if largest = max(largest, z.LiveBytes); z.LiveBytes > bytesMax {
			t.Fatalf("at %d the live file has %d bytes", head.Index, z.LiveBytes)
		}
	}
	z, err := s.Sizes()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(t.Context(), 1<<40); err != nil {
		t.Error(err)
	}
	t.Logf("%d records: the live file had at most %d bytes; %d segments have %d", head.Index, largest, z.Segments, z.SegmentBytes)
}
