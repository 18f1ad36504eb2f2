package verb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"quorate/nodeagent/template"
)

// A content is what a file is to hold: that of another file, or text.
type content struct {
	path   string
	text   []byte // where path is empty
	digest string // SHA-256, lower-case hex
	size   int64
	// prove, where it is not nil, has to accept the new file before it takes its place.
	prove func(ctx context.Context, path string) error
}

var errDigest = errors.New("the content does not have the digest that the plan names")

func (c content) open() (io.ReadCloser, error) {
	if c.path == "" {
		return io.NopCloser(bytes.NewReader(c.text)), nil
	}
	return os.Open(c.path)
}

// blueprint renders a content as a template.
func (env *Env) blueprint(ctx context.Context, c content) (content, error) {
	if c.size > template.SourceBytesMax {
		return c, fmt.Errorf("a template of %d bytes is too long", c.size)
	}
	r, err := c.open()
	if err != nil {
		return c, err
	}
	defer r.Close()
	source, err := io.ReadAll(io.LimitReader(r, template.SourceBytesMax+1))
	if err != nil {
		return c, err
	}
	if sum := sha256.Sum256(source); hex.EncodeToString(sum[:]) != c.digest {
		return c, errDigest
	}
	scope, err := env.scope(string(source))
	if err != nil {
		return c, err
	}
	text, err := template.Render(ctx, string(source), scope)
	if err != nil {
		return c, fmt.Errorf("template: %w", err)
	}
	sum := sha256.Sum256([]byte(text))
	return content{text: []byte(text), digest: hex.EncodeToString(sum[:]), size: int64(len(text))}, nil
}

// isIn reports whether the file at path has this content already.
func (c content) isIn(ctx context.Context, path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() != c.size {
		return false, err
	}
	digest, err := copyContent(ctx, io.Discard, f)
	return digest == c.digest, err
}

// copyContent copies until the end or until ctx ends, and returns the digest.
func copyContent(ctx context.Context, to io.Writer, from io.Reader) (string, error) {
	h := sha256.New()
	w := io.MultiWriter(to, h)
	buffer := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := from.Read(buffer)
		if _, werr := w.Write(buffer[:n]); werr != nil {
			return "", werr
		}
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// write replaces the file at path in one step: whoever reads it sees the old
// content or the new, with its owner and mode, also after a power cut.
func (c content) write(ctx context.Context, path string, want owner) (err error) {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no directory %s", dir)
	}
	want.inherit(path)
	f, err := createNew(dir, filepath.Base(path))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.discard())
		}
	}()
	if err := c.fill(ctx, f, want); err != nil {
		return err
	}
	copyLabel(path, f.path())
	if c.prove != nil {
		hidden, err := f.name()
		if err == nil {
			err = errors.Join(f.Close(), c.prove(ctx, hidden)) // closed: it may be run
		}
		if err != nil {
			return err
		}
	}
	return f.replace(path)
}

func (c content) fill(ctx context.Context, f *newFile, want owner) error {
	if err := f.reserve(c.size); err != nil {
		return err
	}
	r, err := c.open()
	if err != nil {
		return err
	}
	defer r.Close()
	digest, err := copyContent(ctx, f, r)
	if err != nil {
		return err
	}
	if digest != c.digest {
		return errDigest
	}
	if _, err := want.apply(f.path()); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// labelName is the attribute that holds a file's SELinux context.
const labelName = "security.selinux"

// copyLabel keeps the SELinux context of a file that is replaced. Hosts without
// SELinux have none to keep, so errors mean nothing.
func copyLabel(from, to string) {
	label := make([]byte, 1024)
	if n, err := unix.Lgetxattr(from, labelName, label); err == nil {
		_ = unix.Setxattr(to, labelName, label[:n], 0)
	}
}

// umask is the process's mask of permission bits. Asking the system for it
// otherwise means to change it, for all threads.
func umask() uint32 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			if value, ok := strings.CutPrefix(line, "Umask:"); ok {
				if n, err := strconv.ParseUint(strings.TrimSpace(value), 8, 32); err == nil {
					return uint32(n)
				}
			}
		}
	}
	return 0o022
}

// inherit fills in what is not asked for from the file that is replaced, or for
// a new file from the process.
func (o *owner) inherit(path string) {
	info, err := os.Stat(path)
	if err != nil {
		if !o.hasMode {
			o.mode, o.hasMode = 0o666&^umask(), true
		}
		return
	}
	if !o.hasMode {
		o.mode, o.hasMode = modeBits(info.Mode()), true
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if o.uid < 0 {
			o.uid, o.lenient = int(st.Uid), true
		}
		if o.gid < 0 {
			o.gid, o.lenient = int(st.Gid), true
		}
	}
}

// compared says what putting the content at a path would change, in one line and as
// a diff; the line is empty where nothing would.
func (c content) compared(ctx context.Context, path string, want owner) (line, diff string, err error) {
	target, err := followed(path)
	if err != nil {
		return "", "", err
	}
	if info, err := os.Stat(filepath.Dir(target)); err != nil || !info.IsDir() {
		return "", "", fmt.Errorf("there is no directory %s", filepath.Dir(target))
	}
	same, err := c.isIn(ctx, target)
	if err != nil {
		return "", "", err
	}
	pending, err := want.pending(target)
	if err != nil {
		return "", "", err
	}
	if same && len(pending) == 0 {
		return "", "", nil
	}
	line = strings.Join(append([]string{target}, pending...), ", ")
	if same {
		return line, "", nil
	}
	after, err := c.head()
	if err != nil {
		return "", "", err
	}
	before, err := content{path: target}.head()
	if errors.Is(err, fs.ErrNotExist) {
		return "create " + line, unified(target, nil, after), nil
	}
	return "write " + line, unified(target, before, after), err
}

// head is the content as far as a diff needs it: enough to be too long for one.
func (c content) head() ([]byte, error) {
	r, err := c.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, diffSourceBytesMax+1))
}
