package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// A bundle is a tar archive whose headers hold nothing but names and sizes: every
// other field is the same in each. Its last part lists the SHA-256 of all others as
// sha256sum does.

const (
	tarBlock      = 512
	tarBytesMax   = 1<<33 - 1 // of a part: eleven octal digits
	tarNameMax    = 99
	sumsName      = "SHA256SUMS"
	sumsBytesMax  = 256 << 20
	sumsLinesMax  = 1 << 20
	tarEndBytes   = 2 * tarBlock
	sumLineDigits = 2 * sha256.Size
)

// tarHeader returns the header of a part, in the ustar format.
func tarHeader(name string, size int64) ([]byte, error) {
	if size < 0 || size > tarBytesMax {
		return nil, fmt.Errorf("part %.80s of %d bytes: a bundle's may have up to %d", name, size, int64(tarBytesMax))
	}
	if name == "" || len(name) > tarNameMax {
		return nil, fmt.Errorf("part %.120q: its name is too long", name)
	}
	h := make([]byte, tarBlock)
	copy(h, name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00", size, 0))
	copy(h[148:], "        0")
	copy(h[257:], "ustar\x0000")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h, nil
}

// padding is how many zeros stand behind a part's content.
func padding(size int64) int64 { return -size & (tarBlock - 1) }

// A packer writes the parts of a bundle. The first error ends it.
type packer struct {
	w    io.Writer
	sums []byte
	err  error
}

func (p *packer) bytes(name string, content []byte) {
	p.add(name, int64(len(content)), bytes.NewReader(content))
}

// add writes a part, whose content must be as long as is said.
func (p *packer) add(name string, size int64, content io.Reader) {
	if p.err != nil {
		return
	}
	head, err := tarHeader(name, size)
	if err == nil {
		_, err = p.w.Write(head)
	}
	if err != nil {
		p.err = err
		return
	}
	sum := sha256.New()
	if _, err = io.CopyN(io.MultiWriter(p.w, sum), content, size); err == nil {
		if n, _ := io.ReadFull(content, make([]byte, 1)); n > 0 {
			err = errors.New("it is longer than it was said to be")
		}
	} else if errors.Is(err, io.EOF) {
		err = errors.New("it is shorter than it was said to be")
	}
	if err == nil {
		_, err = p.w.Write(make([]byte, padding(size)))
	}
	if err != nil {
		p.err = fmt.Errorf("part %s: %w", name, err)
		return
	}
	p.sums = appendSum(p.sums, sum, name)
}

// end writes the sums and the end of the archive.
func (p *packer) end() error {
	p.bytes(sumsName, bytes.Clone(p.sums))
	if p.err == nil {
		_, p.err = p.w.Write(make([]byte, tarEndBytes))
	}
	return p.err
}

func appendSum(dst []byte, sum hash.Hash, name string) []byte {
	dst = hex.AppendEncode(dst, sum.Sum(nil))
	return append(append(append(dst, "  "...), name...), '\n')
}

// An opener reads the parts of a bundle in order, strictly. It holds the sums of
// what was read.
type opener struct {
	r    io.Reader
	sums []byte
	// Of the part at hand:
	name string
	sum  hash.Hash
	rest int64
	pad  int64
}

// next goes on to the next part and returns its size. The one before must be read.
func (o *opener) next() (name string, size int64, err error) {
	var head [tarBlock]byte
	if _, err := io.ReadFull(o.r, head[:]); err != nil {
		return "", 0, endsEarly(err)
	}
	name, size, err = parseHeader(head[:])
	if err != nil {
		return "", 0, err
	}
	o.name, o.rest, o.pad, o.sum = name, size, padding(size), sha256.New()
	return name, size, nil
}

func parseHeader(head []byte) (name string, size int64, err error) {
	text, _, _ := bytes.Cut(head[:100], []byte{0})
	name = string(text)
	for _, c := range head[124:135] {
		size = size<<3 | int64(c&7)
	}
	want, err := tarHeader(name, size)
	if err != nil || !bytes.Equal(want, head) {
		return "", 0, errors.New("a header is not in canonical form")
	}
	return name, size, nil
}

// Read reads the part at hand. It ends with io.EOF when the part, and the padding
// behind it, was read and is right.
func (o *opener) Read(b []byte) (int, error) {
	if o.rest == 0 {
		return 0, io.EOF
	}
	n, err := o.r.Read(b[:min(int64(len(b)), o.rest)])
	o.sum.Write(b[:n])
	if o.rest -= int64(n); o.rest == 0 {
		return n, nil
	}
	if err != nil {
		return n, endsEarly(err)
	}
	return n, nil
}

// finish ends the part at hand, which was read to its end.
func (o *opener) finish() error {
	if o.rest > 0 {
		return errors.New("it holds more than it should")
	}
	zeros := make([]byte, o.pad)
	if _, err := io.ReadFull(o.r, zeros); err != nil {
		return endsEarly(err)
	}
	if !allZero(zeros) {
		return errors.New("its padding is not in canonical form")
	}
	if len(o.sums) > sumsBytesMax {
		return errors.New("the bundle has too many parts")
	}
	o.sums = appendSum(o.sums, o.sum, o.name)
	return nil
}

// content reads all of the part at hand, up to a bound.
func (o *opener) content(bytesMax int64) ([]byte, error) {
	if o.rest > bytesMax {
		return nil, fmt.Errorf("it has %d bytes, more than the %d that it may", o.rest, bytesMax)
	}
	var buf bytes.Buffer // grows with what is there, whatever the header says
	if _, err := io.Copy(&buf, o); err != nil {
		return nil, err
	}
	return buf.Bytes(), o.finish()
}

// end reads the rest of the file behind the last part.
func (o *opener) end() error {
	var tail [tarEndBytes + 1]byte
	n, err := io.ReadFull(o.r, tail[:])
	switch {
	case n > tarEndBytes || err == nil:
		return errors.New("something stands behind the end of the archive")
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case n < tarEndBytes:
		return endsEarly(io.EOF)
	case !allZero(tail[:n]):
		return errors.New("the end of the archive is not in canonical form")
	}
	return nil
}

func endsEarly(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends too early")
	}
	return err
}

func allZero(b []byte) bool { return strings.Trim(string(b), "\x00") == "" }
