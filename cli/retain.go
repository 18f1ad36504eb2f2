package cli

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
)

const (
	day = 24 * time.Hour
	// retainBytesMin is what the live file needs for itself.
	retainBytesMin = 1 << 20
	// liveBytesLarge is where the doctor asks whether it is to grow for ever.
	liveBytesLarge = 1 << 30
)

// retentionFlags bound the log's live file.
func retentionFlags() []cli.Flag {
	return []cli.Flag{
		&cli.Uint64Flag{Name: "retain-records", EnvVars: []string{"QUORATE_RETAIN_RECORDS"}, Usage: "keep the newest `N` records in log.db, and move older ones of ended runs to segment files; 0 moves none"},
		&cli.StringFlag{Name: "retain-bytes", EnvVars: []string{"QUORATE_RETAIN_BYTES"}, Value: "0", Usage: "move old records so that log.db needs at most `BYTES`, for instance 256MiB"},
		&cli.StringFlag{Name: "retain-age", EnvVars: []string{"QUORATE_RETAIN_AGE"}, Value: "0", Usage: "move records older than `AGE`, for instance 30d or 12h"},
	}
}

// retentionOf is what the flags say about it.
func retentionOf(c *cli.Context, help string) (r orchestrator.Retention, err error) {
	r.Records = c.Uint64("retain-records")
	text := c.String("retain-bytes")
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return r, usage(help, "--retain-bytes %q: want a size, for instance 256MiB", text)
	}
	if n > 0 && n < retainBytesMin {
		return r, usage(help, "--retain-bytes %q: want at least 1MiB, or 0 for no bound", text)
	}
	r.Bytes = int64(n)
	if r.Age, err = parseAge(c.String("retain-age")); err != nil || r.Age < 0 {
		return r, usage(help, "--retain-age %q: want a time, for instance 30d or 12h", c.String("retain-age"))
	}
	return r, nil
}

// parseAge reads a duration, which may be in days.
func parseAge(text string) (time.Duration, error) {
	days, is := strings.CutSuffix(text, "d")
	if !is {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseFloat(days, 64)
	if err != nil || !(n >= 0 && n < float64(math.MaxInt64/day)) {
		return -1, err
	}
	return time.Duration(n * float64(day)), nil
}

// checkLog tells what the log takes in a data directory.
func checkLog(dir string) finding {
	f := finding{Check: "log", Status: "ok", Detail: "none here"}
	info, err := os.Stat(filepath.Join(dir, eventlog.StoreFile))
	if err != nil {
		return f
	}
	live := uint64(info.Size())
	files, err := filepath.Glob(filepath.Join(dir, eventlog.SegmentsDir, "*.seg"))
	if err != nil {
		return finding{Check: f.Check, Status: "warn", Detail: err.Error()}
	}
	var old uint64
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			old += uint64(info.Size())
		}
	}
	f.Detail = humanize.IBytes(live) + " in " + eventlog.StoreFile
	if len(files) > 0 {
		f.Detail += ", " + humanize.IBytes(old) + " in " + strconv.Itoa(len(files)) + " segment files"
	}
	if live > liveBytesLarge && len(files) == 0 {
		f.Status, f.Hint = "warn", "it never shrinks: let old records move to segment files, see \"quorate server --help\" for --retain-bytes"
	}
	return f
}

// sizesLine is what the log takes, in a line or two.
func sizesLine(l *api.LogSizes) string {
	if l == nil {
		return ""
	}
	line := fmt.Sprintf("log here: %s records in %s, %s", humanize.Comma(int64(l.LiveRecords)), eventlog.StoreFile, humanize.IBytes(uint64(l.LiveBytes)))
	if l.Segments > 0 {
		line += fmt.Sprintf("; %s in segments (%d), %s", humanize.Comma(int64(l.Sealed)), l.Segments, humanize.IBytes(uint64(l.SegmentBytes)))
	}
	if l.HeldBy > 0 {
		line += fmt.Sprintf("\nrun %d has not ended, and keeps all since its beginning in %s", l.HeldBy, eventlog.StoreFile)
	}
	return line
}
