package raft

import (
	"fmt"
	"strings"
	"testing"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

// BenchmarkRaftAppend measures one event an Append, from many writers.
func BenchmarkRaftAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			n := start(b, b.TempDir())
			entries := []eventlog.Entry{logtest.Entry(b, 1, strings.Repeat("x", 280))}
			logtest.AppendFrom(b, n, writers, entries)
			if err := n.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRaftAppendBatch measures events in Appends of 64, from 8 writers.
func BenchmarkRaftAppendBatch(b *testing.B) {
	n := start(b, b.TempDir())
	var entries []eventlog.Entry
	for range 64 {
		entries = append(entries, logtest.Entry(b, 1, strings.Repeat("x", 280)))
	}
	logtest.AppendFrom(b, n, 8, entries)
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
}
