package job

// Kind is the type of an option's value.
type Kind uint8

// The kinds of option values.
const (
	Flag    Kind = iota // present or not
	String              // one word
	Int                 // a decimal integer, may be negative
	List                // one or more words, up to the next option; joined by single spaces
	Mode                // permission bits in octal; the parsed value has four digits
	Phrase              // one word, or any text in quotes, which are taken off
	Literal             // a value in Python's notation, as one word; in vars it may be a mapping or a list
)

// Positional says what a verb does with the words that are not options.
type Positional uint8

// The kinds of positional text.
const (
	FreeText Positional = iota // all of them, in order, are the text (RUN, WAIT, ECHO)
	Words                      // the first contiguous run of words; anything else is an error
	KeyValue                   // a key, then the rest as value (ARG, ENV)
	TwoPaths                   // joined and split again by POSIX shell rules into exactly two (ADD, COPY)
	NoWords                    // none at all
	Paths                      // like Words, but split by POSIX shell rules (GET, UNARCHIVE, LINE, MOUNT)
)

// A Declaration is everything that is known of a verb without running it: from
// it come parsing, validation and help.
type Declaration struct {
	// Verb is the upper-case name.
	Verb string
	// Summary is one sentence for help.
	Summary string
	// Details are further sentences for help: what the verb looks at, and what it
	// leaves alone. May be empty.
	Details string
	// Example is a job as a file writes it, "VERB: text".
	Example string
	// Text names the positional part in help, for instance "COMMAND...".
	Text       string
	Positional Positional
	// WordsMin and WordsMax bound the number of words where Positional is Words or
	// Paths; WordsMax 0 is no limit. WordsMin counts for FreeText too.
	WordsMin, WordsMax int
	// Options beside the ones that all verbs share.
	Options []OptionDecl
	// Exclusive lists groups of option names of which at most one may be given.
	Exclusive [][]string
	// OneOf lists groups of option names of which exactly one must be given.
	OneOf [][]string
	// Late, where it is not nil, names the options that are still recognised
	// after the first word of the text. It keeps RUN from taking the options of
	// the command that it runs.
	Late []string
	// Verbatim is true where a text that begins with "#!" is a script, whose
	// lines and blanks are kept.
	Verbatim bool
	// ShipsFiles is true where the first word of the text is a glob of files on
	// the operator's machine, whose contents travel with the plan.
	ShipsFiles bool
	// FromHost, where it is not empty, names the flag with which the first word is a
	// path of the host instead, and nothing is shipped.
	FromHost string
	// Cacheable is true where an agent may skip the job if it remembers its success.
	// Verbs that look at the host itself need no memory.
	Cacheable bool
	// Memory is true where all that a job does is to read or change what the agent
	// remembers. What comes of it shows in the jobs that are rendered with it.
	Memory bool
	// Idempotent is true where a second execution after an interrupted first one
	// is harmless, so that a restarted agent may simply run it again.
	Idempotent bool
	// HasCheckMode is true where the agent can say what a job would do without
	// doing it.
	HasCheckMode bool
	// Executable is false for verbs that are parsed, so that a plan can be made
	// of files that use them, but that the agents of this version cannot run.
	Executable bool
	// FingerprintKeys fills in the verb's own part of Directord's job record.
	FingerprintKeys func(p *Parsed) []Field
	// TimeoutSeconds is the time limit of jobs that set none; 0 is [TimeoutSeconds].
	TimeoutSeconds uint32
	// Brings are contents that come with every job of the verb: those of a
	// user-defined component. Sorted by their files' names.
	Brings []Content
	// Problem, where it is not empty, says why no job of the verb can be planned.
	Problem string
	// Check, where it is not nil, returns what is wrong with a parsed job beyond
	// what the fields above express, or the empty string.
	Check func(p *Parsed) string
}

// An OptionDecl declares one option of a verb.
type OptionDecl struct {
	Name    string // without dashes, e.g. "stdout-arg"
	Kind    Kind
	Default string
	Help    string
	// Required options must be given.
	Required bool
}

// A Field is one key of Directord's job record, in order; Value is JSON text.
type Field struct {
	Key   string
	Value string
}

// Parsed is the outcome of parsing a job text.
type Parsed struct {
	Job Job
	// RunOnce is true where the job is to run on the first host only.
	RunOnce bool
	// Source is the glob of files to ship, where the verb ships files.
	Source string
	// Paths are the absolute paths of the files that Source stands for. Whoever
	// resolves the glob sets them and calls [Parsed.Seal], because Directord's
	// fingerprint holds them; without them it holds Source.
	Paths []string
	// Warnings are sentences for the operator.
	Warnings []string
}

// A Var is one entry of a job's vars mapping: an option by name (with
// underscores or dashes), its value as the scalar's text. Of a mapping or a list,
// Shape says which, and Value is it in Python's notation.
type Var struct{ Name, Value, Shape string }

// A Lookup finds the declaration of a verb by its upper-case name.
type Lookup func(verb string) (*Declaration, bool)
