package planner

import (
	"cmp"
	"slices"
)

// Inputs are what was loaded: parsed files, and the digests of what jobs ship.
type Inputs struct {
	files    []*inputFile
	services []*service // sorted by file
	hosts    []*host    // in the order of the inventory
	roles    []*role    // in the order of their files
	groups   []*group   // orchestrations, in the order of their files
	shipped  []*shippedFile

	// wantsServices is true where a source of services was named.
	wantsServices bool
	// partial is true where a file could not be understood, so that a symbol or
	// a service that is missing may well stand in it.
	partial bool
	// failed is true where loading found an error: there will be no plan.
	failed bool
}

// An inputFile is a YAML file that was read.
type inputFile struct {
	role Role
	name string // in the plan: relative to root, with forward slashes
	path string // as the operator would open it, for diagnostics
	root string // the folder that the role was loaded from
	// inFolder is true where the file was found in a folder, not named.
	inFolder bool
	// stored is true where the file is of a plan that was made before, and lies nowhere.
	stored bool
	data   []byte
	digest string
}

// place is a position in the file for diagnostics.
func (f *inputFile) place(at spot) Pos { return Pos{File: f.path, Line: at.line, Column: at.column} }

// source is a position in the file for plans, which do not depend on where the
// files lie.
func (f *inputFile) source(at spot) Pos { return Pos{File: f.name, Line: at.line, Column: at.column} }

// A spot is a position in a file.
type spot struct{ line, column uint32 }

// A name is a word in a file.
type name struct {
	text string
	at   spot
}

// A host of the inventory.
type host struct {
	name name
	role name
	file *inputFile
}

// A role lists services.
type role struct {
	name     name
	services []name
	file     *inputFile
}

// A service is a service file.
type service struct {
	id    name
	tasks []task
	file  *inputFile
	// jobReport holds what parsing the jobs found. It counts where the service has hosts.
	jobReport report
}

// A task of a service, as written.
type task struct {
	id       name
	action   string
	driver   Driver
	provides []name
	requires []name
	neededBy []name
	jobs     []jobSpec
	messages []string

	idempotent, always, keepGoing bool
}

// A group is one orchestration: jobs with targets of their own.
type group struct {
	name      string
	at        spot
	async     bool
	keepGoing bool
	targets   []name // assign where it is given; empty is every known host
	jobs      []jobSpec
	file      *inputFile
}

// A Blob is the content of one input, held in memory or lying in a file.
type Blob struct {
	Digest  string // SHA-256, lower-case hex
	Size    int64
	Content []byte // nil where Path is set
	Path    string
}

// Blobs are the contents of all inputs, each digest once, sorted by digest.
func (in *Inputs) Blobs() []Blob {
	blobs := make([]Blob, 0, len(in.files)+len(in.shipped))
	for _, f := range in.files {
		blobs = append(blobs, Blob{Digest: f.digest, Size: int64(len(f.data)), Content: f.data})
	}
	for _, f := range in.shipped {
		blobs = append(blobs, Blob{Digest: f.digest, Size: f.size, Content: f.content, Path: f.path})
	}
	slices.SortStableFunc(blobs, func(a, b Blob) int { return cmp.Compare(a.Digest, b.Digest) })
	return slices.CompactFunc(blobs, func(a, b Blob) bool { return a.Digest == b.Digest })
}

// list returns the inputs as a plan names them.
func (in *Inputs) list() []Input {
	inputs := make([]Input, 0, len(in.files)+len(in.shipped))
	for _, f := range in.files {
		inputs = append(inputs, Input{Role: f.role, Name: f.name, Digest: f.digest, Size: int64(len(f.data))})
	}
	for _, f := range in.shipped {
		inputs = append(inputs, Input{Role: RoleFile, Name: f.name, Digest: f.digest, Size: f.size})
	}
	slices.SortFunc(inputs, compareInputs)
	return slices.Compact(inputs)
}

func compareInputs(a, b Input) int {
	return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Size, b.Size))
}
