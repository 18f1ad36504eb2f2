package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"quorate/eventlog"
)

// partsMax bounds the parts that a reader remembers.
const partsMax = 1 << 18

// A Bundle is a bundle's file that is open for reading. It is not checked beyond what
// reading takes: [Verify] does that. It is not safe for concurrent use.
type Bundle struct {
	About
	file    *os.File
	parts   map[string]section
	schemas []eventlog.KindSchema
}

// A section is where a part's content is, in bytes.
type section struct{ at, size int64 }

// Open opens a bundle. The error is a [*BadError] or a [*NewerError] where the file is
// none that this program reads, or is of the file.
func Open(path string) (*Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b := &Bundle{file: f, parts: map[string]section{}}
	err = b.load()
	if err == nil {
		return b, nil
	}
	var newer *NewerError
	var file *fs.PathError
	if !errors.As(err, &newer) && !errors.As(err, &file) {
		err = &BadError{Reason: err.Error()}
	}
	return nil, errors.Join(err, f.Close())
}

// load finds the parts, and reads the first ones.
func (b *Bundle) load() error {
	info, err := b.file.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, tarBlock)
	for at := int64(0); ; {
		if _, err := b.file.ReadAt(head, at); err != nil {
			return endsEarly(err)
		}
		name, size, err := parseHeader(head)
		if err != nil {
			return err
		}
		at += tarBlock
		if _, twice := b.parts[name]; twice || size > info.Size()-at || len(b.parts) == partsMax {
			return fmt.Errorf("part %.80q is there twice, goes beyond the end, or is one too many", name)
		}
		if len(b.parts) == 0 && name != aboutName {
			return fmt.Errorf("it begins with %.80q, and not with %s", name, aboutName)
		}
		b.parts[name] = section{at, size}
		if len(b.parts) == 1 {
			text, err := b.part(aboutName, aboutBytesMax)
			if err != nil {
				return err
			}
			about, err := parseAbout(text)
			if err != nil {
				return err
			}
			b.About = *about
		}
		if name == sumsName {
			break
		}
		at += size + padding(size)
	}
	text, err := b.part(schemasName, schemaBytesMax)
	if err != nil {
		return err
	}
	return parse(text, &b.schemas)
}

// part returns a part's content.
func (b *Bundle) part(name string, bytesMax int64) ([]byte, error) {
	s, ok := b.parts[name]
	if !ok {
		return nil, fmt.Errorf("part %s: %w", name, fs.ErrNotExist)
	}
	if s.size > bytesMax {
		return nil, fmt.Errorf("part %s has %d bytes, more than the %d that it may", name, s.size, bytesMax)
	}
	text := make([]byte, s.size)
	_, err := b.file.ReadAt(text, s.at)
	return text, err
}

// Close closes the file.
func (b *Bundle) Close() error { return b.file.Close() }

// Verify checks the whole of the file, as [Verify] does.
func (b *Bundle) Verify(ctx context.Context, trust Trust) (*Report, error) {
	return Verify(ctx, io.NewSectionReader(b.file, 0, 1<<62), trust)
}

// Records yields the contiguous records from an index on, with their hashes in the
// chain. The first error ends them.
func (b *Bundle) Records(from uint64) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for r, err := range b.all() {
			if err == nil && (r.Index < b.From || r.Index < from) {
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// all yields every record.
func (b *Bundle) all() iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		e := events{describer: newDescriber(b.schemas)}
		e.begin(&b.About, nil, nil)
		e.see = func(r eventlog.Record) bool { return yield(r, nil) }
		for number := 1; !e.done(); number++ {
			name := fmt.Sprintf(eventsName, number)
			s, ok := b.parts[name]
			if !ok {
				yield(eventlog.Record{}, &BadError{Part: name, Index: e.next(), Reason: "the part is missing"})
				return
			}
			if err := e.read(io.NewSectionReader(b.file, s.at, s.size)); errors.Is(err, errStopped) {
				return
			} else if err != nil {
				yield(eventlog.Record{}, err)
				return
			}
		}
	}
}

// State returns the encoded state in front of [About.From], where there is one.
func (b *Bundle) State() (io.Reader, bool) {
	s, ok := b.parts[stateName]
	return io.NewSectionReader(b.file, s.at, s.size), ok
}

// Blob returns the content of a blob, which was checked. The error wraps
// fs.ErrNotExist where the bundle has none of the digest.
func (b *Bundle) Blob(digest string) (io.Reader, error) {
	s, ok := b.parts[blobPrefix+digest]
	if !ok {
		return nil, fmt.Errorf("blob %.12s is not in the bundle: %w", digest, fs.ErrNotExist)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(b.file, s.at, s.size)); err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != digest {
		return nil, &BadError{Part: blobPrefix + digest, Reason: "its content is not what its name says"}
	}
	return io.NewSectionReader(b.file, s.at, s.size), nil
}

// IsBundle reports whether a file begins as bundles do.
func IsBundle(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, tarBlock)
	if _, err := io.ReadFull(f, head); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return bytes.HasPrefix(head, append([]byte(aboutName), 0)), nil
}
