package nodeagent

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"quorate/internal/blobcache"
)

// What was used longest ago goes first, and what was used just now stays, also where
// the rest does not fit then.
func TestPrune(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		bytesMax int64
		since    time.Time
		want     []string
	}{
		"all fit":             {30, now, []string{"a", "b", "c"}},
		"the oldest goes":     {25, now, []string{"b", "c"}},
		"none fits":           {0, now, nil},
		"those in use remain": {0, now.Add(-90 * time.Minute), []string{"b", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir, err := blobcache.Open(root)
			if err != nil {
				t.Fatal(err)
			}
			c := &blobCache{dir: dir, agent: &agent{provisions: &provisions{}}}
			for n, file := range []string{"a", "b", "c"} { // used three, one and no hours ago
				path := filepath.Join(root, file[:1]+"0", file)
				used := now.Add(-[]time.Duration{3, 1, 0}[n] * time.Hour)
				for _, err := range []error{
					os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, make([]byte, 10), 0o600), os.Chtimes(path, used, used),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := c.prune(tt.bytesMax, tt.since); err != nil {
				t.Fatal(err)
			}
			left, err := filepath.Glob(filepath.Join(root, "*", "*"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, path := range left {
				got = append(got, filepath.Base(path))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%v are left, want %v", got, tt.want)
			}
		})
	}
}
