package verb

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"quorate/internal/job"
)

// An owner is who a file is to belong to, and its permission bits.
type owner struct {
	uid, gid int // -1: as it is
	mode     uint32
	hasMode  bool
	// lenient owners are kept where that is permitted; it is no error where not.
	lenient bool
}

// ownershipOf reads the options chown and chmod. Names are looked up before
// anything is changed.
func ownershipOf(j *job.Job) (owner, error) {
	o := owner{uid: -1, gid: -1}
	if text, ok := j.Option("chown"); ok {
		name, group := splitOwner(text)
		var err error
		if name != "" {
			if o.uid, err = userID(name); err != nil {
				return o, err
			}
		}
		if group != "" {
			if o.gid, err = groupID(group); err != nil {
				return o, err
			}
		}
	}
	if text, ok := j.Option("chmod"); ok {
		mode, err := strconv.ParseUint(text, 8, 32)
		if err != nil || mode > 0o7777 {
			return o, fmt.Errorf("chmod %s: octal permission bits are needed", text)
		}
		o.mode, o.hasMode = uint32(mode), true
	}
	return o, nil
}

// ownership is ownershipOf with the owner rendered.
func (env *Env) ownership(ctx context.Context, j *job.Job) (owner, error) {
	rendered := *j
	var err error
	if rendered.Options, err = env.renderOptions(ctx, j.Options); err != nil {
		return owner{uid: -1, gid: -1}, err
	}
	return ownershipOf(&rendered)
}

func splitOwner(owner string) (user, group string) {
	user, group, _ = strings.Cut(owner, ":")
	return user, group
}

func userID(name string) (int, error) {
	if u, err := user.Lookup(name); err == nil {
		return strconv.Atoi(u.Uid)
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	return -1, fmt.Errorf("there is no user %s on this host", name)
}

func groupID(name string) (int, error) {
	if g, err := user.LookupGroup(name); err == nil {
		return strconv.Atoi(g.Gid)
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	return -1, fmt.Errorf("there is no group %s on this host", name)
}

// apply sets owner and mode where they differ, and reports whether they did. The
// owner comes first, because a change of it takes away special bits.
func (o owner) apply(path string) (changed bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && (o.uid >= 0 && o.uid != int(st.Uid) || o.gid >= 0 && o.gid != int(st.Gid)) {
		switch err := os.Chown(path, o.uid, o.gid); {
		case err == nil:
			changed = true
		case !o.lenient:
			return changed, fmt.Errorf("owner: %w", err)
		}
		if info, err = os.Stat(path); err != nil {
			return changed, err
		}
	}
	if o.hasMode && modeBits(info.Mode()) != o.mode {
		if err := os.Chmod(path, fileMode(o.mode)); err != nil {
			return changed, fmt.Errorf("mode: %w", err)
		}
		changed = true
	}
	return changed, nil
}

// The special permission bits, which fs.FileMode has elsewhere.
const (
	setUID = 0o4000
	setGID = 0o2000
	sticky = 0o1000
)

func modeBits(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		bits |= setUID
	}
	if m&fs.ModeSetgid != 0 {
		bits |= setGID
	}
	if m&fs.ModeSticky != 0 {
		bits |= sticky
	}
	return bits
}

func fileMode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	if bits&setUID != 0 {
		m |= fs.ModeSetuid
	}
	if bits&setGID != 0 {
		m |= fs.ModeSetgid
	}
	if bits&sticky != 0 {
		m |= fs.ModeSticky
	}
	return m
}
