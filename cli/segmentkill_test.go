package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"quorate/engine/replay"
	"quorate/eventlog"
	"quorate/internal/bench/biglog"
	"quorate/internal/pki"
)

// TestServerKilledWhileSealing kills a server whenever something of a segment appears,
// until all are made: the log is whole each time, and the same.
func TestServerKilledWhileSealing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := pki.LoadOrCreate(filepath.Join(dir, "pki"))
	if err != nil {
		t.Fatal(err)
	}
	const records = 2 * eventlog.SegmentRecords
	state, err := biglog.Write(dir, ca.ClusterID(), biglog.Shape{Hosts: 5, Tasks: 4, Jobs: 2}, records)
	if err != nil {
		t.Fatal(err)
	}
	sealed := uint64(0)
	for round := 0; sealed < records-eventlog.SegmentRecords; round++ {
		if round == 20 {
			t.Fatalf("only %d records are in segments", sealed)
		}
		said := killedAtNextSegment(t, dir, sealed)
		if _, _, err := eventlog.Verify(filepath.Join(dir, eventlog.StoreFile)); err != nil {
			t.Fatalf("round %d: %v\n%s", round, err, said)
		}
		files, err := replay.OpenFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		page, err := files.Records(t.Context(), state.Index, 1)
		if err != nil || len(page) != 1 || page[0].Hash != state.Head {
			t.Fatalf("round %d: record %d is another: %v", round, state.Index, err)
		}
		if err := files.Close(); err != nil {
			t.Fatal(err)
		}
		log, err := eventlog.OpenStore(filepath.Join(dir, eventlog.StoreFile), eventlog.StoreOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		sealed = log.Sealed()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killedAtNextSegment runs a server until there is more in the directory of segments
// than up to an index, and returns what it said.
func killedAtNextSegment(t *testing.T, dir string, sealed uint64) string {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command("quorate", "server", "--log", "embedded", "--data-dir", dir, "--listen", "127.0.0.1:0", "--retain-records", "1000")
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	deadline := time.After(3 * time.Minute)
	before, err := filepath.Glob(filepath.Join(dir, eventlog.SegmentsDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case <-look.C:
		case err := <-ended:
			t.Fatalf("the server ended by itself: %v\n%s", err, said.String())
		case <-deadline:
			_ = cmd.Process.Kill()
			<-ended
			t.Fatalf("nothing is sealed behind %d\n%s", sealed, said.String())
		}
		now, err := os.ReadDir(filepath.Join(dir, eventlog.SegmentsDir))
		if err == nil && len(now) > len(before) {
			_ = cmd.Process.Kill()
			<-ended
			return said.String()
		}
	}
}
