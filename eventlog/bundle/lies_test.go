package bundle

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"quorate/eventlog"
)

// A sample is a bundle that both verifiers judge.
type sample struct {
	name    string
	content []byte
}

// lies are bundles in which one document says something else, with right sums.
func lies(t *testing.T, good []byte) (all []sample) {
	t.Helper()
	edit := func(part, old, now string) {
		names, parts := unpack(t, good)
		for _, name := range names {
			if !strings.HasPrefix(name, part) {
				continue
			}
			next := bytes.Replace(parts[name], []byte(old), []byte(now), 1)
			if bytes.Equal(next, parts[name]) {
				t.Fatalf("%s has no %q", name, old)
			}
			parts[name] = next
			break
		}
		all = append(all, sample{part + ": " + now, pack(t, names, parts)})
	}
	edit(aboutName, `"version":1`, `"version":2`)
	edit(aboutName, `"version":1`, `"version": 1`)
	edit(aboutName, `"also":[1,`, `"also":[`)
	edit(aboutName, `"run":1`, `"run":01`)
	edit(aboutName, `"version":1`, `"version":true`)
	edit(aboutName, `"version":1`, `"version":1,"more":1`)
	edit(aboutName, `"certified":true`, `"certified":1`)
	edit(aboutName, `"missing":[`, `"missing":["x"`)
	edit(aboutName, `"bytes":`, `"bytes":1`)
	edit(treeName, `"level":0`, `"level":false`)
	edit(treeName, `"hash":"`, `"hash":" `)
	edit(schemasName, `"name":"step_scheduled"`, `"name":"step_resolved"`)
	edit(schemasName, `"succeeded","failed"`, `"failed","succeeded"`)
	edit("events/", `"agent":7`, `"agent":8`)
	edit("events/", `"leaf":"`, `"leaf":"0`)
	edit("checkpoints/", "\ntime 2", "\ntime 3")
	edit("checkpoints/", "generation 0", "generation 1")
	edit(treeName, `"hash":"`, `"hash":"0`)
	edit(keyName, "+", "-")
	edit(blobPrefix, "p", "q")
	return all
}

// crafted are bundles by somebody who takes more pains over one thing.
func crafted(t *testing.T, l *lab, c *Content, good []byte) (all []sample) {
	t.Helper()
	add := func(name string, names []string, parts map[string][]byte) {
		all = append(all, sample{name, pack(t, names, parts)})
	}
	noteOf := func(names []string) string {
		for _, name := range names {
			if strings.HasPrefix(name, "checkpoints/") {
				return name
			}
		}
		t.Fatal("no checkpoint")
		return ""
	}
	names, parts := unpack(t, good)
	note := noteOf(names)
	parts[note] = append(parts[note], "\u2014 somebody AAAAAAAA\n"...)
	add("another signature on a note", names, parts)

	names, parts = unpack(t, good)
	text, sig, _ := strings.Cut(string(parts[note]), "\n\u2014 ")
	at := strings.LastIndexByte(sig, '=') - 1 // before it stand bits that mean nothing
	for n := range 64 {
		raw := []byte(sig)
		raw[at] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[n]
		was, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(sig[strings.IndexByte(sig, ' ')+1:]))
		is, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(raw[strings.IndexByte(sig, ' ')+1:])))
		if err == nil && bytes.Equal(was, is) && string(raw) != sig {
			parts[note] = []byte(text + "\n\u2014 " + string(raw))
		}
	}
	add("another spelling of a signature", names, parts)

	more := *c
	extra := l.blob("what nobody asked for")
	more.Blobs = append(append([]Blob{}, c.Blobs...), extra)
	all = append(all, sample{"a blob that nothing names", l.write(&more)})

	late := *c
	late.From++
	all = append(all, sample{"a run without its beginning", l.write(&late)})
	less := *c
	less.Blobs = slices.DeleteFunc(slices.Clone(c.Blobs), func(b Blob) bool { return b == l.files[0] })
	all = append(all, sample{"an input that is left out", l.write(&less)})

	names, parts = unpack(t, good)
	for name := range parts {
		parts[name] = bytes.ReplaceAll(parts[name], []byte(`"step_scheduled"`), []byte(`"step_postponed"`))
	}
	add("another name for a kind", names, parts)
	return all
}

// chunked has the parts of events end elsewhere.
func chunked(t *testing.T, long []byte) (all []sample) {
	t.Helper()
	const first, second = "events/000001.ndjson", "events/000002.ndjson"
	names, parts := unpack(t, long)
	cut := bytes.IndexByte(parts[second], '\n') + 1
	if cut == 0 || cut == len(parts[second]) {
		t.Fatal("the second part is too short")
	}
	parts[first] = append(parts[first], parts[second][:cut]...)
	parts[second] = parts[second][cut:]
	all = append(all, sample{"a part of events that is too long", pack(t, names, parts)})
	names, parts = unpack(t, long)
	cut = bytes.LastIndexByte(parts[first][:len(parts[first])-1], '\n') + 1
	parts[second] = append(bytes.Clone(parts[first][cut:]), parts[second]...)
	parts[first] = parts[first][:cut]
	return append(all, sample{"a part of events that is too short", pack(t, names, parts)})
}

// TestLies has this package alone judge them.
func TestLies(t *testing.T) {
	l, run := busy(t, 3)
	good := l.write(run)
	long := newLab(t)
	long.record()
	for range 3 {
		long.add(&eventlog.JobEnded{Attempt: 1, Stdout: eventlog.Output{Head: bytes.Repeat([]byte("x\n\x00é"), 120_000)}}, &eventlog.RunEnded{})
	}
	for _, s := range slices.Concat(lies(t, good), crafted(t, l, run, good), chunked(t, long.write(long.whole()))) {
		if _, err := verify(s.content, Trust{}); err == nil {
			t.Errorf("%s went unnoticed", s.name)
		}
	}
}
