package runner

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOutputHeadAndTail(t *testing.T) {
	r := newRunner(t)
	e, err := r.Run(t.Context(), Command{Ref: Ref{Attempt: 1}, Script: `printf first; head -c 200000 /dev/zero | tr '\0' x; printf last`})
	if err != nil {
		t.Fatal(err)
	}
	o := e.Stdout
	if o.Size != 200009 || len(o.Head) != 32<<10 || len(o.Tail) != 32<<10 ||
		!bytes.HasPrefix(o.Head, []byte("first")) || !bytes.HasSuffix(o.Tail, []byte("xlast")) {
		t.Errorf("size %d, head %d, tail %d", o.Size, len(o.Head), len(o.Tail))
	}
}

// punches reports whether the file system can give back what lies in a file.
func punches(t *testing.T) bool {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 8192)); err != nil {
		t.Fatal(err)
	}
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096) == nil
}

// TestEndlessOutput: a job that never stops printing takes a bounded part of the
// disk, and the truth about how much it was is kept.
func TestEndlessOutput(t *testing.T) {
	r := newRunner(t, func(c *Config) { c.OutputBytesMax = 8 << 20 })
	ref := Ref{Attempt: 1}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var most, size int64
	var watching sync.WaitGroup
	watching.Go(func() {
		defer cancel()
		eventually(t, "much output", func() bool {
			var s syscall.Stat_t
			if syscall.Stat(outPath(r, ref), &s) == nil {
				most, size = max(most, s.Blocks*512), s.Size
			}
			return size > 100<<20
		})
	})
	e, err := r.Run(ctx, Command{Ref: ref, Script: `while head -c 1000000 /dev/zero; do sleep 0.01; done`})
	if !errors.Is(err, ErrOutput) {
		watching.Wait()
	}
	if errors.Is(err, ErrOutput) && !punches(t) {
		t.Skip("the file system cannot give space back: the job was ended instead")
	}
	if !errors.Is(err, context.Canceled) || e.Stdout.Size < 100<<20 {
		t.Fatalf("%v after %d bytes", err, e.Stdout.Size)
	}
	if most > 64<<20 {
		t.Errorf("the output took %d bytes of the disk", most)
	}
}
