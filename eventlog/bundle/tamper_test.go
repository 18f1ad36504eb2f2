package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"quorate/eventlog"
)

// places is how many random places a test tampers with; QUORATE_TAMPER says more.
func places(t *testing.T, usual int) int {
	text := os.Getenv("QUORATE_TAMPER")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("QUORATE_TAMPER=%q: %v", text, err)
	}
	return n
}

// seed is of the chance in a test; QUORATE_TAMPER_SEED repeats one.
func seed(t *testing.T) *rand.Rand {
	n := rand.Uint64()
	if text := os.Getenv("QUORATE_TAMPER_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("QUORATE_TAMPER_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 2))
}

// tamper changes content in one of the ways of the table.
func tamper(b []byte, way string, rng *rand.Rand) []byte {
	at := rng.IntN(len(b))
	n := min(1+rng.IntN(40), len(b)-at)
	junk := make([]byte, n)
	for i := range junk {
		junk[i] = byte(rng.IntN(256))
	}
	switch way {
	case "flip":
		out := bytes.Clone(b)
		out[at] ^= 1 << rng.IntN(8)
		return out
	case "drop":
		return append(bytes.Clone(b[:at]), b[at+n:]...)
	case "insert":
		return append(append(bytes.Clone(b[:at]), junk...), b[at:]...)
	case "swap":
		to := rng.IntN(len(b) - n + 1)
		out := bytes.Clone(b)
		copy(out[at:], b[to:to+n])
		copy(out[to:], b[at:at+n])
		return out
	case "truncate":
		return bytes.Clone(b[:at])
	}
	out := bytes.Clone(b[:at]) // replace the tail
	for len(out) < len(b) {
		out = append(out, byte(rng.IntN(256)))
	}
	return out
}

func ways() []string {
	return []string{"flip", "drop", "insert", "swap", "truncate", "replace the tail"}
}

// lineAt returns the index of the record whose line is at an offset, or 0.
func lineAt(b []byte, at int) uint64 {
	o := opener{r: bytes.NewReader(b)}
	for off := 0; ; {
		name, size, err := o.next()
		if err != nil || name == sumsName {
			return 0
		}
		off += tarBlock
		content, err := o.content(1 << 30)
		if err != nil {
			return 0
		}
		if strings.HasPrefix(name, "events/") && at >= off && at < off+len(content) {
			start := bytes.LastIndexByte(content[:at-off], '\n') + 1
			var index uint64
			if _, err := fmt.Sscanf(string(content[start:]), `{"index":%d,`, &index); err != nil {
				panic(err)
			}
			return index
		}
		off += int(size + padding(size))
	}
}

func TestTampering(t *testing.T) {
	t.Parallel()
	rng := seed(t)
	l, run := busy(t, 5)
	for name, whole := range map[string][]byte{"run": l.write(run), "all": l.write(l.whole())} {
		if _, err := verify(whole, Trust{Key: l.key}); err != nil {
			t.Fatal(err)
		}
		named := 0
		for range places(t, 500) {
			way := ways()[rng.IntN(len(ways()))]
			bad := tamper(whole, way, rng)
			if bytes.Equal(bad, whole) {
				continue
			}
			_, err := verify(bad, Trust{})
			if err == nil {
				t.Fatalf("%s: %s went unnoticed", name, way)
			}
			first := 0
			for first < min(len(bad), len(whole)) && bad[first] == whole[first] {
				first++
			}
			var what *BadError
			if want := lineAt(whole, first); want > 0 {
				if !errors.As(err, &what) || what.Index != want {
					t.Fatalf("%s: %s at record %d: %v", name, way, want, err)
				}
				named++
			}
		}
		if named == 0 {
			t.Errorf("%s: no record was tampered with", name)
		}
	}
}

// unpack takes a bundle apart, and pack puts it together with right headers and sums,
// as somebody who knows the format would.
func unpack(t testing.TB, b []byte) (names []string, parts map[string][]byte) {
	t.Helper()
	parts = map[string][]byte{}
	for o := (opener{r: bytes.NewReader(b)}); ; {
		name, _, err := o.next()
		if err == nil && name == sumsName {
			return names, parts
		}
		if err == nil {
			parts[name], err = o.content(1 << 30)
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
}

func pack(t testing.TB, names []string, parts map[string][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	p := &packer{w: &buf}
	for _, name := range names {
		p.bytes(name, parts[name])
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestCleverTampering changes records, or their order, and recomputes lengths and sums.
func TestCleverTampering(t *testing.T) {
	rng := seed(t)
	l, run := busy(t, 5)
	whole := l.write(run)
	const events = "events/000001.ndjson"
	for range places(t, 500) / 5 {
		names, parts := unpack(t, whole)
		lines := bytes.SplitAfter(parts[events], []byte("\n"))
		lines = lines[:len(lines)-1]
		k := rng.IntN(len(lines) - 1)
		want := lineIndex(t, lines[k])
		switch rng.IntN(4) {
		case 0: // another byte of the data, with the leaf and the words to it
			d := newDescriber(eventlog.Schemas())
			r, _, err := d.parseLine(lines[k], nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Data[rng.IntN(len(r.Data))] ^= 1 << rng.IntN(8)
			lines[k] = d.appendLine(nil, &r)
			want = 0
		case 1:
			lines = append(lines[:k:k], lines[k+1:]...)
		case 2:
			lines = append(lines[:k:k], append([][]byte{lines[k+1]}, lines[k:]...)...)
		case 3:
			lines[k], lines[k+1] = lines[k+1], lines[k]
		}
		parts[events] = bytes.Join(lines, nil)
		_, err := verify(pack(t, names, parts), Trust{})
		var bad *BadError
		if !errors.As(err, &bad) || want > 0 && bad.Index != want || want == 0 && bad.Index == 0 {
			t.Fatalf("record %d: %v", want, err)
		}
	}
}

func lineIndex(t testing.TB, line []byte) (index uint64) {
	t.Helper()
	if _, err := fmt.Sscanf(string(line), `{"index":%d,`, &index); err != nil {
		t.Fatal(err)
	}
	return index
}

// rewritten is the log with another record at an index: everything behind it is
// computed anew, but for the notes, which nobody else can sign.
func rewritten(t testing.TB, l *lab, index uint64) *lab {
	t.Helper()
	forged := *l
	forged.Memory = eventlog.NewMemory()
	head, _ := l.Head()
	for i := uint64(1); i <= head; i++ {
		r, err := record(context.Background(), l, i)
		if err != nil {
			t.Fatal(err)
		}
		e := eventlog.Entry{Time: r.Time, Kind: r.Kind, Data: r.Data}
		if i == index {
			if e, err = eventlog.NewEntry(r.Time, &eventlog.AttemptEnded{Attempt: 1, Outcome: eventlog.Succeeded, Reason: "forged"}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := forged.Append(context.Background(), []eventlog.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	return &forged
}

// TestForgery is by somebody who computes the chain, the tree and all sums anew. Only
// the signatures tell.
func TestForgery(t *testing.T) {
	rng := seed(t)
	l, run := busy(t, 5)
	sizes := []uint64{}
	for size := range l.notes {
		sizes = append(sizes, size)
	}
	for range 40 {
		index := run.From + 1 + rng.Uint64N(run.To-run.From-1)
		good := uint64(0) // the largest checkpoint in front of it
		for _, size := range sizes {
			if size < index {
				good = max(good, size)
			}
		}
		forged := rewritten(t, l, index)
		for _, c := range []*Content{run, l.whole()} {
			b := forged.write(c)
			_, err := verify(b, Trust{})
			var bad *BadError
			if !errors.As(err, &bad) || bad.Index != max(good+1, c.From) {
				t.Fatalf("record %d of %d to %d, behind a checkpoint of %d: %v", index, c.From, c.To, good, err)
			}
		}
	}
	// Who signs with a key of their own is found out by who knows the right one.
	forged := rewritten(t, l, run.From+3)
	own := newLab(t)
	signer, key, err := own.ca.LogSigner(l.ca.ClusterID())
	if err != nil {
		t.Fatal(err)
	}
	c := *run
	c.Key, c.Certificate, c.Checkpoints = key, nil, map[uint64][]byte{}
	for _, size := range sizes {
		c.Checkpoints[size] = forged.sealed(size, signer)
	}
	b := forged.write(&c)
	if r, err := verify(b, Trust{}); err != nil || r.KeyTrusted || !strings.Contains(strings.Join(r.NotProven(), "\n"), "that the key is the cluster's") {
		t.Errorf("to who knows no key: %v", err)
	}
	if _, err := verify(b, Trust{Key: l.key}); err == nil {
		t.Error("another key passes for the one that was named")
	}
	if _, err := verify(b, Trust{CA: l.ca.Certificate()}); err == nil {
		t.Error("a key without a certificate passes for the authority's")
	}
	names, parts := unpack(t, b)
	parts[aboutName] = bytes.Replace(parts[aboutName], []byte(`"certified":false`), []byte(`"certified":true`), 1)
	for what, cert := range map[string][]byte{"another key": l.certificate(), "an agent": agentOf(t, l, key)} {
		parts[certName] = cert
		with := append(append(append([]string{}, names[:3]...), certName), names[3:]...)
		if _, err := verify(pack(t, with, parts), Trust{CA: l.ca.Certificate()}); err == nil {
			t.Errorf("the certificate of %s passes for one of the key", what)
		}
	}
}

// sealed is a checkpoint of the first records by any signer.
func (l *lab) sealed(size uint64, signer note.Signer) []byte {
	r, err := record(context.Background(), l, size)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.note(size, r.Hash, l.Memory, signer)
}

// TestLargeLog writes and reads many records: what is held in memory does not grow
// with them. QUORATE_BUNDLE_RECORDS says how many.
func TestLargeLog(t *testing.T) {
	n := uint64(60_000)
	if text := os.Getenv("QUORATE_BUNDLE_RECORDS"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	src := &endless{live: liveHeap()}
	src.limit = src.live + 24<<20
	r, w := io.Pipe()
	go func() {
		_, err := Write(context.Background(), w, src, &Content{Program: "v1", Cluster: "c", From: 2, To: n + 1})
		_ = w.CloseWithError(err) // it never fails
	}()
	sum := sha256.New()
	report, err := Verify(context.Background(), io.TeeReader(r, sum), Trust{})
	if err != nil || report.Records() != n {
		t.Fatal(report, err)
	}
	if src.most > src.limit {
		t.Errorf("%d records: %d MiB are held beyond the %d MiB before", n, (src.most-src.live)>>20, src.live>>20)
	}
}
