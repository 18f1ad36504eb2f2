package raft

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The drill: two of three are gone for good, and what the third has goes on.
func TestRecoverFromOneOfThree(t *testing.T) {
	g := three(t)
	for i := range 200 {
		g.append(uint64(1+i%3), fmt.Sprint("x ", i))
	}
	index, hash := g.agree()
	for id := range uint64(3) {
		g.stop(id + 1)
	}
	cfg := Config{DataDir: g.dir(3)}
	if _, err := Recover(cfg, 3); !errors.Is(err, ErrReplicaUsed) {
		t.Errorf("recovered under a number that was used: %v", err)
	}
	got, err := Recover(cfg, 4)
	g.must(err)
	if got.Index != index || got.Hash != hash || got.Replaced != 3 || got.Unread != nil || got.Last < got.Applied || got.Applied == 0 {
		t.Errorf("recovered %+v, the log ended at %d %s", got, index, hash)
	}
	g.dirs[4] = g.dirs[3]
	g.start(4, Config{})
	if i, h := g.nodes[4].Head(); i != index || h != hash {
		t.Fatalf("it goes on from %d %s, want %d %s", i, h, index, hash)
	}
	// Restarted before anybody joins, so that what the library kept in memory is gone.
	g.stop(4)
	g.start(4, Config{})
	g.join(4, 5)
	if first := g.append(5, "after"); first != index+1 {
		t.Errorf("the next record is %d", first)
	}
	g.join(5, 6)
	if now, _ := g.agree(); now != index+1 {
		t.Errorf("the log ends at %d", now)
	}
	m, err := g.nodes[6].Members(g.ctx)
	if err != nil || !slices.Equal(m.Voters, []uint64{4, 5, 6}) {
		t.Errorf("members %+v, %v", m, err)
	}
}

// What was acknowledged may be in Raft's log only, behind the last flush.
func TestRecoverTakesWhatIsInRaftLogOnly(t *testing.T) {
	for name, lose := range map[string]func(dir string) error{
		"flushed":   func(string) error { return nil },
		"unflushed": func(dir string) error { return os.Remove(filepath.Join(dir, "log.db")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, head := filled(t)
			if err := lose(dir); err != nil {
				t.Fatal(err)
			}
			got, err := Recover(Config{DataDir: dir}, 2)
			if err != nil || got.Index != 60 || got.Hash != head || got.Unread != nil {
				t.Fatalf("recovered %+v, %v; want 60 %s", got, err, head)
			}
			if name == "unflushed" && got.Applied != 0 {
				t.Errorf("applied %d", got.Applied)
			}
		})
	}
}

func TestInterruptedRecoveryGoesOn(t *testing.T) {
	dir, head := filled(t)
	if err := mark(dir, "recover", 2); err != nil {
		t.Fatal(err)
	}
	if _, err := tryStart(t, Config{DataDir: dir}); !errors.Is(err, ErrUnfinished) {
		t.Fatalf("started: %v", err)
	}
	if _, err := Recover(Config{DataDir: dir}, 3); !errors.Is(err, ErrUnfinished) {
		t.Fatalf("recovered under another number: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, raftDir), filepath.Join(dir, raftDir+".before-2")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, raftDir, "half", "made"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := Recover(Config{DataDir: dir}, 2)
	if err != nil || got.Index != 60 || got.Hash != head {
		t.Fatalf("recovered %+v, %v", got, err)
	}
	n, err := tryStart(t, Config{DataDir: dir, Replica: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestExportIsRestoredAndGoesOn(t *testing.T) {
	g := three(t)
	index, hash := g.agree()
	var export bytes.Buffer
	g.must(g.nodes[2].Export(g.ctx, &export))
	g.append(1, "behind the export")
	for id := range uint64(3) {
		g.stop(id + 1)
	}
	cfg := Config{DataDir: g.dir(7), Replica: 7}
	if _, err := Restore(cfg, bytes.NewReader(export.Bytes()[:export.Len()-1])); err == nil {
		t.Fatal("a cut export was restored")
	}
	if _, err := tryStart(t, Config{DataDir: g.dir(7), Replica: 7, Bootstrap: true}); !errors.Is(err, ErrUnfinished) {
		t.Fatalf("started behind it: %v", err)
	}
	got, err := Restore(cfg, bytes.NewReader(export.Bytes()))
	if err != nil || got.Index != index || got.Hash != hash {
		t.Fatalf("restored %+v, %v; want %d %s", got, err, index, hash)
	}
	if _, err := Restore(cfg, bytes.NewReader(export.Bytes())); !errors.Is(err, ErrNotEmpty) {
		t.Fatalf("restored over a log: %v", err)
	}
	g.start(7, Config{})
	g.join(7, 8)
	g.append(8, "after")
	if now, _ := g.agree(); now != index+1 {
		t.Errorf("the log ends at %d", now)
	}
}

// A replica that lacks records which a proposal stands behind ends, and stores
// nothing of its own making.
func TestReplicaWithoutTheRecordsBehindAProposalEnds(t *testing.T) {
	dir, _ := filled(t)
	if _, err := Recover(Config{DataDir: dir}, 2); err != nil {
		t.Fatal(err)
	}
	n, err := tryStart(t, Config{DataDir: dir, Replica: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Append(t.Context(), logtestEntries(t, "y")); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "log.db")); err != nil {
		t.Fatal(err)
	}
	if again, err := tryStart(t, Config{DataDir: dir, Replica: 2}); !errors.Is(err, ErrStoreBehind) {
		t.Errorf("started without the records: %v, %v", again, err)
	}
}
