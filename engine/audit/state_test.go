package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/eventlog/bundle"
)

type memory struct{ *eventlog.Memory }

func (m memory) Records(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	return m.Read(ctx, from, limit)
}

func (m memory) Blob(context.Context, string) (io.ReadCloser, int64, error) {
	return nil, 0, fs.ErrNotExist
}

func (m memory) add(t *testing.T, events ...eventlog.Event) {
	t.Helper()
	var entries []eventlog.Entry
	for _, e := range events {
		entry, err := eventlog.NewEntry(1, e)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	if _, err := m.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

// TestCheckState has a state that a record vouches for, and others that none does, or
// that are no state of this log.
func TestCheckState(t *testing.T) {
	log := memory{eventlog.NewMemory()}
	log.add(t, &eventlog.ClusterCreated{ClusterID: "c"}, &eventlog.LeaderEstablished{Replica: 1, Version: "v1"})
	log.add(t, &eventlog.OrchestratorJoined{Replica: 1, Name: "one", RequestID: "r"})
	for head, _ := log.Head(); head < fullEvery; head, _ = log.Head() {
		voids := make([]eventlog.Event, min(8192, fullEvery-head))
		for i := range voids {
			voids[i] = &eventlog.RunEnded{Run: 77}
		}
		log.add(t, voids...)
	}
	from := uint64(fullEvery - 5)
	state, err := Fold(t.Context(), log, from-1)
	if err != nil {
		t.Fatal(err)
	}
	good := encoded(t, state)
	full, err := Fold(t.Context(), log, fullEvery)
	if err != nil {
		t.Fatal(err)
	}
	said := full.Hashed(1, "v1")
	log.add(t, &said)
	to, _ := log.Head()
	state.Epoch++
	other := encoded(t, state)
	early, err := Fold(t.Context(), log, from-2)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		state   []byte
		vouched uint64
		want    string // in the error
	}{
		"vouched for":      {good, to, ""},
		"another":          {other, 0, ""},
		"of another place": {encoded(t, early), 0, "and not behind"},
		"no state":         {good[:len(good)-1], 0, "bad at part state"},
		"none":             {nil, 0, ""},
	} {
		vouched, err := checkState(t, log, &bundle.Content{From: from, To: to, State: c.state})
		var bad *bundle.BadError
		switch {
		case c.want == "" && (err != nil || vouched != c.vouched):
			t.Errorf("%s: %d, %v, want %d", name, vouched, err, c.vouched)
		case c.want != "" && (!errors.As(err, &bad) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestRunOfAnotherNumber has records passed off as those of a run that they are not of.
func TestRunOfAnotherNumber(t *testing.T) {
	log := memory{eventlog.NewMemory()}
	log.add(t, &eventlog.ClusterCreated{ClusterID: "c"}, &eventlog.LeaderEstablished{Replica: 1, Version: "v1"},
		&eventlog.PlanRecorded{PlanID: "p"}, &eventlog.RunCreated{PlanID: "p", RequestID: "r"}, &eventlog.RunEnded{Run: 1})
	state, err := Fold(t.Context(), log, 3)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Fold(t.Context(), log, 4)
	if err != nil || after.Run(1) == nil {
		t.Fatalf("record 4 creates no run: %v", err)
	}
	for run, good := range map[uint64]bool{0: true, 1: true, 2: false} {
		_, err := checkState(t, log, &bundle.Content{Run: run, From: 4, To: 5, State: encoded(t, state)})
		if (err == nil) != good {
			t.Errorf("called run %d: %v", run, err)
		}
	}
}

func encoded(t *testing.T, s *engine.State) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := s.Encode(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// checkState checks the state in a bundle that it writes.
func checkState(t *testing.T, log memory, c *bundle.Content) (uint64, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Program, c.Cluster = "v1", "c"
	_, err = bundle.Write(t.Context(), f, log, c)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	return CheckState(t.Context(), b)
}
