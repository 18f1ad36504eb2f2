package cli

import (
	"flag"
	"testing"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/engine/orchestrator"
)

func TestRetentionFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want orchestrator.Retention
		bad  bool
	}{
		{args: nil},
		{args: []string{"--retain-records", "5000"}, want: orchestrator.Retention{Records: 5000}},
		{args: []string{"--retain-bytes", "256MiB", "--retain-age", "30d"}, want: orchestrator.Retention{Bytes: 256 << 20, Age: 30 * 24 * time.Hour}},
		{args: []string{"--retain-age", "90m"}, want: orchestrator.Retention{Age: 90 * time.Minute}},
		{args: []string{"--retain-age", "-1h"}, bad: true},
		{args: []string{"--retain-age", "d"}, bad: true},
		{args: []string{"--retain-age", "NaNd"}, bad: true},
		{args: []string{"--retain-age", "9999999d"}, bad: true},
		{args: []string{"--retain-age", "soon"}, bad: true},
		{args: []string{"--retain-bytes", "4KiB"}, bad: true},
		{args: []string{"--retain-bytes", "much"}, bad: true},
	} {
		set := flag.NewFlagSet("server", flag.ContinueOnError)
		for _, f := range retentionFlags() {
			if err := f.Apply(set); err != nil {
				t.Fatal(err)
			}
		}
		if err := set.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		got, err := retentionOf(cli.NewContext(nil, set, nil), "help")
		if (err != nil) != c.bad || err == nil && got != c.want {
			t.Errorf("%q: %+v, %v, want %+v", c.args, got, err, c.want)
		}
	}
}

func TestSizesLine(t *testing.T) {
	t.Parallel()
	for want, z := range map[string]*api.LogSizes{
		"": nil,
		"log here: 1,200 records in log.db, 4.0 MiB": {LiveRecords: 1200, LiveBytes: 4 << 20},
		"log here: 7 records in log.db, 1.0 MiB; 16,384 in segments (2), 2.0 MiB\nrun 3 has not ended, and keeps all since its beginning in log.db": {
			LiveRecords: 7, LiveBytes: 1 << 20, Segments: 2, SegmentBytes: 2 << 20, Sealed: 16384, HeldBy: 3,
		},
	} {
		if got := sizesLine(z); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
