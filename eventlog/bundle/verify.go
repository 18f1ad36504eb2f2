package bundle

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"quorate/eventlog"
)

// A BadError says where a bundle or a log is not what its writer made, or what its
// signatures do not cover.
type BadError struct {
	Log  bool   // it is a log
	Part string // as tar lists it; empty where it is the archive itself
	// Index is of the first record that is wrong, or may be; 0 where it is none.
	Index  uint64
	Reason string
}

// Error implements error.
func (e *BadError) Error() string {
	what := "bundle"
	if e.Log {
		what = "log"
	}
	switch {
	case e.Index > 0:
		return fmt.Sprintf("the %s is bad at index %d: %s", what, e.Index, e.Reason)
	case e.Part != "":
		return fmt.Sprintf("the %s is bad at part %s: %s", what, e.Part, e.Reason)
	}
	return fmt.Sprintf("the %s is bad: %s", what, e.Reason)
}

// Verify reads a bundle to its end and checks all of it. The error is a [*BadError] or
// a [*NewerError] where it is about the bundle. What is right may still prove little:
// the report tells. Memory does not grow with the number of records.
func Verify(ctx context.Context, r io.Reader, trust Trust) (*Report, error) {
	v := &verifier{ctx: ctx, opener: opener{r: bufio.NewReaderSize(r, 256<<10)}, trust: trust, report: &Report{}}
	err := v.run()
	var bad *BadError
	var newer *NewerError
	switch {
	case err == nil:
		return v.report, nil
	case errors.As(err, &bad), errors.As(err, &newer), ctx.Err() != nil:
		return nil, err
	}
	return nil, &BadError{Part: v.name, Reason: err.Error()}
}

// A verifier is one pass over a bundle.
type verifier struct {
	opener
	ctx     context.Context
	trust   Trust
	report  *Report
	about   *About
	key     *key
	outside []Checkpoint
	events  events
}

func (v *verifier) run() error {
	text, err := v.part(aboutName, aboutBytesMax)
	if err != nil {
		return err
	}
	if v.about, err = parseAbout(text); err != nil {
		return err
	}
	v.report.About = *v.about
	if err := v.schemas(); err != nil {
		return err
	}
	if err := v.proof(); err != nil {
		return err
	}
	if v.about.State {
		if _, err := v.begin(stateName); err != nil {
			return err
		}
		if err := v.skip(io.Discard); err != nil {
			return err
		}
	}
	said := newClaims(v.about)
	v.events.see = said.see
	if err := v.records(); err != nil {
		return err
	}
	if err := v.judge(); err != nil {
		return err
	}
	if said.err != nil {
		return said.err
	}
	v.report.RunEnds = said.ended
	if err := v.blobs(); err != nil {
		return err
	}
	sums := slices.Clone(v.sums)
	text, err = v.part(sumsName, sumsBytesMax)
	if err != nil {
		return err
	}
	if !bytes.Equal(text, sums) {
		return wrongSum(text, sums)
	}
	v.name = ""
	return v.opener.end()
}

// begin goes on to the next part, which must be the one of a name.
func (v *verifier) begin(want string) (int64, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}
	v.name = want
	name, size, err := v.next()
	if err != nil {
		v.name = want
		return 0, err
	}
	if name != want {
		v.name = want
		return 0, fmt.Errorf("in its place is %.120q", name)
	}
	return size, nil
}

// part returns the content of the next part.
func (v *verifier) part(want string, bytesMax int64) ([]byte, error) {
	if _, err := v.begin(want); err != nil {
		return nil, err
	}
	return v.content(bytesMax)
}

// skip reads the part at hand without keeping it.
func (v *verifier) skip(w io.Writer) error {
	if _, err := io.Copy(w, &v.opener); err != nil {
		return err
	}
	return v.finish()
}

func (v *verifier) schemas() error {
	text, err := v.part(schemasName, schemaBytesMax)
	if err != nil {
		return err
	}
	var theirs []eventlog.KindSchema
	if err := parse(text, &theirs); err != nil {
		return err
	}
	if v.report.NewerEvents, err = extends(eventlog.Schemas(), theirs); err != nil {
		return err
	}
	v.events.describer = newDescriber(theirs)
	return nil
}

// proof reads the key, the checkpoints and the hashes of the tree.
func (v *verifier) proof() error {
	if len(v.about.Checkpoints) == 0 {
		v.events.begin(v.about, nil, nil)
		return nil
	}
	text, err := v.part(keyName, keyBytesMax)
	if err != nil {
		return err
	}
	if v.key, err = parseKey(text, v.about.Cluster); err != nil {
		return err
	}
	if v.about.Certified {
		if text, err = v.part(certName, certBytesMax); err != nil {
			return err
		}
		if err := v.key.certify(text); err != nil {
			return err
		}
	}
	for _, size := range v.about.Checkpoints {
		if text, err = v.part(fmt.Sprintf(checkpointed, size), noteBytesMax); err != nil {
			return err
		}
		c, err := v.key.open(text)
		if err == nil && c.Size != size {
			err = fmt.Errorf("it is of %d records", c.Size)
		}
		if err != nil {
			return err
		}
		v.report.Signed = append(v.report.Signed, *c)
	}
	if v.outside, err = v.trust.outside(v.key); err != nil {
		return err
	}
	v.events.begin(v.about, v.report.Signed, v.outside)
	if text, err = v.part(treeName, treeBytesMax); err != nil {
		return err
	}
	if err := parse(text, &v.events.nodes); err != nil {
		return err
	}
	return checkNodes(v.about, v.events.nodes)
}

// checkNodes wants the hashes of the tree to be those that the records leave out.
func checkNodes(a *About, nodes []node) error {
	i := 0
	for lo, hi := range holes(a) {
		for level, n := range pieces(lo, hi) {
			if i == len(nodes) || i >= treeNodesMax {
				return errors.New("it has too few hashes")
			}
			if nodes[i].Level != level || nodes[i].N != n || !isHash(nodes[i].Hash) {
				return fmt.Errorf("hash %d is not number %d of level %d", i, n, level)
			}
			i++
		}
	}
	if i != len(nodes) || nodes == nil {
		return errors.New("it has too many hashes")
	}
	return nil
}

// records reads the parts of events.
func (v *verifier) records() error {
	for number := 1; !v.events.done(); number++ {
		size, err := v.begin(fmt.Sprintf(eventsName, number))
		if err != nil {
			return v.events.bad(err.Error())
		}
		if size == 0 || size >= chunkBytes+lineBytesMax {
			return v.events.bad("its part has no length that one of events has")
		}
		if err := v.events.read(&v.opener); err != nil {
			return err
		}
		if err := v.finish(); err != nil {
			return err
		}
		if size < chunkBytes && !v.events.done() {
			return errors.New("it ends before it is full")
		}
	}
	return v.events.end()
}

// blobs reads the blobs, each of which something before must name.
func (v *verifier) blobs() error {
	for _, b := range v.about.Blobs {
		size, err := v.begin(blobPrefix + b.SHA256)
		if err != nil {
			return err
		}
		if size != b.Bytes {
			return fmt.Errorf("it has %d bytes, and %s says %d", size, aboutName, b.Bytes)
		}
		if !v.events.named.has(b.SHA256) {
			return errors.New("nothing names it")
		}
		var w io.Writer = io.Discard
		if v.events.vouched[b.SHA256] {
			v.events.named.restart()
			w = v.events.named
		}
		if err := v.skip(w); err != nil {
			return err
		}
		if got := hex.EncodeToString(v.sum.Sum(nil)); got != b.SHA256 {
			return errors.New("its content is not what its name says")
		}
	}
	return nil
}

// wrongSum names the first part whose sum is not the one that is listed.
func wrongSum(listed, sums []byte) error {
	for line := range strings.Lines(string(sums)) {
		got, rest, _ := bytes.Cut(listed, []byte("\n"))
		if string(got)+"\n" != line {
			return &BadError{Part: strings.TrimSpace(line[sumLineDigits:]), Reason: "its SHA-256 is not the one in " + sumsName}
		}
		listed = rest
	}
	return errors.New("it lists more parts than there are")
}
