package planner

import "quorate/internal/job"

// Sources are the paths that the operator names. Each may be a file or a
// directory; what is not used stays empty.
type Sources struct {
	Services, Inventory, Roles string
	Orchestrations             []string
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
	// WorkDir is the last place where sources of ADD and COPY are looked for;
	// empty is none.
	WorkDir string
}

// Load reads, parses and validates the files.
func Load(src Sources, opt Options) (*Inputs, []Diagnostic) {
	return &Inputs{}, nil
}
