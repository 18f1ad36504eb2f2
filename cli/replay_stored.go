package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/component"
	"quorate/internal/job"
	"quorate/nodeagent/verb"
	"quorate/planner"
)

// A storedPlan is a plan on record with what its inputs hold.
type storedPlan struct {
	plan     *planner.Plan
	contents map[string][]byte // by digest: all but files that jobs ship
	verbs    job.Lookup
}

// openStored reads a plan and its inputs.
func openStored(ctx context.Context, read func(ctx context.Context, digest string) ([]byte, error), id string) (*storedPlan, error) {
	data, err := read(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("plan %.12s: %w", id, err)
	}
	plan, err := planner.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("plan %.12s: %w", id, err)
	}
	s := &storedPlan{plan: plan, contents: map[string][]byte{}}
	for _, in := range plan.Inputs {
		if in.Role == planner.RoleFile && !isDescription(in) {
			continue
		}
		if s.contents[in.Digest], err = read(ctx, in.Digest); err != nil {
			return nil, fmt.Errorf("plan %.12s: input %s %s: %w", id, in.Role, in.Name, err)
		}
	}
	s.verbs = s.ownVerbs()
	return s, nil
}

// componentInputs is where the inputs of a plan have components.
const componentInputs = "components/"

func isDescription(in planner.Input) bool {
	return in.Role == planner.RoleFile && strings.HasPrefix(in.Name, componentInputs) && strings.HasSuffix(in.Name, ".json")
}

// ownVerbs finds the verbs that the plan was made with: the built-in ones, and the
// components whose descriptions are among its inputs.
func (s *storedPlan) ownVerbs() job.Lookup {
	found := map[string]*job.Declaration{}
	for _, in := range s.plan.Inputs {
		if !isDescription(in) {
			continue
		}
		description, err := component.DecodeDescription(s.contents[in.Digest])
		if err != nil {
			continue // it is an ordinary file that a job ships
		}
		name := strings.TrimSuffix(in.Name, ".json")
		at := slices.IndexFunc(s.plan.Inputs, func(other planner.Input) bool { return other.Role == planner.RoleFile && other.Name == name })
		if at < 0 {
			continue
		}
		executable := s.plan.Inputs[at]
		decl := description.Declaration()
		decl.Brings = []job.Content{
			{Input: name, File: job.File{Name: job.ComponentFile, Digest: executable.Digest, Size: executable.Size, Mode: 0o700}},
			{Input: in.Name, File: job.File{Name: job.DescriptionFile, Digest: in.Digest, Size: in.Size, Mode: 0o600}},
		}
		found[description.Verb()] = decl
	}
	return func(name string) (*job.Declaration, bool) {
		if d, ok := verb.Lookup(name); ok {
			return d, true
		}
		d, ok := found[name]
		return d, ok
	}
}

// compile compiles the inputs again, but for what src names. The plan is nil where
// there are errors among the diagnostics.
func (s *storedPlan) compile(src planner.Sources, opt planner.Options) (*compilation, error) {
	if opt.Verbs == nil {
		opt.Verbs = s.verbs
	}
	inputs, diagnostics, err := planner.Restore(src, s.plan, func(in planner.Input) ([]byte, error) {
		data, ok := s.contents[in.Digest]
		if !ok {
			return nil, errors.New("its content is not there")
		}
		return data, nil
	}, opt)
	if err != nil {
		return nil, err
	}
	made := &compilation{inputs: inputs, diagnostics: diagnostics}
	if made.errors() > 0 {
		return made, nil
	}
	plan, more := planner.Compile(inputs, opt)
	made.diagnostics = append(made.diagnostics, more...)
	if made.errors() == 0 {
		made.plan = plan
	}
	return made, nil
}

// again compiles the plan's own inputs, and finds out beside which options that makes
// the same plan: they are not on record, but a plan that is the same proves them. Where
// nothing does, the compilation is the one that is least different, and found is false.
func (s *storedPlan) again() (best *compilation, opt planner.Options, found bool, err error) {
	least := -1
	for _, base := range s.guesses() {
		tries := []planner.Options{base}
		for n := 0; n < len(tries); n++ {
			made, err := s.compile(planner.Sources{}, tries[n])
			if err != nil {
				return nil, opt, false, err
			}
			if made.plan == nil {
				if best == nil {
					best, opt = made, tries[n]
				}
				continue
			}
			for _, plan := range []*planner.Plan{made.plan, made.plan.Unmarked()} {
				if plan.ID() == s.plan.ID() {
					made.plan = plan
					return made, tries[n], true, nil
				}
			}
			d := planner.Compare(s.plan, made.plan)
			if weight := len(d.Tasks) + len(d.Vars); least < 0 || weight < least {
				best, opt, least = made, tries[n], weight
			}
			if n == 0 {
				tries = append(tries, s.narrowed(base, made.plan)...)
			}
		}
	}
	return best, opt, false, nil
}

// everywhereTriesMax bounds the sets of hosts that orchestrations without targets are
// tried with.
const everywhereTriesMax = 8

// guesses are the options that the plan may have been made with, most likely first.
func (s *storedPlan) guesses() []planner.Options {
	base := planner.Options{Vars: s.plan.Vars}
	has := func(role planner.Role) bool {
		return slices.ContainsFunc(s.plan.Inputs, func(in planner.Input) bool { return in.Role == role })
	}
	if !has(planner.RoleOrchestration) {
		return []planner.Options{base}
	}
	if !has(planner.RoleInventory) {
		base.Hosts = s.plan.Hosts
	}
	sets := [][]string{s.plan.Hosts}
	for _, set := range s.plan.HostSets {
		if len(sets) < everywhereTriesMax && len(set) > 0 && len(set) < len(s.plan.Hosts) {
			sets = append(sets, s.names(set))
		}
	}
	var out []planner.Options
	for _, async := range []bool{false, true} {
		base.ForceAsync = async
		out = append(out, base)
		for _, hosts := range sets {
			everywhere, targets := base, base
			everywhere.Everywhere, targets.Targets = hosts, hosts
			out = append(out, everywhere, targets)
		}
	}
	return out
}

func (s *storedPlan) names(set []uint32) []string {
	var out []string
	for _, h := range set {
		out = append(out, s.plan.Hosts[h])
	}
	return out
}

// narrowed are options that leave out what the plan lacks of a whole one.
func (s *storedPlan) narrowed(base planner.Options, whole *planner.Plan) []planner.Options {
	jobs := map[string]int{}
	for i := range whole.Tasks {
		jobs[whole.Tasks[i].ID] = len(whole.Tasks[i].Jobs)
	}
	var restrict []string
	for i := range s.plan.Tasks {
		t := &s.plan.Tasks[i]
		switch had, known := jobs[t.ID]; {
		case !known || t.Driver == planner.DriverNoop && had > 0 || t.Driver == planner.DriverMissing:
		case had == len(t.Jobs):
			restrict = append(restrict, t.ID)
		default:
			for k := range t.Jobs {
				restrict = append(restrict, t.Jobs[k].Spec.Fingerprint)
			}
		}
	}
	limited, restricted, both := base, base, base
	limited.Limit, both.Limit = s.plan.Hosts, s.plan.Hosts
	restricted.Restrict, both.Restrict = restrict, restrict
	var out []planner.Options
	fewer := len(s.plan.Hosts) < len(whole.Hosts) && len(s.plan.Hosts) > 0
	if fewer {
		out = append(out, limited)
	}
	if len(restrict) > 0 {
		out = append(out, restricted)
		if len(s.plan.Hosts) > 0 {
			out = append(out, both)
		}
	}
	return out
}

// optionsText says how options narrow a plan, for people.
func optionsText(opt planner.Options) string {
	var parts []string
	add := func(flag string, values []string) {
		if len(values) > 0 {
			parts = append(parts, flag+" "+some(values, hostsShownMax))
		}
	}
	add("--limit", opt.Limit)
	add("--restrict", opt.Restrict)
	add("--target", opt.Targets)
	if opt.ForceAsync {
		parts = append(parts, "--force-async")
	}
	return strings.Join(parts, " ")
}
