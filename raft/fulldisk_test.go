package raft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
	"quorate/raft/port"
)

// smallDisk mounts a file system of its own, which ends with the test.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("no small file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all the room there is, and returns how to give it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "somebody else's")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(testDeadline)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-ticker.C
	}
}

// smallTrio is a cluster of which replica 1 has a small disk.
func smallTrio(t *testing.T) (c *trio, disk string) {
	disk = smallDisk(t, 512<<20)
	limits := SpaceLimits{Warn: 64 << 20, Refuse: 32 << 20, Floor: 16 << 20, Ballast: 8 << 20}
	return formTrioIn(t, map[uint64]string{1: filepath.Join(disk, "1")}, func(cfg *Config) { cfg.Space = limits }), disk
}

// writer appends through a replica until it is told to stop, and counts what was
// acknowledged and what refused.
type writer struct {
	acknowledged map[string]uint64
	refused      int
	other        error // the last one that was neither
}

func (c *trio) write(t *testing.T, replica uint64, stop <-chan struct{}) *writer {
	w := &writer{acknowledged: map[string]uint64{}}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return w
		default:
		}
		text := fmt.Sprintf("%d/%d", replica, i)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		index, err := c.nodes[replica].Append(ctx, []eventlog.Entry{logtest.Entry(t, 1, text)})
		cancel()
		switch {
		case err == nil:
			w.acknowledged[text] = index
		case errors.Is(err, eventlog.ErrFull):
			w.refused++
			pause := time.NewTimer(20 * time.Millisecond)
			select {
			case <-pause.C:
			case <-stop:
			}
		default:
			w.other = err
		}
	}
}

func TestFullDiskCostsNothing(t *testing.T) {
	leaders := []uint64{1}
	if os.Getenv("QUORATE_SOAK") != "" {
		leaders = []uint64{1, 2}
	}
	for _, leader := range leaders {
		t.Run(fmt.Sprintf("leader %d", leader), func(t *testing.T) {
			c, disk := smallTrio(t)
			ctx, cancel := context.WithTimeout(t.Context(), testDeadline)
			defer cancel()
			if err := c.nodes[leader].Transfer(ctx, leader); err != nil {
				t.Fatal(err)
			}
			until(t, "a ballast", newBallast(filepath.Join(c.data(1), raftDir), 0).there)
			stop := make(chan struct{})
			var running sync.WaitGroup
			var writers [3]*writer
			for i := range writers {
				running.Go(func() { writers[i] = c.write(t, uint64(i+1), stop) })
			}
			free := fill(t, disk)
			until(t, "replica 1 pauses", c.nodes[1].disk.isPaused)
			until(t, "another leads", func() bool {
				replica, _, known := c.nodes[2].Leader()
				return known && replica != 1
			})
			if _, err := c.nodes[1].Append(ctx, []eventlog.Entry{logtest.Entry(t, 1, "no room")}); !errors.Is(err, eventlog.ErrFull) {
				t.Errorf("append without room: %v", err)
			}
			if page, err := c.nodes[1].Read(ctx, 1, 1); err != nil || len(page) != 1 {
				t.Errorf("read without room: %d records, %v", len(page), err)
			}
			if got := c.nodes[1].Alarms(); len(got) != 2 || got[1].Code != AlarmReadOnly {
				t.Errorf("alarms without room: %v", got)
			}
			fill(t, disk) // also what the ballast gave back
			before := c.append(t, 2, 50, "without replica 1 ")
			if os.Getenv("QUORATE_SOAK") != "" { // so much that Raft's log goes on in another file
				before = c.append(t, 2, 70, strings.Repeat("x", 1<<20-100))
			}
			c.agree(t, before, 2, 3)
			free()
			until(t, "replica 1 goes on", func() bool { return !c.nodes[1].disk.isPaused() })
			c.settle(t, 1, before)
			until(t, "replica 1 appends", func() bool {
				_, err := c.nodes[1].Append(ctx, []eventlog.Entry{logtest.Entry(t, 1, "room again")})
				return err == nil
			})
			close(stop)
			running.Wait()
			c.agree(t, c.append(t, 3, 1, "the end "), 1, 2, 3)
			c.check(t, writers[:])
			if err := c.nodes[1].Err(); err != nil {
				t.Errorf("replica 1 ended: %v", err)
			}
		})
	}
}

// check looks for everything that was acknowledged where it was said to be.
func (c *trio) check(t *testing.T, writers []*writer) {
	t.Helper()
	for i, w := range writers {
		for text, index := range w.acknowledged {
			page, err := c.nodes[1].Read(t.Context(), index, 1)
			if err != nil || len(page) != 1 || string(page[0].Data) != string(logtest.Entry(t, 1, text).Data) {
				t.Fatalf("record %d, %q, was acknowledged and is not there: %v", index, text, err)
			}
		}
		t.Logf("by replica %d: %d acknowledged, %d refused, %v", i+1, len(w.acknowledged), w.refused, w.other)
	}
}

// Whatever else is written keeps its old content where there is no room.
func TestOtherFilesSurviveAFullDisk(t *testing.T) {
	disk := smallDisk(t, 1<<20)
	blobs, err := eventlog.OpenBlobs(filepath.Join(disk, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := blobs.PutBytes([]byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(disk, "peers.json")
	book, err := port.OpenBook(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Set(map[uint64]string{1: "a:1"}); err != nil {
		t.Fatal(err)
	}
	free := fill(t, disk)
	if _, err := blobs.PutBytes(make([]byte, 1<<16)); !errors.Is(err, eventlog.ErrFull) {
		t.Errorf("blob without room: %v", err)
	}
	if content, err := blobs.Get(kept); err != nil || string(content) != "kept" {
		t.Errorf("blob from before: %q, %v", content, err)
	}
	if err := book.Set(map[uint64]string{1: "a:1", 2: "b:2"}); err == nil {
		t.Error("the address book was stored without room")
	}
	again, err := port.OpenBook(path)
	if err != nil {
		t.Fatal(err)
	}
	if address, ok := again.Address(1); !ok || address != "a:1" {
		t.Errorf("address from before: %q", address)
	}
	if err := os.MkdirAll(filepath.Join(disk, raftDir), 0o700); err != nil {
		t.Log("no directory without room:", err)
	}
	if err := markHalted(disk, "no room"); err == nil {
		t.Error("marked without room")
	}
	if _, err := tryStart(t, Config{DataDir: filepath.Join(disk, "new"), Bootstrap: true}); err == nil {
		t.Error("started without room")
	} else {
		t.Log(err)
	}
	free()
	if _, err := blobs.PutBytes(make([]byte, 1<<16)); err != nil {
		t.Errorf("blob with room: %v", err)
	}
	if err := book.Set(map[uint64]string{1: "a:1", 2: "b:2"}); err != nil {
		t.Errorf("address book with room: %v", err)
	}
}
