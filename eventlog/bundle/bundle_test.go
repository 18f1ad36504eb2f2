package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/eventlog"
)

func TestRoundTrip(t *testing.T) {
	for seed := range uint64(8) {
		l, run := busy(t, seed)
		for name, c := range map[string]*Content{"run": run, "all": l.whole()} {
			b := l.write(c)
			if again := l.write(c); !bytes.Equal(b, again) {
				t.Fatalf("seed %d: the same content has two forms", seed)
			}
			r, err := verify(b, Trust{Key: l.key, CA: l.ca.Certificate()})
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, name, err)
			}
			if !r.KeyTrusted || len(r.Signed) != 4 || !r.ChainSigned || r.NewerEvents || r.Records() != c.To-c.From+1+uint64(len(c.Also)) {
				t.Errorf("seed %d: %s: report %+v", seed, name, r)
			}
			read(t, l, c, b)
		}
	}
}

// read compares what a bundle's reader returns with the log.
func read(t *testing.T, l *lab, c *Content, content []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.tar")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if is, err := IsBundle(path); err != nil || !is {
		t.Fatal("no bundle", err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	next := c.From
	for r, err := range b.Records(0) {
		if err != nil {
			t.Fatal(err)
		}
		want, err := record(t.Context(), l, next)
		if err != nil || r.Index != next || r.Time != want.Time || r.Kind != want.Kind || r.Hash != want.Hash || !bytes.Equal(r.Data, want.Data) {
			t.Fatalf("record %d is %+v, want %+v (%v)", next, r, want, err)
		}
		next++
	}
	if next != c.To+1 {
		t.Errorf("the records end before %d, want %d", next, c.To+1)
	}
	standing := 0
	for r, err := range b.all() {
		if err == nil && r.Index >= b.From {
			break
		}
		if err != nil || r.Index != c.Also[standing] {
			t.Fatalf("standing record %d: %d, %v", standing, r.Index, err)
		}
		standing++
	}
	for _, blob := range c.Blobs {
		r, err := b.Blob(blob.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		got := new(bytes.Buffer)
		if _, err := got.ReadFrom(r); err != nil || !bytes.Equal(got.Bytes(), l.blobs[blob.SHA256]) {
			t.Errorf("blob %s: %q, %v", blob.SHA256, got, err)
		}
	}
	if state, ok := b.State(); ok != (c.State != nil) {
		t.Errorf("state: %v", ok)
	} else if ok {
		got := new(bytes.Buffer)
		if _, err := got.ReadFrom(state); err != nil || !bytes.Equal(got.Bytes(), c.State) {
			t.Errorf("state %q, %v", got, err)
		}
	}
}

// TestDescribed reads the lines as JSON: what they say is what eventlog says of the
// same records.
func TestDescribed(t *testing.T) {
	l, _ := busy(t, 3)
	head, _ := l.Head()
	d := newDescriber(eventlog.Schemas())
	for i := uint64(1); i <= head; i++ {
		r, err := record(t.Context(), l, i)
		if err != nil {
			t.Fatal(err)
		}
		line := d.appendLine(nil, &r)
		var got struct {
			Index uint64          `json:"index"`
			Type  string          `json:"type"`
			Event json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal(line, &got); err != nil || got.Index != i || got.Type != r.Kind.String() {
			t.Fatalf("line %s: %v", line, err)
		}
		event, err := eventlog.Decode(r.Kind, r.Data)
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind == eventlog.KindJobEnded || r.Kind == eventlog.KindCheckpointSigned {
			continue // bytes, which eventlog shows otherwise
		}
		want, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		if !sameJSON(t, got.Event, want) {
			t.Errorf("record %d says %s, want %s", i, got.Event, want)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var text [2]string
	for i, in := range [][]byte{a, b} {
		d := json.NewDecoder(bytes.NewReader(in))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		text[i] = string(out)
	}
	return text[0] == text[1]
}

func TestTrust(t *testing.T) {
	l, run := busy(t, 1)
	other := newLab(t)
	b := l.write(run)
	uncertified := *run
	uncertified.Certificate = nil
	unsigned := *run
	unsigned.Checkpoints = nil
	for name, c := range map[string]struct {
		bundle []byte
		trust  Trust
		want   string // in the error; empty for none
	}{
		"nothing known":           {b, Trust{}, ""},
		"key":                     {b, Trust{Key: l.key}, ""},
		"authority":               {b, Trust{CA: l.ca.Certificate()}, ""},
		"another key":             {b, Trust{Key: other.key}, "another key than the one that you named"},
		"another authority":       {b, Trust{CA: other.ca.Certificate()}, "of another cluster"},
		"not certified":           {l.write(&uncertified), Trust{CA: l.ca.Certificate()}, "no certificate shows"},
		"not certified, with key": {l.write(&uncertified), Trust{Key: l.key}, ""},
		"not signed":              {l.write(&unsigned), Trust{}, ""},
		"not signed, with key":    {l.write(&unsigned), Trust{Key: l.key}, "nothing in it is signed"},
		"not signed, with CA":     {l.write(&unsigned), Trust{CA: l.ca.Certificate()}, "nothing in it is signed"},
	} {
		r, err := verify(c.bundle, c.trust)
		if c.want == "" && (err != nil || r.KeyTrusted != (c.trust.Key != "" || c.trust.CA != nil)) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestNewerVersion(t *testing.T) {
	l, run := busy(t, 1)
	b := l.write(run)
	newer := bytes.Replace(b, []byte(`"version":1`), []byte(`"version":2`), 1)
	var want *NewerError
	if _, err := verify(newer, Trust{}); !errors.As(err, &want) || want.Version != 2 {
		t.Errorf("verify: %v", err)
	}
	path := filepath.Join(t.TempDir(), "newer.tar")
	if err := os.WriteFile(path, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.As(err, &want) {
		t.Errorf("open: %v", err)
	}
}

// TestOutside compares with checkpoints that somebody kept elsewhere.
func TestOutside(t *testing.T) {
	l, run := busy(t, 1)
	b := l.write(run)
	last := run.From + 5 // of no checkpoint in the bundle
	tree := eventlog.NewMemory()
	copyTo(t, tree, l, last)
	_, head := tree.Head()
	good := l.note(last, head, tree, l.signer)
	forked := eventlog.NewMemory()
	copyTo(t, forked, l, last-2)
	_, head = forked.Head()
	for range 2 {
		e, err := eventlog.NewEntry(l.now, &eventlog.RunEnded{Run: 77})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := forked.Append(t.Context(), []eventlog.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	bad := l.note(last, head, forked, l.signer)
	r, err := verify(b, Trust{Checkpoints: [][]byte{good}})
	if err != nil || len(r.Outside) != 1 || len(r.NotCompared) != 0 {
		t.Errorf("one that agrees: %+v, %v", r, err)
	}
	if _, err := verify(b, Trust{Checkpoints: [][]byte{bad}}); err == nil {
		t.Error("one that contradicts agrees")
	}
	if _, err := verify(b, Trust{Checkpoints: [][]byte{newLab(t).foreign()}}); err == nil || !strings.Contains(err.Error(), "not signed with its key") {
		t.Errorf("one of another cluster: %v", err)
	}
	c := *run
	c.Checkpoints = map[uint64][]byte{}
	for size, text := range l.notes {
		if size <= run.To {
			c.Checkpoints[size] = text
		}
	}
	sizes := run.To + 1
	for ; l.notes[sizes] == nil; sizes++ {
	}
	if r, err = verify(l.write(&c), Trust{Checkpoints: [][]byte{l.notes[sizes]}}); err != nil || len(r.NotCompared) != 1 {
		t.Errorf("one of a size behind its records: %+v, %v", r, err)
	}
}

func copyTo(t *testing.T, to *eventlog.Memory, l *lab, last uint64) {
	t.Helper()
	for i := uint64(1); i <= last; i++ {
		r, err := record(t.Context(), l, i)
		if err == nil {
			_, err = to.Append(t.Context(), []eventlog.Entry{{Time: r.Time, Kind: r.Kind, Data: r.Data}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// foreign is a checkpoint of this log.
func (l *lab) foreign() []byte { return l.notes[l.sign()] }
