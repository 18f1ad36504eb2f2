package tables_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"quorate/engine/tables"
	"quorate/internal/bench/biglog"
)

// memoryMiBMax bounds the process that loads a log of a million records, SQLite's memory
// and the state included.
const memoryMiBMax = 400

// TestMillion loads a log of QUORATE_SQL_RECORDS records (10,000) in a process of its own,
// which must not keep it in memory.
func TestMillion(t *testing.T) {
	if dir := os.Getenv("QUORATE_SQL_LOAD"); dir != "" {
		if _, err := load(t, dir, filepath.Join(dir, "sql.db"), allRows, tables.Options{}); err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(status) {
			if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
				t.Logf("peak %s", value)
				if kib, err := strconv.Atoi(strings.Fields(string(value))[0]); err != nil || kib > memoryMiBMax<<10 {
					t.Errorf("it took %s, more than %d MiB (%v)", value, memoryMiBMax, err)
				}
			}
		}
		return
	}
	records, err := strconv.ParseUint(os.Getenv("QUORATE_SQL_RECORDS"), 10, 64)
	if err != nil {
		records = 10_000
	}
	dir := t.TempDir()
	if _, err := biglog.Write(dir, "c1", biglog.Shape{}, records); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run", "^TestMillion$", "-test.v")
	child.Env = append(os.Environ(), "QUORATE_SQL_LOAD="+dir)
	start := time.Now()
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%d records in %s:\n%s", records, time.Since(start).Round(time.Millisecond), out)
	if info, err := os.Stat(filepath.Join(dir, "sql.db")); err == nil {
		t.Logf("%d MiB", info.Size()>>20)
	}
}
