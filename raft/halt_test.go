package raft

import (
	"errors"
	"strings"
	"testing"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

func TestHaltedReplicaStaysHalted(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	if _, err := n.Append(t.Context(), []eventlog.Entry{logtest.Entry(t, 1, "before")}); err != nil {
		t.Fatal(err)
	}
	if err := n.Halt("record 7 differs from two others"); err != nil {
		t.Fatal(err)
	}
	<-n.Done()
	if err := n.Err(); !errors.Is(err, ErrHalted) {
		t.Errorf("ended with %v", err)
	}
	if _, err := n.Append(t.Context(), []eventlog.Entry{logtest.Entry(t, 1, "after")}); err == nil {
		t.Error("a halted replica appends")
	}
	if page, err := n.Read(t.Context(), 1, 9); err != nil || len(page) != 1 {
		t.Errorf("a halted replica is not read: %d records, %v", len(page), err)
	}
	if err := n.Halt("a second reason"); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := tryStart(t, Config{DataDir: dir, Bootstrap: true})
		if !errors.Is(err, ErrHalted) || !strings.Contains(err.Error(), "record 7 differs") || !strings.Contains(err.Error(), "--replace 1") {
			t.Fatalf("started after a halt: %v", err)
		}
	}
}
