package verb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"quorate/internal/job"
)

func unarchiveVerb() *Verb {
	return deciding(job.Declaration{
		Verb:    "UNARCHIVE",
		Summary: "Unpack an archive of the operator's machine, or of the host, into a directory.",
		Details: "It is tar, plain or with gzip, bzip2, xz or zstd, or zip; its content tells which. " +
			"Everything is unpacked aside first, and then what differs takes its place file by file, or as a whole where the directory is new: " +
			"a damaged archive leaves nothing behind. Names and links that lead out of the directory, and devices, are refused. " +
			"Files that the archive does not hold stay. Special permission bits are left out.",
		Example:    "UNARCHIVE: --strip 1 --creates /opt/tool/bin/tool tool-1.2.tar.gz /opt/tool",
		Text:       "SOURCE DESTINATION",
		Positional: job.Paths,
		WordsMin:   2,
		WordsMax:   2,
		ShipsFiles: true,
		FromHost:   "on-host",
		Options: []job.OptionDecl{
			{Name: "on-host", Kind: job.Flag, Help: "the source is a path of the host"},
			{Name: "creates", Kind: job.Phrase, Help: "do nothing where this path is there"},
			{Name: "strip", Kind: job.Int, Default: "0", Help: "how many leading parts of names to leave out"},
			{Name: "chown", Kind: job.String, Help: "USER[:GROUP] of all that is unpacked"},
		},
		Check: func(p *job.Parsed) string {
			if n := intOption(&p.Job, "strip", 0); n < 0 || n > 100 {
				return "--strip is a number from 0 to 100"
			}
			return checkOwnership(p)
		},
	}, decideUnarchive)
}

func decideUnarchive(ctx context.Context, a *asked) ([]step, error) {
	if creates := a.option("creates"); creates != "" {
		if _, err := os.Lstat(a.path(creates)); err == nil {
			return nil, nil
		}
	}
	want, err := ownershipOf(a.job)
	if err != nil {
		return nil, err
	}
	source, remove, err := a.archiveSource(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	to := filepath.Clean(a.path(a.words[1]))
	u := &unpacking{archive: archive{source, a.int("strip")}, to: to, want: want, digests: map[string]string{}}
	if info, err := os.Stat(filepath.Dir(to)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("there is no directory %s", filepath.Dir(to))
	}
	if err := u.compare(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", a.words[0], err)
	}
	if len(u.differing) == 0 && u.there {
		return nil, nil
	}
	what := fmt.Sprintf("unpack %d of %d entries into %s: %s", len(u.differing), u.entries, to, shortened(u.differing))
	return []step{{what: what, do: func(ctx context.Context) Result {
		// What was unpacked to compare it is gone: xz has to be unpacked again.
		source, remove, err := a.archiveSource(ctx)
		if err != nil {
			return failed("%v", err)
		}
		defer remove()
		u.archive.path = source
		changed, err := u.unpack(ctx)
		if err != nil {
			res := failed("%v", err)
			res.Changed = changed
			return res
		}
		return succeeded(true, "")
	}}}, nil
}

// shownMax is how many entries are named where something is said about many.
const shownMax = 10

func shortened(names []string) string {
	if len(names) > shownMax {
		return strings.Join(names[:shownMax], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

// archiveSource finds the archive, whole and not compressed by xz. Remove deletes
// what was made of it for reading.
func (a *asked) archiveSource(ctx context.Context) (path string, remove func(), err error) {
	path, remove = a.path(a.words[0]), func() {}
	if !a.has("on-host") {
		if len(a.job.Files) != 1 {
			return "", nil, fmt.Errorf("%s stands for %d files, and not for one archive", a.words[0], len(a.job.Files))
		}
		f := a.job.Files[0]
		if path, err = a.Blob(ctx, f.Digest); err != nil {
			return "", nil, err
		}
		if digest, err := digestOf(ctx, path); err != nil || digest != f.Digest {
			return "", nil, errors.Join(err, errDigest)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	head := make([]byte, len(xzMagic))
	_, err = io.ReadFull(f, head)
	if err := errors.Join(err, f.Close()); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", nil, err
	}
	if !bytes.Equal(head, xzMagic) {
		return path, remove, nil
	}
	return a.unxz(ctx, path)
}

// unxz unpacks xz into a temporary file.
func (a *asked) unxz(ctx context.Context, path string) (string, func(), error) {
	if err := requireTool("UNARCHIVE", "xz"); err != nil {
		return "", nil, err
	}
	f, err := os.CreateTemp("", "quorate-xz-")
	if err != nil {
		return "", nil, err
	}
	remove := func() { _ = os.Remove(f.Name()) } // what is left is in the temporary directory
	if err := f.Close(); err != nil {
		remove()
		return "", nil, err
	}
	exited, err := a.command(ctx, "xz -dc < "+quoteWords([]string{path})+" > "+quoteWords([]string{f.Name()}), false)
	if err == nil && exited.Code != 0 {
		err = refused("xz", exited)
	}
	if err != nil {
		remove()
		return "", nil, err
	}
	return f.Name(), remove, nil
}

// An unpacking is an archive on its way into a directory.
type unpacking struct {
	archive   archive
	to        string
	want      owner
	there     bool // the destination
	entries   int
	differing []string          // names of what is not as the archive has it
	digests   map[string]string // of the files, by name
}

// compare finds out which entries differ from what is there.
func (u *unpacking) compare(ctx context.Context) error {
	root, err := os.OpenRoot(u.to)
	switch {
	case err == nil:
		defer root.Close()
		u.there = true
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return u.archive.each(ctx, func(e archiveEntry) error {
		u.entries++
		if e.kind == entryFile {
			digest, err := copyContent(ctx, io.Discard, e.body)
			if err != nil {
				return err
			}
			u.digests[e.name] = digest
		}
		same := false
		if u.there {
			if same, err = u.same(ctx, root, e); err != nil {
				return err
			}
		}
		if !same {
			u.differing = append(u.differing, e.name)
		}
		return nil
	})
}

// same reports whether an entry is there already. Where it can never be put there, as
// things are, that is an error.
func (u *unpacking) same(ctx context.Context, root *os.Root, e archiveEntry) (bool, error) {
	info, err := root.Lstat(e.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case e.kind == entryDir:
		if info, err = root.Stat(e.name); err != nil || !info.IsDir() {
			return false, errors.New("something that is no directory is in its place")
		}
		return true, nil
	case info.IsDir():
		return false, errors.New("a directory is in its place")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && (u.want.uid >= 0 && u.want.uid != int(st.Uid) || u.want.gid >= 0 && u.want.gid != int(st.Gid)) {
		return false, nil
	}
	if e.kind == entrySymlink {
		if info.Mode()&fs.ModeSymlink == 0 {
			return false, nil
		}
		target, err := root.Readlink(e.name)
		return target == e.link, err
	}
	digest := u.digests[e.name]
	if e.kind == entryHardLink {
		digest = u.digests[e.link]
		u.digests[e.name] = digest
	} else if modeBits(info.Mode()) != e.mode {
		return false, nil
	}
	if !info.Mode().IsRegular() {
		return false, nil
	}
	f, err := root.Open(e.name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	is, err := copyContent(ctx, io.Discard, f)
	return is == digest, err
}
