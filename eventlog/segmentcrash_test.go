package eventlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

var errCrash = errors.New("the machine went down")

// TestCrashAtEveryStep copies the files at each step of sealing, as a crash there leaves
// them, and wants the whole log of each copy.
func TestCrashAtEveryStep(t *testing.T) {
	t.Parallel()
	alone(t)
	s, err := OpenStore(stored(t, segmentRecordsMax+segmentRecordsMin), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	want := allOf(t, s)
	dir := t.TempDir()
	var copies, steps []string
	s.crashed = func(step string) error {
		if !slices.Contains(steps, step) {
			steps = append(steps, step)
		} else if step == "writing" {
			return nil // there are many, all alike
		}
		to := filepath.Join(dir, fmt.Sprintf("%02d-%s", len(copies), step))
		copies = append(copies, filepath.Join(to, StoreFile))
		copyStore(t, s.Path(), filepath.Join(to, StoreFile))
		return nil
	}
	if _, err := s.Seal(t.Context(), segmentRecordsMax+segmentRecordsMin); err != nil {
		t.Fatal(err)
	}
	if want := []string{"writing", "unsynced", "written", "renamed", "durable", "uncommitted", "committed"}; !slices.Equal(steps, want) {
		t.Fatalf("steps %q, want %q", steps, want)
	}
	for _, path := range copies {
		wholeAgain(t, path, want)
	}
}

// wholeAgain opens what a crash left, reads it, and goes on where it was.
func wholeAgain(t *testing.T, path string, want []Record) {
	t.Helper()
	step := filepath.Base(filepath.Dir(path))
	if head, hash, err := Verify(path); err != nil || head != uint64(len(want)) || hash != want[head-1].Hash {
		t.Fatalf("after %s: verified to %d: %v", step, head, err)
	}
	s, err := OpenStore(path, StoreOptions{})
	if err != nil {
		t.Fatalf("after %s: %v", step, err)
	}
	defer s.Close()
	sameRecords(t, allOf(t, s), want)
	to := want[len(want)-1].Index
	if last, err := s.Seal(t.Context(), to); err != nil || last < to/segmentRecordsMin*segmentRecordsMin {
		t.Fatalf("after %s: sealed to %d: %v", step, last, err)
	}
	sameRecords(t, allOf(t, s), want)
	if names, err := s.segmentFiles(); err != nil || len(names) != len(s.segments.all()) {
		t.Errorf("after %s: %q are left: %v", step, names, err)
	}
}

// TestErrorAtEveryStep fails each step: the log stays whole, in this process and in the
// next one.
func TestErrorAtEveryStep(t *testing.T) {
	t.Parallel()
	alone(t)
	for _, step := range []string{"writing", "unsynced", "written", "renamed", "durable", "uncommitted", "committed"} {
		for _, cause := range []error{errCrash, syscall.ENOSPC} {
			t.Run(fmt.Sprint(step, cause), func(t *testing.T) {
				s, err := OpenStore(stored(t, 5000), StoreOptions{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				want := allOf(t, s)
				s.crashed = func(at string) error {
					if at == step {
						return cause
					}
					return nil
				}
				_, err = s.Seal(t.Context(), 5000)
				if !errors.Is(err, cause) || errors.Is(err, ErrFull) != (cause == syscall.ENOSPC) {
					t.Fatal(err)
				}
				s.crashed = nil
				sameRecords(t, allOf(t, s), want)
				if cause == syscall.ENOSPC {
					head := s.Head()
					if err := s.Commit(Commit{Records: chain(t, &head, 10)}); err != nil {
						t.Fatal("the store does not go on:", err)
					}
					want = allOf(t, s)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				wholeAgain(t, s.Path(), want)
			})
		}
	}
}

// TestCompactionIsSafe makes an old log small, and copies it at each step of that.
func TestCompactionIsSafe(t *testing.T) {
	t.Parallel()
	alone(t)
	const n = 160_000
	s, err := OpenStore(filepath.Join(t.TempDir(), StoreFile), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var head Head
	for head.Index < n {
		if err := s.Commit(Commit{Records: chain(t, &head, 20_000)}); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	var copies []string
	s.crashed = func(step string) error {
		if step == "copied" || step == "compacted" {
			path := filepath.Join(dir, step, StoreFile)
			copies = append(copies, path)
			copyStore(t, s.Path(), path)
		}
		return nil
	}
	before, err := s.Sizes()
	if err != nil {
		t.Fatal(err)
	}
	s.room = func(string) (uint64, error) { return compactSpareBytes, nil }
	if _, err := s.Seal(t.Context(), n-20_000); err != nil {
		t.Fatal(err)
	}
	if tight, err := s.Sizes(); err != nil || tight.LiveBytes < before.LiveBytes {
		t.Errorf("without room for both files %+v became %+v: %v", before, tight, err)
	}
	s.room = func(string) (uint64, error) { return 2 * compactSpareBytes, nil }
	last, err := s.Seal(t.Context(), n-2000)
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.Sizes()
	if err != nil || last < n-2000-segmentRecordsMin || after.LiveBytes > before.LiveBytes/10 {
		t.Errorf("%+v became %+v: %v", before, after, err)
	}
	if err := s.Commit(Commit{Records: chain(t, &head, 10)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || len(copies) != 2 {
		t.Fatal(copies, err)
	}
	for path, want := range map[string]uint64{s.Path(): n + 10, copies[0]: n, copies[1]: n} {
		if got, _, err := Verify(path); err != nil || got != want {
			t.Errorf("%s: verified to %d of %d: %v", path, got, want, err)
		}
	}
}

const sealChildVariable = "QUORATE_SEAL_DIR"

// TestKilledWhileSealing kills a process that appends and seals, again and again: what
// it said to be stored is there.
func TestKilledWhileSealing(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(sealChildVariable); dir != "" {
		sealUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, StoreFile)
	segmented := uint64(0)
	for round := range 8 {
		acknowledged := killSealing(t, dir, 3+round%3)
		head, _, err := Verify(path)
		if err != nil || head < acknowledged {
			t.Fatalf("round %d: verified to %d of %d: %v", round, head, acknowledged, err)
		}
		s, err := OpenStore(path, StoreOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var want Head
		sameRecords(t, allOf(t, s), chain(t, &want, int(head)))
		segmented = s.Sealed()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if segmented == 0 {
		t.Error("nothing was sealed")
	}
}

// killSealing returns the last index that a child said to be stored.
func killSealing(t *testing.T, dir string, lines int) (acknowledged uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileSealing$", "-test.count=1")
	cmd.Env = append(os.Environ(), sealChildVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err := errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	scan := bufio.NewScanner(out)
	for n := 0; scan.Scan(); {
		text, is := strings.CutPrefix(scan.Text(), "stored ")
		if !is {
			continue
		}
		if acknowledged, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
		if n++; n == lines {
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	return acknowledged
}

func sealUntilKilled(t *testing.T, dir string) {
	s, err := OpenStore(filepath.Join(dir, StoreFile), StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if _, err := s.Seal(context.Background(), s.Head().Index); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}()
	head := s.Head()
	for {
		if err := s.Commit(Commit{Records: chain(t, &head, 2000)}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("stored", head.Index)
	}
}

// TestFullDisk seals where there is no room for a segment, on a real file system.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skip("needs the right to mount:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, StoreFile)
	s, err := OpenStore(path, StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var head Head
	for head.Index < 8192 {
		if err := s.Commit(Commit{Records: chain(t, &head, 512)}); err != nil {
			t.Fatal(err)
		}
	}
	want := allOf(t, s)
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(t.Context(), 8192); !errors.Is(err, ErrFull) {
		t.Fatal("sealed on a full disk:", err)
	}
	sameRecords(t, allOf(t, s), want)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if last, err := s.Seal(t.Context(), 8192); err != nil || last != 8192 {
		t.Fatal(last, err)
	}
	sameRecords(t, allOf(t, s), want)
}
