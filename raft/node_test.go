package raft

import (
	"context"
	"testing"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

func start(tb testing.TB, dir string) *Node {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testDeadline)
	defer cancel()
	n, err := Start(ctx, Config{DataDir: dir, Bootstrap: true})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func subject() logtest.Subject {
	return logtest.Subject{Durable: true, Open: func(tb testing.TB, dir string) logtest.Log { return start(tb, dir) }}
}

func TestNodeKeepsTheContract(t *testing.T) { logtest.Run(t, subject()) }

func TestNodeLosesNothingAcknowledgedWhenKilled(t *testing.T) {
	t.Parallel()
	logtest.RunKilled(t, subject(), 3, 300)
}

func TestReplicaOfOneLeadsOnceStarted(t *testing.T) {
	dir := t.TempDir()
	var before uint64
	for range 3 {
		n := start(t, dir)
		term, leading, _ := n.Leading()
		if !leading || term <= before {
			t.Errorf("leading %v in term %d, the term before was %d", leading, term, before)
		}
		before = term
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClusterIDIsKeptWithTheLog(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	e, err := eventlog.NewEntry(1, &eventlog.ClusterCreated{ClusterID: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Append(t.Context(), []eventlog.Entry{e}); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = start(t, dir)
	if got := n.ClusterID(); got != "c1" {
		t.Errorf("cluster id %q", got)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if head, _, err := eventlog.Verify(n.store.Path()); err != nil || head != 1 {
		t.Errorf("verify: %d, %v", head, err)
	}
}
