package logtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate/eventlog"
)

// killDirVariable tells a child process of a test where its log is.
const killDirVariable = "QUORATE_LOGTEST_DIR"

// RunKilled starts the test binary again as a child that appends to a log, kills
// it with SIGKILL while it does, and opens the log: every index that the child
// acknowledged must be there with what was acknowledged. It is to be called from
// a test whose name it gets, which runs again in the child.
func RunKilled(t *testing.T, s Subject, rounds, acknowledged int) {
	if dir := os.Getenv(killDirVariable); dir != "" {
		appendUntilKilled(t, s, dir)
		return
	}
	dir := t.TempDir()
	known := map[uint64]string{}
	for round := range rounds {
		runChild(t, dir, acknowledged*(round+1)/rounds, known)
		log := s.Open(t, dir)
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		all := ReadAll(t, ctx, log, 4096)
		cancel()
		for index, text := range known {
			if index > uint64(len(all)) {
				t.Fatalf("round %d: record %d was acknowledged, the log ends at %d", round, index, len(all))
			}
			if got := textOf(t, all[index-1]); got != text {
				t.Fatalf("round %d: record %d says %q, %q was acknowledged", round, index, got, text)
			}
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(known) < acknowledged {
		t.Fatalf("only %d appends were acknowledged before the kills", len(known))
	}
}

// runChild reads acknowledgements until there were enough, and kills the child.
func runChild(t *testing.T, dir string, enough int, known map[uint64]string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), killDirVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(deadline, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	seen := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() { // goes on behind the kill: what was printed was acknowledged
		fields := strings.SplitN(lines.Text(), " ", 3)
		if len(fields) != 3 || fields[0] != "ack" {
			continue
		}
		index, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			continue
		}
		text, whole := strings.CutSuffix(fields[2], ".")
		if !whole {
			continue // cut off by the kill
		}
		known[index] = text
		if seen++; seen == enough {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	if seen < enough {
		t.Fatalf("the child acknowledged %d of %d", seen, enough)
	}
}

// appendUntilKilled prints a line for each acknowledged append, in one write.
func appendUntilKilled(t *testing.T, s Subject, dir string) {
	log := s.Open(t, dir)
	ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
	defer cancel()
	start, _ := log.Head()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				text := fmt.Sprintf("%d-%d-%d", start, w, i)
				first, err := log.Append(ctx, []eventlog.Entry{Entry(t, time.Now().UnixNano(), text)})
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				fmt.Fprintf(os.Stdout, "ack %d %s.\n", first, text)
			}
		})
	}
	wg.Wait()
}
