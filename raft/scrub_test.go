package raft

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

// bbolt returns a flipped bit as data (B1): a read or the scrub finds it, and the
// replica that has it neither serves nor votes again.
func TestDamageInTheStoreHaltsTheReplica(t *testing.T) {
	t.Parallel()
	for name, find := range map[string]func(*Node){
		"scrub": func(n *Node) { n.scrub(0, 1<<40) },
		"read": func(n *Node) {
			n.machine.tail.Reset(n.machine.tail.Head()) // as if it had been long ago
			for from := uint64(1); from < 200; from += 10 {
				page, err := n.Read(t.Context(), from, 10)
				if want := from <= 77 && 77 < from+10; (err != nil) != want {
					t.Errorf("read from %d: %d records, %v", from, len(page), err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) { testDamageHalts(t, find) })
	}
}

func testDamageHalts(t *testing.T, find func(*Node)) {
	dir := t.TempDir()
	n := start(t, dir)
	for i := range 200 {
		e := logtest.Entry(t, int64(i), fmt.Sprintf("<%d>%s", i+1, strings.Repeat("x", 500)))
		if _, err := n.Append(t.Context(), []eventlog.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.machine.flush(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, eventlog.StoreFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("<77>x"))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("y"), int64(at+10))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	find(n)
	<-n.Done()
	if err := n.Err(); !errors.Is(err, ErrHalted) || !strings.Contains(err.Error(), "at index 77") {
		t.Fatalf("ended with %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := tryStart(t, Config{DataDir: dir}); !errors.Is(err, ErrHalted) {
		t.Fatalf("started: %v", err)
	}
}
