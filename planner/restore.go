package planner

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"quorate/internal/job"
)

// Restore is [Load] for a plan that was made before: what src does not name comes from
// the plan's own inputs, by way of content, which is not asked for files that jobs ship.
// It reads no file but those that src names and what jobs in these ship. The vars of
// the plan are not taken over: they are opt's. The error is content's, wrapped with
// the name of the input.
func Restore(src Sources, from *Plan, content func(in Input) ([]byte, error), opt Options) (*Inputs, []Diagnostic, error) {
	kept := &stored{byRole: map[Role][]*inputFile{}, shipped: map[string][]Input{}, from: from}
	for _, in := range from.Inputs {
		if in.Role == RoleFile {
			kept.shipped[in.Name] = append(kept.shipped[in.Name], in)
			continue
		}
		if in.Role == RoleService && src.Services != "" || in.Role == RoleInventory && src.Inventory != "" ||
			in.Role == RoleRoles && src.Roles != "" || in.Role == RoleOrchestration && len(src.Orchestrations) > 0 {
			continue
		}
		data, err := content(in)
		if err != nil {
			return nil, nil, fmt.Errorf("input %s %s: %w", in.Role, in.Name, err)
		}
		if data == nil {
			data = []byte{}
		}
		kept.byRole[in.Role] = append(kept.byRole[in.Role], &inputFile{role: in.Role, name: in.Name, path: in.Name, stored: true, data: data})
	}
	kept.sortOrchestrations()
	kept.index()
	l := &loader{language: newLanguage(), opt: &opt, in: &Inputs{}, stored: kept}
	inputs, diagnostics := l.load(src)
	return inputs, diagnostics, nil
}

// stored are the inputs of a plan that was made before. A nil one has none.
type stored struct {
	from    *Plan
	byRole  map[Role][]*inputFile
	shipped map[string][]Input // by name, of which there may be several
	byJob   map[Pos][]job.File // what the jobs at a place ship
	modes   map[string]uint32  // by digest
}

func (s *stored) has(role Role) bool { return s != nil && len(s.byRole[role]) > 0 }

func (s *stored) files(role Role) []*inputFile {
	if s == nil {
		return nil
	}
	return slices.Clone(s.byRole[role])
}

var playName = regexp.MustCompile(`^play-([0-9]{1,9})`)

// sortOrchestrations puts them into the order in which they were named, as far as the
// plan tells: by the numbers of those without a name, else by what comes first.
func (s *stored) sortOrchestrations() {
	place := map[string]int{}
	for i := range s.from.Tasks {
		t := &s.from.Tasks[i]
		at := len(s.from.Tasks) + i
		if m := playName.FindStringSubmatch(t.ID); m != nil {
			at, _ = strconv.Atoi(m[1])
		}
		if before, seen := place[t.Source.File]; !seen || at < before {
			place[t.Source.File] = at
		}
	}
	slices.SortStableFunc(s.byRole[RoleOrchestration], func(a, b *inputFile) int { return place[a.name] - place[b.name] })
}

// keep returns the stored files that a job's source stands for, looked for in one base.
func (s *shipper) keep(f *inputFile, j *jobSpec, b base) []*shippedFile {
	var names []string
	for name := range s.stored.shipped {
		if matches(name, b.prefix, j.source) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []*shippedFile
	for _, name := range names {
		in, mode := s.stored.pick(f.source(j.at), name)
		key := in.Digest + "\x00" + strconv.FormatUint(uint64(mode), 8) + "\x00" + name
		file := s.byPath[key]
		if file == nil {
			file = &shippedFile{path: name, name: name, digest: in.Digest, size: in.Size, mode: mode}
			if s.byPath == nil {
				s.byPath = map[string]*shippedFile{}
			}
			s.byPath[key] = file
			s.digests = append(s.digests, file)
		}
		out = append(out, file)
	}
	return out
}

// pick returns the input of a name that the job at a place ships, and its mode there.
func (s *stored) pick(at Pos, name string) (Input, uint32) {
	candidates := s.shipped[name]
	for _, f := range s.byJob[at] {
		for _, in := range candidates {
			if f.Digest == in.Digest && f.Name == path.Base(name) {
				return in, f.Mode
			}
		}
	}
	if mode, known := s.modes[candidates[0].Digest]; known {
		return candidates[0], mode
	}
	return candidates[0], 0o644
}

// index notes which files the plan's jobs ship.
func (s *stored) index() {
	s.byJob, s.modes = map[Pos][]job.File{}, map[string]uint32{}
	for t := range s.from.Tasks {
		for k := range s.from.Tasks[t].Jobs {
			j := &s.from.Tasks[t].Jobs[k]
			s.byJob[j.Source] = append(s.byJob[j.Source], j.Spec.Files...)
			for _, f := range j.Spec.Files {
				s.modes[f.Digest] = f.Mode
			}
		}
	}
}

// matches reports whether a file with a name among the inputs is what a source stands
// for in a base, by the rules of expand.
func matches(name, prefix, source string) bool {
	if filepath.IsAbs(source) {
		return path.IsAbs(name) && matchParts(partsOf(name), nil, partsOf(source))
	}
	if path.IsAbs(name) {
		return false
	}
	if !strings.ContainsAny(source, "*?[") {
		return path.Join(prefix, filepath.ToSlash(source)) == name
	}
	var literal []string
	if prefix != "" && prefix != "." {
		literal = partsOf(prefix)
	}
	pattern := partsOf(source)
	for len(pattern) > 0 && (pattern[0] == ".." || pattern[0] == ".") {
		if pattern[0] == ".." {
			if len(literal) == 0 || literal[len(literal)-1] == ".." {
				literal = append(literal, "..")
			} else {
				literal = literal[:len(literal)-1]
			}
		}
		pattern = pattern[1:]
	}
	return matchParts(partsOf(name), literal, pattern)
}

func partsOf(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
}

func matchParts(name, literal, pattern []string) bool {
	if len(name) != len(literal)+len(pattern) || !slices.Equal(name[:len(literal)], literal) {
		return false
	}
	for i, part := range pattern {
		have := name[len(literal)+i]
		if !strings.ContainsAny(part, "*?[") {
			if part != have {
				return false
			}
			continue
		}
		if strings.HasPrefix(have, ".") && !strings.HasPrefix(part, ".") {
			return false
		}
		glob := strings.ReplaceAll(strings.ReplaceAll(part, `\`, `\\`), "[!", "[^")
		if ok, err := filepath.Match(glob, have); err != nil || !ok {
			return false
		}
	}
	return true
}
