package verb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"quorate/internal/job"
)

func mountVerb() *Verb {
	return deciding(job.Declaration{
		Verb:    "MOUNT",
		Summary: "Keep a file system mounted, now and at boot.",
		Details: "The entry of fstab is found by its mount point. The mount point is made where it is missing. " +
			"Where mounting fails, fstab is as it was before.",
		Example:    "MOUNT: /dev/sdb1 /srv/data --type ext4 --options noatime,nofail",
		Text:       "DEVICE PATH, or PATH alone with --absent or --unmounted",
		Positional: job.Paths,
		WordsMin:   1,
		WordsMax:   2,
		Options: []job.OptionDecl{
			{Name: "type", Kind: job.String, Default: "auto", Help: "the type of the file system"},
			{Name: "options", Kind: job.String, Default: "defaults", Help: "mount options, separated by commas"},
			{Name: "dump", Kind: job.Int, Default: "0", Help: "fifth field of fstab"},
			{Name: "pass", Kind: job.Int, Default: "0", Help: "sixth field of fstab: the order of checks at boot"},
			{Name: "absent", Kind: job.Flag, Help: "unmount it, and take the entry out"},
			{Name: "unmounted", Kind: job.Flag, Help: "unmount it, and leave fstab alone"},
			{Name: "boot-only", Kind: job.Flag, Help: "keep the entry, and neither mount nor unmount"},
			{Name: "fstab", Kind: job.Phrase, Default: "/etc/fstab", Help: "the file of entries"},
		},
		Exclusive: [][]string{{"absent", "unmounted", "boot-only"}},
		Check: func(p *job.Parsed) string {
			paths, _ := job.SplitPaths(p.Job.Text) // they have been split once without an error
			gone := isSet(&p.Job, "absent") || isSet(&p.Job, "unmounted")
			switch {
			case !gone && len(paths) != 2:
				return "a device and a path are needed"
			case gone && len(paths) != 1:
				return "--absent and --unmounted take a path alone"
			}
			return ""
		},
	}, decideMount)
}

func decideMount(_ context.Context, a *asked) ([]step, error) {
	point := filepath.Clean(a.words[len(a.words)-1])
	if !filepath.IsAbs(point) {
		return nil, fmt.Errorf("the mount point %s has to be an absolute path", point)
	}
	table, err := a.mountTable()
	if err != nil {
		return nil, err
	}
	is, mounted := mountedAt(table, point)
	if a.has("unmounted") {
		return a.unmount(point, mounted)
	}
	file, err := editOf(a.path(a.option("fstab")), owner{uid: -1, gid: -1})
	if err != nil {
		return nil, err
	}
	var entry fstabEntry
	if !a.has("absent") {
		entry = fstabEntry{a.words[0], point, a.option("type"), a.option("options"), a.option("dump"), a.option("pass")}
	}
	after, err := setFstab(string(file.before), point, entry)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file.path, err)
	}
	var steps []step
	if file.there || after != "" {
		if steps, err = file.steps([]byte(after)); err != nil {
			return nil, err
		}
	}
	switch {
	case a.has("boot-only"):
		return steps, nil
	case a.has("absent"):
		more, err := a.unmount(point, mounted)
		return append(more, steps...), err
	case mounted && !is.may(entry):
		return nil, fmt.Errorf("%s of type %s is mounted at %s, and not %s", is.device, is.kind, point, entry[0])
	}
	more, err := a.mount(point, mounted, len(steps) > 0)
	return append(steps, more...), err
}

func (a *asked) unmount(point string, mounted bool) ([]step, error) {
	if !mounted {
		return nil, nil
	}
	return []step{a.commandStep("unmount "+point, "umount", point)}, requireTool("MOUNT", "umount")
}

// mount is what is left to do for the entry of fstab to be mounted. Where it is, and
// the entry is new, its options are applied anew.
func (a *asked) mount(point string, mounted, entered bool) ([]step, error) {
	if mounted && !entered {
		return nil, nil
	}
	words := []string{"mount"}
	if a.has("fstab") {
		words = append(words, "-T", a.path(a.option("fstab")))
	}
	err := requireTool("MOUNT", "mount")
	if mounted {
		return []step{a.commandStep("remount "+point, append(words, "-o", "remount", point)...)}, err
	}
	var steps []step
	switch info, statErr := os.Stat(point); {
	case errors.Is(statErr, os.ErrNotExist):
		steps = append(steps, step{what: "make the directory " + point, do: func(context.Context) Result {
			if err := os.MkdirAll(point, 0o755); err != nil {
				return failed("%v", err)
			}
			return succeeded(true, "")
		}, undo: func(context.Context) error { return os.Remove(point) }})
	case statErr != nil:
		return nil, statErr
	case !info.IsDir():
		return nil, fmt.Errorf("the mount point %s is not a directory", point)
	}
	return append(steps, a.commandStep("mount "+point, append(words, point)...)), err
}

// mountTable is what the kernel has mounted.
func (a *asked) mountTable() (string, error) {
	path := a.mountInfo
	if path == "" {
		path = "/proc/self/mountinfo"
	}
	data, err := os.ReadFile(path)
	return string(data), err
}

// A mounted file system, as the kernel tells of it.
type mounted struct{ device, kind string }

// may reports whether what is mounted can be what an entry names. Labels, and names
// that lead to the device in ways of their own, cannot be told and are believed.
func (m mounted) may(e fstabEntry) bool {
	if e[2] != "auto" && e[2] != "none" && m.kind != e[2] && !strings.HasPrefix(m.kind, e[2]+".") && !strings.HasPrefix(m.kind, e[2]+"4") {
		return false
	}
	if !strings.HasPrefix(e[0], "/dev/") || !strings.HasPrefix(m.device, "/dev/") {
		return true
	}
	want, errWant := filepath.EvalSymlinks(e[0])
	is, errIs := filepath.EvalSymlinks(m.device)
	return e[0] == m.device || errWant != nil || errIs != nil || want == is
}

// mountedAt finds what is mounted at a path, on top of what may lie below.
func mountedAt(table, point string) (m mounted, ok bool) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		dash := -1
		for i, f := range fields {
			if f == "-" && i >= 6 {
				dash = i
				break
			}
		}
		if dash < 0 || dash+2 >= len(fields) || unescaped(fields[4]) != point {
			continue
		}
		m, ok = mounted{kind: fields[dash+1], device: unescaped(fields[dash+2])}, true
	}
	return m, ok
}
