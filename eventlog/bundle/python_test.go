package bundle

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quorate/eventlog"
)

var update = flag.Bool("update", false, "write docs/events.json anew")

const docs = "../../docs"

// TestPublishedSchemas keeps docs/events.json, what the data of all events looks like.
func TestPublishedSchemas(t *testing.T) {
	want, err := document(eventlog.Schemas())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(docs, "events.json")
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the catalogue says (%v): run go test ./eventlog/bundle -run Published -args -update", path, err)
	}
}

// pythonVerdicts has the other verifier check files, in one process. A verdict is
// "ok" or "bad", and what it prints.
func pythonVerdicts(t *testing.T, key string, files []string) []string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 to run the other verifier with")
	}
	const script = `
import sys, io, contextlib
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import verify_bundle
for line in sys.stdin:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = verify_bundle.main([line.rstrip("\n")] + (["--key", sys.argv[2]] if sys.argv[2] else []))
    print(("ok" if code == 0 else "bad") + " " + out.getvalue().strip().replace("\n", " | "))
`
	cmd := exec.CommandContext(t.Context(), python, "-c", script, docs, key)
	cmd.Stdin = strings.NewReader(strings.Join(files, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	verdicts := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(verdicts) != len(files) {
		t.Fatalf("%v, %d verdicts of %d: %s", err, len(verdicts), len(files), stderr.String())
	}
	return verdicts
}

// TestPython compares this package with the verifier in docs, which shares no code with
// it: on good bundles, on bad ones, and on clever forgeries.
func TestPython(t *testing.T) {
	t.Parallel()
	rng := seed(t)
	l, run := busy(t, 3)
	long := newLab(t) // with more than one part of events
	long.record()
	for range 4 {
		long.add(&eventlog.JobEnded{Attempt: 1, Stdout: eventlog.Output{Head: bytes.Repeat([]byte("x\n\x00é"), 120_000)}})
		long.chatter(3, rng)
	}
	long.sign()
	unsigned := *run
	unsigned.Checkpoints = nil
	part := *run
	part.Checkpoints = map[uint64][]byte{l.first(): l.notes[l.first()]}
	var all []sample
	for name, b := range map[string][]byte{
		"run": l.write(run), "all": l.write(l.whole()), "not signed": l.write(&unsigned), "old checkpoint": l.write(&part),
		"long": long.write(long.whole()),
	} {
		all = append(all, sample{name, b})
	}
	few := *run // each signature takes Python a while
	few.Checkpoints = map[uint64][]byte{}
	for size, signed := range l.notes {
		if size > run.From && len(few.Checkpoints) < 2 {
			few.Checkpoints[size] = signed
		}
	}
	good := l.write(&few)
	for i := range 100 {
		way := ways()[i%len(ways())]
		all = append(all, sample{way, tamper(good, way, rng)})
	}
	for range 10 {
		index := run.From + 1 + rng.Uint64N(run.To-run.From-1)
		forged := rewritten(t, l, index)
		all = append(all, sample{fmt.Sprintf("forged at %d", index), forged.write(&few)})
	}
	all = append(all, lies(t, good)...)
	all = append(all, crafted(t, l, &few, good)...)
	all = append(all, chunked(t, long.write(long.whole()))...)
	dir := t.TempDir()
	var files []string
	for i, s := range all {
		file := filepath.Join(dir, fmt.Sprintf("%d.tar", i))
		if err := os.WriteFile(file, s.content, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	for i, verdict := range pythonVerdicts(t, "", files) {
		_, err := verify(all[i].content, Trust{})
		if ok := strings.HasPrefix(verdict, "ok "); ok != (err == nil) {
			t.Errorf("%s: python says %q, and this package %v", all[i].name, verdict, err)
		}
		if i >= 5 && err == nil && !bytes.Equal(all[i].content, good) {
			t.Errorf("%s went unnoticed", all[i].name)
		}
	}
	for i, verdict := range pythonVerdicts(t, l.key, files[:5]) {
		_, err := verify(all[i].content, Trust{Key: l.key})
		if ok := strings.HasPrefix(verdict, "ok "); ok != (err == nil) {
			t.Errorf("%s, with the key: python says %q, and this package %v", all[i].name, verdict, err)
		}
	}
}
