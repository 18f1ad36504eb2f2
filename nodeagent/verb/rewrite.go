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
	"strings"
	"syscall"
)

// editBytesMax is the size of the largest file that is edited.
const editBytesMax = 16 << 20

// textContent is a content that is held in memory.
func textContent(text []byte) content {
	sum := sha256.Sum256(text)
	return content{text: text, digest: hex.EncodeToString(sum[:]), size: int64(len(text))}
}

// readEdited returns the content of a file that is to be edited, and whether there
// is one. It reads nothing that is longer than editBytesMax.
func readEdited(path string) (data []byte, there bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, editBytesMax+1))
	if err == nil && len(data) > editBytesMax {
		err = fmt.Errorf("%s is larger than %d bytes", path, editBytesMax)
	}
	return data, true, err
}

// An edit gives a file a new content.
type edit struct {
	path          string // with links resolved
	before, after []byte
	there         bool // before the edit
	want          owner
	prove         func(ctx context.Context, path string) error
}

// editOf reads the file that a path leads to.
func editOf(path string, want owner) (*edit, error) {
	target, err := followed(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	e := &edit{path: target, want: want}
	e.before, e.there, err = readEdited(target)
	return e, err
}

// steps is what is to be done for the file to hold after: nothing, or one step.
func (e *edit) steps(after []byte) ([]step, error) {
	e.after = after
	if info, err := os.Stat(filepath.Dir(e.path)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("there is no directory %s", filepath.Dir(e.path))
	}
	pending, err := e.want.pending(e.path)
	if err != nil {
		return nil, err
	}
	if e.there && bytes.Equal(e.before, after) {
		if len(pending) == 0 {
			return nil, nil
		}
		return []step{{what: e.path + ": " + strings.Join(pending, ", "), do: e.own}}, nil
	}
	what := "write " + e.path
	if !e.there {
		what = "create " + e.path
	}
	if len(pending) > 0 {
		what += ": " + strings.Join(pending, ", ")
	}
	return []step{{what: what, diff: unified(e.path, e.before, after), do: e.write, undo: e.restore}}, nil
}

func (e *edit) own(context.Context) Result {
	changed, err := e.want.apply(e.path)
	if err != nil {
		return failed("%v", err)
	}
	return succeeded(changed, "")
}

// write replaces the file, unless somebody else has written it since it was read.
func (e *edit) write(ctx context.Context) Result {
	now, there, err := readEdited(e.path)
	if err != nil {
		return failed("%v", err)
	}
	if there != e.there || !bytes.Equal(now, e.before) {
		return failed("somebody else has changed %s in this moment", e.path)
	}
	c := textContent(e.after)
	c.prove = e.prove
	if err := c.write(ctx, e.path, e.want); err != nil {
		return failed("%v", err)
	}
	return succeeded(true, "")
}

// restore gives the file its content of before.
func (e *edit) restore(ctx context.Context) error {
	if !e.there {
		return os.Remove(e.path)
	}
	return textContent(e.before).write(ctx, e.path, owner{uid: -1, gid: -1})
}

// removal is the step that deletes a file.
func (e *edit) removal() step {
	return step{what: "remove " + e.path, diff: unified(e.path, e.before, nil), do: func(context.Context) Result {
		if err := os.Remove(e.path); err != nil {
			return failed("%v", err)
		}
		if err := syncDir(filepath.Dir(e.path)); err != nil {
			return failed("%v", err)
		}
		return succeeded(true, "")
	}, undo: e.restore}
}

// pending says what [owner.apply] would change of a file, in words.
func (o owner) pending(path string) ([]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && (o.uid >= 0 && o.uid != int(st.Uid) || o.gid >= 0 && o.gid != int(st.Gid)) {
		uid, gid := int(st.Uid), int(st.Gid)
		if o.uid >= 0 {
			uid = o.uid
		}
		if o.gid >= 0 {
			gid = o.gid
		}
		out = append(out, fmt.Sprintf("owner %d:%d becomes %d:%d", st.Uid, st.Gid, uid, gid))
	}
	if bits := modeBits(info.Mode()); o.hasMode && bits != o.mode {
		out = append(out, fmt.Sprintf("mode %04o becomes %04o", bits, o.mode))
	}
	return out, nil
}
