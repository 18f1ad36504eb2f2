package raft

import (
	"context"
	"testing"
	"time"

	"quorate/eventlog/logtest"
)

func start(tb testing.TB, dir string) *Node {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
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
	logtest.RunKilled(t, subject(), 3, 300)
}
