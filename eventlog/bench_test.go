package eventlog_test

import (
	"fmt"
	"strings"
	"testing"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

// BenchmarkEmbeddedAppend measures one event an Append, from many writers.
func BenchmarkEmbeddedAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			log, err := eventlog.OpenEmbedded(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			logtest.AppendFrom(b, log, writers, []eventlog.Entry{logtest.Entry(b, 1, strings.Repeat("x", 280))})
			if err := log.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
