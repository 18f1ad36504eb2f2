package planner

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/job"
)

// validate checks what the types do not say. The bytes of a plan come from
// clients, and their indexes are used without looking again.
func (p *Plan) validate() error {
	if err := unique("host", p.Hosts); err != nil {
		return err
	}
	if err := p.validateHostSets(); err != nil {
		return err
	}
	ids := make([]string, len(p.Tasks))
	for i := range p.Tasks {
		ids[i] = p.Tasks[i].ID
	}
	if err := unique("task", ids); err != nil {
		return err
	}
	for i := range p.Tasks {
		if err := p.validateTask(uint32(i)); err != nil {
			return fmt.Errorf("task %q: %w", p.Tasks[i].ID, err)
		}
	}
	if err := p.validateOrder(); err != nil {
		return err
	}
	if err := validateOptions(p.Vars); err != nil {
		return fmt.Errorf("vars: %w", err)
	}
	return p.validateInputs()
}

func unique(what string, names []string) error {
	seen := make(map[string]bool, len(names))
	for _, n := range names {
		if n == "" || seen[n] {
			return fmt.Errorf("the %s %q is empty or twice", what, n)
		}
		seen[n] = true
	}
	return nil
}

func ascending[T cmp.Ordered](list []T) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1] >= list[i] {
			return false
		}
	}
	return true
}

func (p *Plan) validateHostSets() error {
	seen := make(map[string]bool, len(p.HostSets))
	var key []byte
	for i, set := range p.HostSets {
		if !ascending(set) || len(set) > 0 && int(set[len(set)-1]) >= len(p.Hosts) {
			return fmt.Errorf("host set %d is not ascending positions of hosts", i)
		}
		key = key[:0]
		for _, h := range set {
			key = binary.LittleEndian.AppendUint32(key, h)
		}
		if seen[string(key)] {
			return fmt.Errorf("host set %d is there twice", i)
		}
		seen[string(key)] = true
	}
	return nil
}

func (p *Plan) validateTask(i uint32) error {
	t := &p.Tasks[i]
	if !slices.Contains(Drivers(), t.Driver) && t.Driver != DriverMissing {
		return fmt.Errorf("there is no driver %q", t.Driver)
	}
	if int(t.HostSet) >= len(p.HostSets) {
		return fmt.Errorf("there is no host set %d", t.HostSet)
	}
	hosts := len(p.HostSets[t.HostSet])
	switch {
	case t.Driver == DriverDirectord && hosts == 0:
		return fmt.Errorf("it has no host")
	case t.Driver == DriverLocal && len(t.Jobs) != 1:
		return fmt.Errorf("a local task has one job, not %d", len(t.Jobs))
	case t.Driver != DriverDirectord && t.Driver != DriverLocal && len(t.Jobs) > 0:
		return fmt.Errorf("the driver %s has no jobs", t.Driver)
	}
	for k, d := range t.Requires {
		if d.Task >= i || k > 0 && t.Requires[k-1].Task >= d.Task {
			return fmt.Errorf("what it requires is not ascending positions before its own")
		}
	}
	if !ascending(t.Symbols) {
		return fmt.Errorf("its symbols are not sorted")
	}
	for k := range t.Jobs {
		j := &t.Jobs[k]
		if int(j.HostSet) >= len(p.HostSets) || len(p.HostSets[j.HostSet]) == 0 && t.Driver == DriverDirectord {
			return fmt.Errorf("job %d has no hosts", j.Spec.Index)
		}
		if k > 0 && t.Jobs[k-1].Spec.Index >= j.Spec.Index {
			return fmt.Errorf("its jobs are not in the order of their indexes")
		}
		if err := validateJob(&j.Spec); err != nil {
			return fmt.Errorf("job %d: %w", j.Spec.Index, err)
		}
	}
	return nil
}

func validateJob(j *job.Job) error {
	if j.Verb == "" || j.Verb != strings.ToUpper(j.Verb) {
		return fmt.Errorf("the verb is %q", j.Verb)
	}
	if err := validateOptions(j.Options); err != nil {
		return err
	}
	if !ascending(j.SuccessExits) {
		return fmt.Errorf("exit codes are not ascending")
	}
	for k, f := range j.Files {
		// The name becomes the last part of a path on a host.
		if f.Name == "" || f.Name == "." || f.Name == ".." || strings.ContainsAny(f.Name, "/\x00") {
			return fmt.Errorf("%q is no name of a file", f.Name)
		}
		if k > 0 && j.Files[k-1].Name > f.Name {
			return fmt.Errorf("its files are not sorted")
		}
		if !isDigest(f.Digest) || f.Size < 0 || f.Mode > 0o7777 {
			return fmt.Errorf("file %q: digest, size or mode is none", f.Name)
		}
	}
	return nil
}

func validateOptions(options []job.Option) error {
	for k, o := range options {
		if o.Name == "" || k > 0 && options[k-1].Name >= o.Name {
			return fmt.Errorf("option %q is out of order", o.Name)
		}
	}
	return nil
}

// validateOrder checks that tasks are sorted by level, then by id.
func (p *Plan) validateOrder() error {
	level := p.taskLevels()
	for i := 1; i < len(p.Tasks); i++ {
		if cmp.Or(cmp.Compare(level[i-1], level[i]), strings.Compare(p.Tasks[i-1].ID, p.Tasks[i].ID)) >= 0 {
			return fmt.Errorf("task %q is out of order", p.Tasks[i].ID)
		}
	}
	return nil
}

func (p *Plan) validateInputs() error {
	roles := []Role{RoleService, RoleInventory, RoleRoles, RoleOrchestration, RoleFile}
	for k, in := range p.Inputs {
		if !slices.Contains(roles, in.Role) || !isDigest(in.Digest) || in.Size < 0 {
			return fmt.Errorf("input %q: role, digest or size is none", in.Name)
		}
		if k > 0 && compareInputs(p.Inputs[k-1], in) >= 0 {
			return fmt.Errorf("input %q is out of order", in.Name)
		}
	}
	return nil
}

func isDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
