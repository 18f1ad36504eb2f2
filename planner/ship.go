package planner

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"quorate/internal/job"
)

// shippedFilesMax bounds the files that one job ships.
const shippedFilesMax = 10_000

// A shippedFile is a file whose content travels with the plan.
type shippedFile struct {
	path   string
	name   string // in the plan
	digest string
	size   int64
	mode   uint32
	// content is what a file holds that lies nowhere; path is empty then.
	content []byte
}

// A base is a folder that sources of ADD and COPY are looked for in.
type base struct {
	dir string
	// prefix leads from the root that names are relative to, to dir.
	prefix string
}

// name is what a plan calls a file found in the base. Absolute sources have no
// base and keep their path.
func (b base) name(found string) string {
	if b.dir == "" {
		return filepath.ToSlash(found)
	}
	return path.Join(b.prefix, filepath.ToSlash(strings.TrimPrefix(found, b.dir+string(filepath.Separator))))
}

// bases returns where the file's sources are looked for, in order: beside the
// file, in the folder of its role, in the working directory.
func bases(f *inputFile, workDir string) []base {
	var out []base
	add := func(b base) {
		if b.dir = filepath.Clean(b.dir); !slices.ContainsFunc(out, func(o base) bool { return o.dir == b.dir }) {
			out = append(out, b)
		}
	}
	below := path.Dir(f.name)
	add(base{filepath.Join(f.root, filepath.FromSlash(below)), below})
	add(base{f.root, ""})
	if workDir != "" {
		add(base{workDir, ""})
	}
	return out
}

// A shipper finds and digests the files that jobs ship.
type shipper struct {
	report
	workDir string
	stored  *stored
	digests []*shippedFile // each path once
	brought []*shippedFile // by verbs themselves, each once; digested already
	byPath  map[string]*shippedFile
	claims  []claim
}

// A claim is a job and the files it ships.
type claim struct {
	job   *jobSpec
	file  *inputFile
	files []*shippedFile
}

// find resolves the sources of the jobs. Digests are filled in by finish.
func (s *shipper) find(f *inputFile, jobs []jobSpec) {
	for i := range jobs {
		j := &jobs[i]
		s.bring(j.brings)
		if j.source == "" {
			continue
		}
		c := claim{job: j, file: f}
		var tried []string
		places := bases(f, s.workDir)
		if filepath.IsAbs(j.source) {
			places = []base{{dir: "", prefix: ""}}
		}
		for _, b := range places {
			if f.stored {
				c.files = append(c.files, s.keep(f, j, b)...)
				if len(c.files) > 0 {
					break
				}
				tried = append(tried, b.name(filepath.Join(b.dir, j.source)))
				continue
			}
			matches, err := expand(b.dir, j.source)
			if err != nil {
				s.errorf("unreadable", f.place(j.at), "", "source %q of %s: %v", j.source, j.spec.Verb, err)
				break
			}
			for _, m := range matches {
				c.files = append(c.files, s.claim(m, b.name(m)))
			}
			if len(matches) > 0 {
				break
			}
			tried = append(tried, filepath.Join(b.dir, filepath.FromSlash(j.source)))
		}
		if len(c.files) == 0 {
			if len(tried) == len(places) {
				s.errorf("no-such-file", f.place(j.at), "looked for "+strings.Join(tried, ", then "), "%s ships %q, but there is no such file", j.spec.Verb, j.source)
			}
			continue
		}
		s.claims = append(s.claims, c)
	}
}

// bring takes note of what a verb brings to the hosts by itself.
func (s *shipper) bring(contents []job.Content) {
	for _, c := range contents {
		known := func(f *shippedFile) bool { return f.name == c.Input && f.digest == c.File.Digest }
		if !slices.ContainsFunc(s.brought, known) {
			s.brought = append(s.brought, &shippedFile{
				path: c.Path, name: c.Input, digest: c.File.Digest, size: c.File.Size, mode: c.File.Mode, content: c.Bytes,
			})
		}
	}
}

func (s *shipper) claim(path, name string) *shippedFile {
	key := path + "\x00" + name
	if f := s.byPath[key]; f != nil {
		return f
	}
	f := &shippedFile{path: path, name: name}
	if s.byPath == nil {
		s.byPath = map[string]*shippedFile{}
	}
	s.byPath[key] = f
	s.digests = append(s.digests, f)
	return f
}

// finish digests what was found and gives the jobs their files.
func (s *shipper) finish() {
	errs := make([]error, len(s.digests))
	inParallel(len(s.digests), func(i int) {
		if s.digests[i].digest == "" { // of what is stored it is known
			errs[i] = s.digests[i].digestContent()
		}
	})
	unreadable := map[*shippedFile]error{}
	for i, err := range errs {
		if err != nil {
			unreadable[s.digests[i]] = err
		}
	}
	for _, c := range s.claims {
		c.job.spec.Files = nil
		for _, f := range c.files {
			if err := unreadable[f]; err != nil {
				s.errorf("unreadable", c.file.place(c.job.at), "", "%s: %v", f.path, cause(err))
				continue
			}
			c.job.spec.Files = append(c.job.spec.Files, job.File{Name: path.Base(f.name), Digest: f.digest, Size: f.size, Mode: f.mode})
		}
		slices.SortStableFunc(c.job.spec.Files, func(a, b job.File) int { return cmp.Compare(a.Name, b.Name) })
		if filepath.IsAbs(c.job.source) {
			// Directord's fingerprint holds absolute paths. Relative sources are left
			// as they are written, or a plan would depend on where the files lie.
			for _, f := range c.files {
				c.job.parsed.Paths = append(c.job.parsed.Paths, f.path)
			}
			c.job.parsed.Seal(c.job.decl)
			c.job.spec.Fingerprint = c.job.parsed.Job.Fingerprint
		}
	}
}

func (f *shippedFile) digestContent() error {
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	sum := sha256.New()
	if f.size, err = io.Copy(sum, in); err != nil {
		return err
	}
	f.digest, f.mode = hex.EncodeToString(sum.Sum(nil)), uint32(info.Mode().Perm())
	return nil
}

// expand returns the regular files that a glob stands for, folders and files in
// the order of their names. As in
// Python's glob * matches no leading dot and no slash, and ** is nothing special.
func expand(dir, pattern string) ([]string, error) {
	if strings.ContainsRune(pattern, 0) {
		return nil, nil
	}
	paths := []string{dir}
	if filepath.IsAbs(pattern) {
		paths = []string{string(filepath.Separator)}
	}
	parts := strings.FieldsFunc(pattern, func(r rune) bool { return r == '/' })
	for i, part := range parts {
		var err error
		if paths, err = step(paths, part, i == len(parts)-1); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// step follows one component of a glob.
func step(dirs []string, part string, last bool) ([]string, error) {
	var out []string
	if !strings.ContainsAny(part, "*?[") {
		for _, dir := range dirs {
			p := joinPath(dir, part)
			if info, err := os.Stat(p); err == nil && fits(info.Mode(), last) {
				out = append(out, p)
			}
		}
		return out, nil
	}
	match := strings.ReplaceAll(strings.ReplaceAll(part, `\`, `\\`), "[!", "[^")
	for _, dir := range dirs {
		entries, err := os.ReadDir(cmp.Or(dir, "."))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(part, ".") {
				continue
			}
			ok, err := filepath.Match(match, e.Name())
			if err != nil {
				return nil, fmt.Errorf("the pattern %q is not one", part)
			}
			if p := joinPath(dir, e.Name()); ok {
				if info, err := os.Stat(p); err == nil && fits(info.Mode(), last) {
					out = append(out, p)
				}
			}
			if len(out) > shippedFilesMax {
				return nil, fmt.Errorf("more than %d files", shippedFilesMax)
			}
		}
	}
	return out, nil
}

// fits reports whether a path is of use: a file at the end of a glob, a folder before.
func fits(mode fs.FileMode, last bool) bool { return last && mode.IsRegular() || !last && mode.IsDir() }

// joinPath keeps .. as it is written: a folder may be a link.
func joinPath(dir, part string) string {
	switch {
	case dir == "":
		return part
	case strings.HasSuffix(dir, string(filepath.Separator)):
		return dir + part
	}
	return dir + string(filepath.Separator) + part
}
