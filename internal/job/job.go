// Package job is the language of a single job: one verb with its text and
// options, as Directord's files write it.
//
// The planner parses and validates jobs with it, the agent executes what it
// parsed; both see the same [Declaration] of a verb, so that help, parsing and
// execution cannot drift apart. The package does no I/O and knows no verb: the
// table of verbs lives in nodeagent/verb and is passed in.
package job

// A Job is one parsed verb instance. It is part of a plan and of the message
// that dispatches a step, so its encoding is canonical: a msgpack array, no maps.
type Job struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Index is the position in the planned task's list of jobs, counted from 0. A
	// step keeps the indexes of its task, also where it leaves jobs out.
	Index uint32
	// Verb is in upper case.
	Verb string
	// Name is what the file calls the job; may be empty.
	Name string
	// Text is what is left of the job text when the options are taken out: the
	// command of RUN, "KEY VALUE" of ARG, "SOURCE DEST" of ADD.
	Text string
	// Options are the options that were given, long names without dashes, sorted
	// by name. A flag that is set has the value "true". Options that have a field
	// of their own (timeout, skip-cache, run-once) are not repeated here.
	Options []Option
	// TimeoutSeconds bounds the whole execution, retries included. 0 means no limit.
	TimeoutSeconds uint32
	// SkipCache runs the job even where the agent remembers its success.
	SkipCache bool
	// Files are the contents the job ships, in the order of their names.
	Files []File
	// SuccessExits are the exit codes of a command that count as success, sorted.
	// Empty means {0}.
	SuccessExits []int32
	// Fingerprint is Directord's SHA3-224 of the job record, lower-case hex. It
	// names the job for --restrict and is not what our cache is keyed by.
	Fingerprint string
}

// An Option is one option of a job, with its value as text.
type Option struct {
	_msgpack struct{} `msgpack:",as_array"`

	Name, Value string
}

// A File is content that a job ships: a blob named by its SHA-256.
type File struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Name is the base name, used where the destination ends in a slash.
	Name string
	// Digest is the SHA-256 of the content, lower-case hex.
	Digest string
	// Size is in bytes.
	Size int64
	// Mode is the permission bits of the source (ADD does not apply them unless asked).
	Mode uint32
}

// Option returns the value of the option and whether it was given.
func (j *Job) Option(name string) (string, bool) {
	for _, o := range j.Options {
		if o.Name == name {
			return o.Value, true
		}
	}
	return "", false
}
