package verb

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

const (
	// entriesMax is how many entries an archive may have.
	entriesMax = 1_000_000
	// linkBytesMax is how long the target of a link may be.
	linkBytesMax = 4096
	// zstdWindowBytesMax bounds the memory that unpacking zstd takes.
	zstdWindowBytesMax = 128 << 20
)

// A entryKind is what an entry of an archive is.
type entryKind uint8

const (
	entryFile entryKind = iota
	entryDir
	entrySymlink
	entryHardLink
)

// An archiveEntry is one entry of an archive, whose name stays below the root.
type archiveEntry struct {
	name string
	kind entryKind
	mode uint32 // permission bits, without the special ones
	link string // target of a link
	body io.Reader
}

// An archive reads the entries of a file again and again.
type archive struct {
	path  string
	strip int // leading parts of names to leave out
}

var errUnknownArchive = errors.New("it is no archive of a known kind: tar, plain or with gzip, bzip2, xz or zstd, or zip")

// xzMagic begins files of xz, which a tool of the host unpacks.
var xzMagic = []byte("\xfd7zXZ\x00")

// each calls visit for every entry, in the order of the archive. What an entry must
// not be is an error: a name or a link that leads out, a device, a name used twice.
func (a archive) each(ctx context.Context, visit func(archiveEntry) error) error {
	f, err := os.Open(a.path)
	if err != nil {
		return err
	}
	defer f.Close()
	guard := &entryGuard{visit: visit, strip: a.strip, seen: map[string]entryKind{}}
	r := bufio.NewReaderSize(f, 64<<10)
	head, _ := r.Peek(512) // short files are no error
	var tarred io.Reader = r
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return eachZip(ctx, f, guard)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		if tarred, err = gzip.NewReader(r); err != nil {
			return err
		}
	case bytes.HasPrefix(head, []byte("BZh")):
		tarred = bzip2.NewReader(r)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindowBytesMax))
		if err != nil {
			return err
		}
		defer z.Close()
		tarred = z
	case len(head) < 512 || string(head[257:262]) != "ustar" && head[0] != 0:
		return errUnknownArchive
	}
	return eachTar(ctx, tarred, guard)
}

func eachTar(ctx context.Context, r io.Reader, guard *entryGuard) error {
	t := tar.NewReader(r)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			// The rest holds the checksum of what was compressed.
			_, err = io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		e := archiveEntry{name: h.Name, mode: uint32(h.Mode) & 0o777, link: h.Linkname, body: t}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeDir:
			e.kind = entryDir
		case tar.TypeSymlink:
			e.kind = entrySymlink
		case tar.TypeLink:
			e.kind = entryHardLink
		case tar.TypeXGlobalHeader:
			continue
		default:
			return fmt.Errorf("%q is a device or something else that is not unpacked", h.Name)
		}
		if err := guard.pass(e); err != nil {
			return err
		}
	}
}

func eachZip(ctx context.Context, f *os.File, guard *entryGuard) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	for _, member := range z.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := passMember(member, guard); err != nil {
			return err
		}
	}
	return nil
}

func passMember(member *zip.File, guard *entryGuard) error {
	e := archiveEntry{name: member.Name, mode: uint32(member.Mode().Perm())}
	switch mode := member.Mode(); {
	case mode.IsDir():
		e.kind = entryDir
	case mode&fs.ModeSymlink != 0:
		e.kind = entrySymlink
	case !mode.IsRegular():
		return fmt.Errorf("%q is a device or something else that is not unpacked", member.Name)
	}
	body, err := member.Open()
	if err != nil {
		return fmt.Errorf("%q: %w", member.Name, err)
	}
	defer body.Close()
	if e.body = body; e.kind == entrySymlink {
		target, err := io.ReadAll(io.LimitReader(body, linkBytesMax+1))
		if err != nil {
			return err
		}
		e.link = string(target)
	}
	return guard.pass(e)
}

// An entryGuard lets entries pass that stay below the root.
type entryGuard struct {
	visit func(archiveEntry) error
	strip int
	seen  map[string]entryKind
}

func (g *entryGuard) pass(e archiveEntry) error {
	original := e.name
	name, ok := localName(e.name, g.strip)
	switch {
	case !ok:
		return fmt.Errorf("the name %q leads out of the destination", original)
	case name == ".":
		return nil
	case len(g.seen) == entriesMax:
		return fmt.Errorf("it holds more than %d entries", entriesMax)
	}
	kind, twice := g.seen[name]
	if twice && (kind != entryDir || e.kind != entryDir) {
		return fmt.Errorf("it holds %q twice", original)
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if kind, ok := g.seen[dir]; ok && kind != entryDir {
			return fmt.Errorf("%q lies below %q, which is no directory", original, dir)
		}
	}
	e.name, g.seen[name] = name, e.kind
	switch e.kind {
	case entrySymlink:
		if len(e.link) > linkBytesMax || e.link == "" || path.IsAbs(e.link) || !filepath.IsLocal(path.Join(path.Dir(name), e.link)) {
			return fmt.Errorf("the link %q leads out of the destination, to %q", original, e.link)
		}
	case entryHardLink:
		target, ok := localName(e.link, g.strip)
		if kind, there := g.seen[target]; !ok || !there || kind != entryFile {
			return fmt.Errorf("the link %q leads to %q, which is no file before it in the archive", original, e.link)
		}
		e.link = target
	}
	if err := g.visit(e); err != nil {
		return fmt.Errorf("%q: %w", original, err)
	}
	return nil
}

// localName is a name of an archive without its leading parts; "." where nothing is
// left. A name that leads out is not ok, whatever is left out of it.
func localName(name string, strip int) (string, bool) {
	if strings.ContainsRune(name, 0) || strings.ContainsRune(name, '\\') && filepath.Separator == '\\' {
		return "", false
	}
	clean := path.Clean(name)
	if name == "" || clean != "." && !filepath.IsLocal(clean) || path.IsAbs(name) {
		return "", false
	}
	parts := strings.Split(clean, "/")
	if clean == "." || len(parts) <= strip {
		return ".", true
	}
	return strings.Join(parts[strip:], "/"), true
}
