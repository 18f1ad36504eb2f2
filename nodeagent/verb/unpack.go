package verb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// unpack puts all of the archive aside, and then in its place: as a whole where the
// destination is new, and otherwise the entries that differ. It reports whether
// anything of the destination has changed, also where it fails.
func (u *unpacking) unpack(ctx context.Context) (changed bool, err error) {
	parent := u.to
	if !u.there {
		parent = filepath.Dir(u.to)
	}
	aside, err := os.MkdirTemp(parent, ".quorate-unpack-*")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(aside)) }()
	root, err := os.OpenRoot(aside)
	if err != nil {
		return false, err
	}
	defer root.Close()
	modes := map[string]uint32{}
	err = u.archive.each(ctx, func(e archiveEntry) error {
		if e.kind == entryDir {
			modes[e.name] = e.mode
		}
		return u.stage(ctx, root, e)
	})
	if err != nil {
		return false, err
	}
	if err := syncFileSystem(aside); err != nil {
		return false, err
	}
	if u.there {
		return u.move(filepath.Base(aside), modes)
	}
	if err := ownDirectories(root, modes); err != nil {
		return false, err
	}
	if err := os.Chmod(aside, fs.FileMode(0o777&^umask())); err != nil {
		return false, err
	}
	if u.want.uid >= 0 || u.want.gid >= 0 {
		if err := os.Lchown(aside, u.want.uid, u.want.gid); err != nil {
			return false, err
		}
	}
	if err := os.Rename(aside, u.to); err != nil {
		return false, err
	}
	return true, syncDir(parent)
}

// stage unpacks one entry aside.
func (u *unpacking) stage(ctx context.Context, root *os.Root, e archiveEntry) error {
	if err := u.makeParents(root, path.Dir(e.name)); err != nil {
		return err
	}
	switch e.kind {
	case entryDir:
		// Its own mode comes last: it may forbid to write into it.
		return u.makeParents(root, e.name)
	case entrySymlink:
		if err := root.Symlink(e.link, e.name); err != nil {
			return err
		}
	case entryHardLink:
		return root.Link(e.link, e.name)
	case entryFile:
		if err := u.stageFile(ctx, root, e); err != nil {
			return err
		}
	}
	return u.own(root, e.name)
}

func (u *unpacking) stageFile(ctx context.Context, root *os.Root, e archiveEntry) error {
	f, err := root.OpenFile(e.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	digest, err := copyContent(ctx, f, e.body)
	if err == nil && digest != u.digests[e.name] {
		err = errors.New("the archive has changed in this moment")
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Chmod(e.name, fs.FileMode(e.mode))
}

// makeParents makes directories that belong to whom all of it belongs to.
func (u *unpacking) makeParents(root *os.Root, dir string) error {
	if _, err := root.Lstat(dir); err == nil {
		return nil
	}
	if err := u.makeParents(root, path.Dir(dir)); err != nil {
		return err
	}
	if err := root.Mkdir(dir, 0o777); err != nil {
		return err
	}
	return u.own(root, dir)
}

func (u *unpacking) own(root *os.Root, name string) error {
	if u.want.uid < 0 && u.want.gid < 0 {
		return nil
	}
	return root.Lchown(name, u.want.uid, u.want.gid)
}

// ownDirectories gives directories the modes that the archive has for them, those
// below others first.
func ownDirectories(root *os.Root, modes map[string]uint32) error {
	names := make([]string, 0, len(modes))
	for name := range modes {
		names = append(names, name)
	}
	slices.Sort(names)
	slices.Reverse(names)
	for _, name := range names {
		if err := root.Chmod(name, fs.FileMode(modes[name])); err != nil {
			return err
		}
	}
	return nil
}

// move lets the entries that differ take their places in a destination that is there.
func (u *unpacking) move(aside string, modes map[string]uint32) (changed bool, err error) {
	root, err := os.OpenRoot(u.to)
	if err != nil {
		return false, err
	}
	defer root.Close()
	made := map[string]uint32{}
	for _, name := range u.differing {
		if mode, isDir := modes[name]; isDir {
			made[name] = mode
			if err := u.makeParents(root, name); err != nil {
				return changed, err
			}
			changed = true
			continue
		}
		if err := u.makeParents(root, path.Dir(name)); err != nil {
			return changed, err
		}
		if err := root.Rename(path.Join(aside, name), name); err != nil {
			return changed, fmt.Errorf("only a part is in its place: %w", err)
		}
		changed = true
	}
	if err := ownDirectories(root, made); err != nil {
		return changed, err
	}
	return changed, syncFileSystem(u.to)
}

// syncFileSystem writes everything of the file system that a directory lies in.
func syncFileSystem(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}
