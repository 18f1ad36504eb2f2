package relay

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestDirectoryRemoved: who reads a blob while the cache's directory is removed under it is
// told so at once, and who asks again gets it.
func TestDirectoryRemoved(t *testing.T) {
	t.Parallel()
	o, dir := newOrigin(t), filepath.Join(t.TempDir(), "cache")
	digest, content := o.add(100_000)
	removed := false // is the only fetch's at a time
	c, err := NewCache(dir, 0, 0, func(ctx context.Context) (Stream, error) {
		if !removed {
			removed = true
			if err := os.RemoveAll(dir); err != nil {
				return nil, err
			}
		}
		return o.open(ctx)
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Wait)
	if got, err := readAll(t.Context(), c, digest, 0); err == nil {
		t.Errorf("%d bytes are read of what is gone: %v", len(got), err)
	}
	o.mu.Lock()
	asked := len(o.asked)
	o.mu.Unlock()
	if asked != 1 {
		t.Errorf("%d requests for what there is no place for, want one", asked)
	}
	if got, err := readAll(t.Context(), c, digest, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes when it is asked for again, want %d: %v", len(got), len(content), err)
	}
}
