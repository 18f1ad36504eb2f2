// Package verb holds the verbs: for each its declaration, from which job texts
// are parsed, and its execution on a host.
//
// [Table] has them all. [Execute] runs one job: it decides by what the agent
// remembers whether the job has to run at all, bounds its time, and never
// panics. How a process is started, and how content reaches the host, is the
// caller's: see [Env].
package verb

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/facts"
	"quorate/nodeagent/wire"
)

// The outcomes of a job, numbered as on the wire.
const (
	Succeeded uint8 = 1
	Failed    uint8 = 2
	Skipped   uint8 = 3
	Cancelled uint8 = 4
	Unknown   uint8 = 6
)

// A Verb is one entry of the table.
type Verb struct {
	Decl job.Declaration
	// Run executes a job. It is nil where the declaration says that the verb
	// cannot be executed.
	Run func(ctx context.Context, env *Env, j *job.Job) Result
	// Check says what Run would do, and does nothing. It is nil where nobody can
	// tell; the declaration says which.
	Check func(ctx context.Context, env *Env, j *job.Job) Checked

	// rendered is true where Execute need not render the text: the job is not as it
	// was sent any more.
	rendered bool
	// templated is true where the values of options are templates like the text.
	templated bool
	// memory is true where jobs change nothing but the agent's memory, or nothing at all.
	memory bool
}

// A Result is what became of a job.
type Result struct {
	Outcome uint8
	// Changed is false where the host was already as the job wants it.
	Changed        bool
	Exit           int32
	Info           string
	Stdout, Stderr wire.Output
	// Note is what the journal is to hold of the job before its end, where the step has a
	// record; it may be nil.
	Note []byte

	// left is true where the job did not run, since its success is remembered.
	left bool
	// ran is true where the job came as far as having an output of its own.
	ran bool
	// volatile is true where the success is not to be remembered: a job that is
	// skipped does not do all that this one did.
	volatile bool
	// waited is true where Info says already that the time was up, and what for.
	waited bool
}

// A Command is a shell script to run.
type Command struct {
	Script string
	Env    []string // NAME=VALUE, added to the agent's own
	Dir    string
	// Detach starts the script in a session of its own and does not wait for it.
	Detach bool
}

// Exited is what became of a command.
type Exited struct {
	Code           int
	Signal         string // or "" where it exited
	Stdout, Stderr wire.Output
}

// A ShellFunc runs a script with the host's shell. When ctx ends it kills the
// whole process group, waits for it and returns what there is with ctx's error;
// any other error means that the script did not start.
type ShellFunc func(ctx context.Context, c Command) (Exited, error)

// Env is what a job may use.
type Env struct {
	Facts *facts.Store
	// Vars override the host's own arguments in templates. Their values are typed
	// like those of ARG.
	Vars []job.Option
	// WorkDir is the directory that relative paths and commands start from.
	WorkDir string
	// JobEnv is added to every command's environment.
	JobEnv []string
	// Blob returns the path of a local copy of the content with this SHA-256.
	Blob  func(ctx context.Context, digest string) (path string, err error)
	Shell ShellFunc
	// Attempt is the attempt that the job belongs to.
	Attempt uint64
	// IgnoreCache runs every job, whatever is remembered.
	IgnoreCache bool
	// Provenance is kept with everything that the job stores.
	Provenance facts.Origin
	// Fleet is the way to other hosts; nil where there is none.
	Fleet Fleet

	// Course is the step that the job belongs to, by whose record it is decided what has
	// to run; nil where there is none, and remembered successes alone decide.
	Course *facts.Course
	// Loads are the files that the step loads with CACHEFILE, as its jobs name them.
	Loads map[string]bool
	// Again is true where the job was interrupted, so that nobody knows whether it has
	// changed anything before.
	Again bool

	// mountInfo is the kernel's list of mounts; empty is that of the process.
	mountInfo string
}

// Table returns all verbs by their upper-case names.
func Table() map[string]*Verb {
	table := map[string]*Verb{}
	for _, v := range slices.Concat(
		[]*Verb{runVerb(), argVerb(), envVerb(), addVerb("ADD"), addVerb("COPY"), workdirVerb(),
			cachefileVerb(), cacheevictVerb(), queryVerb(), queuesentinelVerb(),
			dnfVerb(), serviceVerb(), waitVerb(), echoVerb(),
			templateVerb(), lineVerb(), sysctlVerb(), cronVerb(), groupVerb(), userVerb(), packageVerb(),
			getVerb(), mountVerb(), unarchiveVerb()},
		contributedVerbs()) {
		table[v.Decl.Verb] = v
	}
	return table
}

// shared is the table that Lookup and Execute use; nobody changes it.
var shared = sync.OnceValue(Table)

// Lookup finds the declaration of a verb by its upper-case name. It is a [job.Lookup].
func Lookup(name string) (*job.Declaration, bool) {
	v, ok := shared()[name]
	if !ok {
		return nil, false
	}
	return &v.Decl, true
}

// What follows writes the keys of Directord's job record.

func field(key string, v pyvalue.Value) job.Field {
	return job.Field{Key: key, Value: pyvalue.JSON(v)}
}

func textField(key, value string) job.Field { return field(key, pyvalue.Str(value)) }

// flagField is true where the option is given.
func flagField(key string, p *job.Parsed, option string) job.Field {
	_, set := p.Job.Option(option)
	return field(key, pyvalue.Bool(set))
}

// intField is the option's value, or its default.
func intField(key string, p *job.Parsed, option string, otherwise int) job.Field {
	return field(key, pyvalue.Int(intOption(&p.Job, option, otherwise)))
}

func wordsField(key string, words []string) job.Field {
	list := pyvalue.NewList()
	for _, w := range words {
		list.Items = append(list.Items, pyvalue.Str(w))
	}
	return field(key, list)
}

// collapsed is a text as Directord has it: every run of blanks is one space.
func collapsed(text string) string { return strings.Join(strings.Fields(text), " ") }

func intOption(j *job.Job, name string, otherwise int) int {
	if text, ok := j.Option(name); ok {
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	}
	return otherwise
}

func isSet(j *job.Job, name string) bool {
	_, ok := j.Option(name)
	return ok
}
