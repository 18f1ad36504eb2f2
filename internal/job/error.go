package job

// A ParseError says what is wrong with a job text, and where.
type ParseError struct {
	// Offset is the position in the job text, in bytes. It is -1 where the error
	// is in the job's vars, and Var then names the entry.
	Offset int
	Var    string
	// Shape is true where the entry is a mapping or a list, and the option takes none.
	Shape   bool
	Message string
	// Hint is a sentence on what to write instead; may be empty.
	Hint string
}

// Error implements error.
func (e *ParseError) Error() string { return e.Message }
