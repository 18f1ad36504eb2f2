package bundle

import (
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"quorate/eventlog"
)

// FuzzVerify reads files of strangers, who know how to put parts together: whatever is
// in one of them, reading ends with a verdict.
func FuzzVerify(f *testing.F) {
	l := newLab(f)
	l.record()
	l.add(&eventlog.RunCreated{PlanID: l.plan.SHA256})
	l.sign()
	run := l.whole()
	run.From, run.Also, run.State = 4, []uint64{1, 3}, []byte("s")
	names, parts := unpack(f, l.write(run))
	for i, name := range names {
		if len(parts[name]) < 1024 { // the larger ones take the fuzzer too long
			f.Add(uint8(i), parts[name])
		}
	}
	f.Add(uint8(255), []byte("bundle.json"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, part uint8, content []byte) {
		b := content
		if int(part) < len(names) {
			changed := maps.Clone(parts)
			changed[names[part]] = content
			b = pack(t, names, changed)
		}
		readStrange(t, filepath.Join(dir, "b.tar"), b)
	})
}

// readStrange reads a file in every way. What is right can be read.
func readStrange(t *testing.T, path string, b []byte) {
	r, err := Verify(context.Background(), bytes.NewReader(b), Trust{})
	if (r == nil) != (err != nil) {
		t.Fatalf("report %v, error %v", r, err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	bundle, failed := Open(path)
	if failed != nil {
		if err == nil {
			t.Fatalf("it is right, and cannot be opened: %v", failed)
		}
		return
	}
	defer bundle.Close()
	n := uint64(0)
	for _, e := range bundle.Records(0) {
		if e != nil {
			if err == nil {
				t.Fatal(e)
			}
			break
		}
		n++
	}
	if err == nil && n != r.To-r.From+1 {
		t.Fatalf("%d records of %d to %d", n, r.From, r.To)
	}
	if state, ok := bundle.State(); ok {
		_, _ = io.Copy(io.Discard, state) // whatever it is
	}
}

// FuzzDescribe describes data by schemas that strangers wrote.
func FuzzDescribe(f *testing.F) {
	l := newLab(f)
	l.record()
	for i := uint64(1); i <= 3; i++ {
		r, err := record(context.Background(), l, i)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(`[]`), uint16(r.Kind), r.Data)
	}
	f.Add([]byte(`[{"kind":1,"name":"x","fields":[{"name":"l","type":"list","elem":{"type":"struct","fields":[]}}]}]`), uint16(1), []byte{0x91, 0x92, 0x90, 0x90})
	f.Fuzz(func(t *testing.T, text []byte, kind uint16, data []byte) {
		schemas := eventlog.Schemas()
		var theirs []eventlog.KindSchema
		if parse(text, &theirs) == nil && len(theirs) > 0 {
			schemas = theirs
			_, _ = extends(eventlog.Schemas(), theirs) // it only has to return
		}
		d := newDescriber(schemas)
		want := eventlog.Record{Index: 7, Time: -3, Kind: eventlog.Kind(kind), Data: data}
		line := d.appendLine(nil, &want)
		got, _, err := d.parseLine(line, nil)
		if err != nil || got.Index != 7 || got.Time != -3 || got.Kind != want.Kind || !bytes.Equal(got.Data, data) {
			t.Fatalf("%q is read as %+v, %v", line, got, err)
		}
	})
}
