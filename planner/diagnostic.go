package planner

// Severity of a diagnostic.
type Severity uint8

// The severities.
const (
	Error Severity = iota
	Warning
)

// A Diagnostic is one finding of loading or compiling. All of them are reported
// at once; any Error means that there is no plan.
type Diagnostic struct {
	Severity Severity
	// Code is a stable short name for scripts, for instance "missing-provider".
	Code    string
	Message string
	Pos     Pos
	// Hint says what to do next; may be empty.
	Hint string
}
