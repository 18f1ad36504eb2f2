package planner

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"quorate/internal/job"
)

// Sources are the paths that the operator names. Each may be a file or a
// folder; what is not used stays empty.
type Sources struct {
	Services, Inventory, Roles string
	Orchestrations             []string
	// Texts are orchestrations held in memory. Their sources of ADD and COPY are
	// looked for in the working directory.
	Texts []Text
}

// A Text is the content of an orchestration file, with a name for messages.
type Text struct {
	Name    string
	Content []byte
}

// Options steer loading and compiling.
type Options struct {
	// Verbs finds the declarations of verbs.
	Verbs job.Lookup
	// Vars are extra arguments for all templates.
	Vars []job.Option
	// Limit names the hosts that the plan may touch; empty is all of them.
	Limit []string
	// Restrict names the tasks, services or job fingerprints to keep; empty is
	// everything.
	Restrict []string
	// Targets replace the targets of orchestrations, though not a job's own assign.
	Targets []string
	// Hosts are the known nodes: the default targets of orchestrations. Without
	// them and without an inventory every host an orchestration names is known.
	Hosts []string
	// Everywhere are the hosts of orchestrations without targets; nil is all that
	// are known. To know them does not forbid others.
	Everywhere []string
	// ForceAsync takes all orchestrations for async ones.
	ForceAsync bool
	// WorkDir is the last place where sources of ADD and COPY are looked for;
	// empty is none.
	WorkDir string
}

// Load reads, parses and validates the files. Every finding is reported, in the
// order of files and lines. The inputs are never nil: where there is an Error,
// Compile finds what else is wrong and makes no plan.
func Load(src Sources, opt Options) (*Inputs, []Diagnostic) {
	l := &loader{language: newLanguage(), opt: &opt, in: &Inputs{}}
	return l.load(src)
}

// load reads what the sources name, and the rest from what is stored.
func (l *loader) load(src Sources) (*Inputs, []Diagnostic) {
	opt := l.opt
	if src.Services != "" || l.stored.has(RoleService) {
		l.in.wantsServices = true
		l.services(l.filesOf(RoleService, src.Services))
	}
	if src.Inventory != "" || l.stored.has(RoleInventory) {
		l.inventory(l.filesOf(RoleInventory, src.Inventory))
	}
	if src.Roles != "" || l.stored.has(RoleRoles) {
		l.roles(l.filesOf(RoleRoles, src.Roles))
	}
	files := l.stored.files(RoleOrchestration)
	for _, root := range src.Orchestrations {
		files = append(files, l.find(RoleOrchestration, root)...)
	}
	for _, t := range src.Texts {
		files = append(files, &inputFile{role: RoleOrchestration, name: t.Name, path: t.Name, root: opt.WorkDir, data: t.Content})
	}
	l.orchestrations(files)
	if src.Services != "" && (src.Inventory == "" && !l.stored.has(RoleInventory) || src.Roles == "" && !l.stored.has(RoleRoles)) {
		l.errorf("missing-source", Pos{}, "", "services need an inventory and roles beside them")
	}
	l.ship()
	l.in.failed = l.report.failed()
	return l.in, l.sorted()
}

// A loader reads the files of all roles.
type loader struct {
	*language
	report
	opt *Options
	in  *Inputs
	// stored are the inputs of a plan that was made before, or nil.
	stored *stored
}

// filesOf are the files that the operator names, or those that are stored.
func (l *loader) filesOf(kind Role, root string) []*inputFile {
	if root == "" {
		return l.stored.files(kind)
	}
	return l.find(kind, root)
}

// find lists the files of one source; where there is none it reports that.
func (l *loader) find(kind Role, root string) []*inputFile {
	files, isFolder, err := findFiles(root, kind)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.errorf("no-such-file", Pos{File: root}, "", "there is no such %s", sourceNoun(kind))
	case err != nil:
		l.errorf("unreadable", Pos{File: root}, "", "%v", cause(err))
	case len(files) == 0:
		l.errorf("no-such-file", Pos{File: root}, "", "the folder holds no .yaml or .yml file")
	}
	for _, f := range files {
		f.inFolder = isFolder
	}
	return files
}

func sourceNoun(kind Role) string {
	switch kind {
	case RoleService:
		return "file or folder of services"
	case RoleRoles:
		return "roles file or folder"
	case RoleOrchestration:
		return "orchestration file or folder"
	}
	return string(kind) + " file or folder"
}

// A decoded file is what became of it; kept is false where it was passed over.
type decoded[T any] struct {
	value T
	kept  bool
	report
}

// decodeAll reads and decodes files in parallel and returns what they hold, in
// the order of the files.
func decodeAll[T any](l *loader, files []*inputFile, decode func(*decoder) (T, bool)) []T {
	results := make([]decoded[T], len(files))
	inParallel(len(files), func(i int) {
		r := &results[i]
		if err := files[i].read(); err != nil {
			r.kept = true
			r.errorf("unreadable", Pos{File: files[i].path}, "", "%v", cause(err))
			return
		}
		d := &decoder{language: l.language, file: files[i], opt: l.opt}
		d.parse()
		r.value, r.kept = decode(d)
		r.list = d.list
	})
	out := make([]T, 0, len(files))
	for i := range results {
		r := &results[i]
		l.list = append(l.list, r.list...)
		l.in.partial = l.in.partial || r.failed()
		if r.kept {
			l.in.files = append(l.in.files, files[i])
			out = append(out, r.value)
		}
	}
	return out
}

func (l *loader) services(files []*inputFile) {
	first := map[string]*service{}
	for _, s := range decodeAll(l, files, (*decoder).serviceFile) {
		if s == nil || s.id.text == "" {
			continue
		}
		if other := first[s.id.text]; other != nil {
			l.in.partial = true
			l.errorf("duplicate-service", s.file.place(s.id.at), "give one of them another id", "service %q is also in %s", s.id.text, at(other.file, other.id.at))
			continue
		}
		first[s.id.text] = s
		l.in.services = append(l.in.services, s)
	}
	slices.SortFunc(l.in.services, func(a, b *service) int { return strings.Compare(a.id.text, b.id.text) })
}

func (l *loader) inventory(files []*inputFile) {
	first := map[string]*host{}
	for _, hosts := range decodeAll(l, files, (*decoder).inventoryFile) {
		for _, h := range hosts {
			if other := first[h.name.text]; other != nil {
				l.errorf("duplicate-host", h.file.place(h.name.at), "", "host %q is also in %s", h.name.text, at(other.file, other.name.at))
				continue
			}
			first[h.name.text] = h
			l.in.hosts = append(l.in.hosts, h)
		}
	}
}

func (l *loader) roles(files []*inputFile) {
	first := map[string]*role{}
	for _, roles := range decodeAll(l, files, (*decoder).rolesFile) {
		for _, r := range roles {
			if other := first[r.name.text]; other != nil {
				l.errorf("duplicate-role", r.file.place(r.name.at), "", "role %q is also in %s", r.name.text, at(other.file, other.name.at))
				continue
			}
			first[r.name.text] = r
			l.in.roles = append(l.in.roles, r)
		}
	}
}

func (l *loader) orchestrations(files []*inputFile) {
	for _, groups := range decodeAll(l, files, (*decoder).orchestrationFile) {
		l.in.groups = append(l.in.groups, groups...)
	}
}

// ship finds the files that jobs ship. Those of services without hosts are never
// needed, so they may be missing; what is wrong with their jobs is a warning.
func (l *loader) ship() {
	s := &shipper{workDir: l.opt.WorkDir, stored: l.stored}
	active := l.in.assign(&report{})
	for i, svc := range l.in.services {
		found := svc.jobReport.list
		if len(active.of[i]) == 0 {
			for k := range found {
				found[k].Severity = Warning
			}
		} else {
			for k := range svc.tasks {
				s.find(svc.file, svc.tasks[k].jobs)
			}
		}
		l.list = append(l.list, found...)
	}
	for _, g := range l.in.groups {
		s.find(g.file, g.jobs)
	}
	s.finish()
	l.list = append(l.list, s.list...)
	l.in.shipped = slices.Concat(s.digests, s.brought)
}

// at writes a place for use inside a message.
func at(f *inputFile, s spot) string { return fmt.Sprintf("%s:%d", f.path, s.line) }
