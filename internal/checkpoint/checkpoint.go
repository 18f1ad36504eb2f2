// Package checkpoint is what a cluster signs of its log: how many records it has and
// the root of the Merkle tree over them, in the format of C2SP's tlog-checkpoint,
// signed as a note of golang.org/x/mod/sumdb/note. It reads and writes the text, and
// judges whether a checkpoint contradicts others that were seen before. It reads no
// log.
package checkpoint

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	// OriginPrefix is in front of the cluster's id in a checkpoint's first line, and in
	// the name of the key that signs it.
	OriginPrefix = "quorate/"
	// NoteBytesMax bounds a signed checkpoint.
	NoteBytesMax = 4096
	// RecoveriesMax bounds the recoveries that one names: the newest are.
	RecoveriesMax = 32

	sizeMax = 1 << 53 // JSON's numbers are exact up to here
)

// ErrMalformed is wrapped by errors for text that is no checkpoint, or not written
// as this program would write it.
var ErrMalformed = errors.New("malformed checkpoint")

// ErrUnsigned is wrapped by errors for a note without the expected key's signature.
var ErrUnsigned = errors.New("not signed by the cluster's key")

// A Hash is a SHA-256.
type Hash = [32]byte

// A Checkpoint says what a log was when it had Size records.
type Checkpoint struct {
	ClusterID string
	Size      uint64
	// Root is of the Merkle tree over the records, Head the hash of the last one in the
	// chain.
	Root, Head Hash
	// Generation is that of the newest recovery of the cluster among the records, or 0,
	// and Recoveries are all of them, oldest first.
	Generation uint64
	Recoveries []Recovery
	// Time is when it was signed, in UTC, to the second.
	Time time.Time
}

// A Recovery is where a log goes on in place of records that are lost.
type Recovery struct {
	// Index is of the record that says so: what was there at and behind it before is
	// gone.
	Index uint64 `json:"index"`
	// Generation grows with each recovery.
	Generation uint64 `json:"generation"`
}

// Text returns the lines of the checkpoint: the origin, the size, the root in base64,
// and what this program adds, each line behind a word that names it.
func (c *Checkpoint) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n%d\n%s\n", OriginPrefix, c.ClusterID, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	fmt.Fprintf(&b, "head %x\ngeneration %d\n", c.Head, c.Generation)
	for _, r := range c.Recoveries {
		fmt.Fprintf(&b, "recovered %d %d\n", r.Index, r.Generation)
	}
	fmt.Fprintf(&b, "time %s\n", c.Time.UTC().Format(time.RFC3339))
	return b.String()
}

// Sign returns the checkpoint as a note.
func (c *Checkpoint) Sign(signer note.Signer) ([]byte, error) {
	text := c.Text()
	if own, err := Parse(text); err != nil || !own.equal(c) {
		return nil, fmt.Errorf("%w: it would not be read as it is", ErrMalformed)
	}
	b, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if len(b) > NoteBytesMax {
		return nil, fmt.Errorf("%w: %d bytes exceed %d", ErrMalformed, len(b), NoteBytesMax)
	}
	return b, nil
}

func (c *Checkpoint) equal(o *Checkpoint) bool {
	return c.ClusterID == o.ClusterID && c.Size == o.Size && c.Root == o.Root && c.Head == o.Head &&
		c.Generation == o.Generation && slices.Equal(c.Recoveries, o.Recoveries) && c.Time.Unix() == o.Time.Unix()
}

// Open reads a signed note. Errors wrap [ErrUnsigned] or [ErrMalformed].
func Open(signed []byte, key note.Verifier) (*Checkpoint, error) {
	if len(signed) > NoteBytesMax {
		return nil, fmt.Errorf("%w: %d bytes exceed %d", ErrMalformed, len(signed), NoteBytesMax)
	}
	n, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w: %w", ErrUnsigned, err)
	}
	// A last character of base64 has bits that nothing reads: one note has one form.
	for _, sig := range slices.Concat(n.Sigs, n.UnverifiedSigs) {
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return nil, fmt.Errorf("%w: the signature of %q is not in its one form: %w", ErrMalformed, sig.Name, err)
		}
	}
	c, err := Parse(n.Text)
	if err != nil {
		return nil, err
	}
	if key.Name() != OriginPrefix+c.ClusterID {
		return nil, fmt.Errorf("%w: the key of %s signs for %s", ErrUnsigned, key.Name(), OriginPrefix+c.ClusterID)
	}
	return c, nil
}

// Unverified reads a note's checkpoint without its signatures.
func Unverified(signed []byte) (*Checkpoint, error) {
	if len(signed) > NoteBytesMax {
		return nil, fmt.Errorf("%w: %d bytes exceed %d", ErrMalformed, len(signed), NoteBytesMax)
	}
	at := strings.Index(string(signed), "\n\n")
	if at < 0 {
		return nil, fmt.Errorf("%w: no signature", ErrMalformed)
	}
	return Parse(string(signed[:at+1]))
}

// Parse reads a checkpoint's text, which has to be as [Checkpoint.Text] writes it.
// The error wraps [ErrMalformed].
func Parse(text string) (*Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 7 || len(lines) > 7+RecoveriesMax || lines[len(lines)-1] != "" {
		return nil, fmt.Errorf("%w: %d lines", ErrMalformed, len(lines))
	}
	lines = lines[:len(lines)-1]
	p := parser{}
	c := &Checkpoint{ClusterID: p.word(lines[0], OriginPrefix)}
	c.Size = p.number(lines[1])
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || copy(c.Root[:], root) != len(c.Root) {
		p.wrong(lines[2])
	}
	head, err := hex.DecodeString(p.word(lines[3], "head "))
	if err != nil || copy(c.Head[:], head) != len(c.Head) {
		p.wrong(lines[3])
	}
	c.Generation = p.number(p.word(lines[4], "generation "))
	for _, line := range lines[5 : len(lines)-1] {
		index, generation, _ := strings.Cut(p.word(line, "recovered "), " ")
		c.Recoveries = append(c.Recoveries, Recovery{p.number(index), p.number(generation)})
	}
	last := lines[len(lines)-1]
	if c.Time, err = time.Parse(time.RFC3339, p.word(last, "time ")); err != nil {
		p.wrong(last)
	}
	if p.err == nil && c.Text() != text {
		p.err = fmt.Errorf("%w: not in its one form", ErrMalformed)
	}
	if p.err == nil {
		p.err = c.sane()
	}
	if p.err != nil {
		return nil, p.err
	}
	return c, nil
}

// sane refuses what no log can be.
func (c *Checkpoint) sane() error {
	var last Recovery
	for _, r := range c.Recoveries {
		if r.Index <= last.Index || r.Generation <= last.Generation || r.Index > c.Size {
			return fmt.Errorf("%w: recoveries out of order", ErrMalformed)
		}
		last = r
	}
	if last.Generation != c.Generation || c.Size == 0 || c.Size > sizeMax {
		return fmt.Errorf("%w: %d records of generation %d", ErrMalformed, c.Size, c.Generation)
	}
	return nil
}

// A parser keeps the first error.
type parser struct{ err error }

func (p *parser) wrong(line string) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: line %.80q", ErrMalformed, line)
	}
}

func (p *parser) word(line, prefix string) string {
	rest, ok := strings.CutPrefix(line, prefix)
	if !ok || rest == "" {
		p.wrong(line)
	}
	return rest
}

func (p *parser) number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		p.wrong(s)
	}
	return n
}
