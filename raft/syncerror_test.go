package raft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/vfs"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

// brokenDisk fails syncs of logs from a moment on.
type brokenDisk struct {
	config.IFS
	broken *atomic.Bool
}

func (d brokenDisk) Create(name string) (vfs.File, error) {
	f, err := d.IFS.Create(name)
	if err != nil {
		return nil, err
	}
	return vfs.WithFd(f, brokenFile{f, d.broken}), nil
}

type brokenFile struct {
	vfs.File
	broken *atomic.Bool
}

func (f brokenFile) Sync() error {
	if f.broken.Load() {
		return syscall.EIO
	}
	return f.File.Sync()
}

// brokenDiskEnv tells a child process to use a disk that breaks.
const brokenDiskEnv = "QUORATE_TEST_BROKEN_DISK"

// A disk that fails a sync ends the replica with a sentence, not the process with a
// trace. Nothing is acknowledged behind that, and what was before is there later. It
// is done in a process of its own, since a goroutine of the library is left behind.
func TestSyncThatFailsEndsTheReplica(t *testing.T) {
	if dir := os.Getenv(brokenDiskEnv); dir != "" {
		fmt.Println("ended:", useBrokenDisk(t, dir))
		os.Exit(0)
	}
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSyncThatFailsEndsTheReplica$")
	child.Env = append(os.Environ(), brokenDiskEnv+"="+dir)
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ended: raft's log cannot be written; start again when that is mended") {
		t.Fatalf("%v: %s", err, out)
	}
	n := start(t, dir)
	if head, _ := n.Head(); head < 10 {
		t.Errorf("%d records of 10 that were acknowledged", head)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// useBrokenDisk appends until the disk breaks, and returns why the replica ended.
func useBrokenDisk(t *testing.T, dir string) error {
	broken := &atomic.Bool{}
	n, err := tryStart(t, Config{DataDir: dir, Bootstrap: true, files: brokenDisk{vfs.Default, broken}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), testDeadline)
	defer cancel()
	for i := range 11 {
		broken.Store(i == 10)
		_, err := n.Append(ctx, []eventlog.Entry{logtest.Entry(t, int64(i), fmt.Sprint(i))})
		if (err != nil) != broken.Load() {
			return fmt.Errorf("append %d: %w", i, err)
		}
	}
	select {
	case <-n.Done():
		return n.Err()
	case <-ctx.Done():
		return errors.New("the replica goes on")
	}
}
