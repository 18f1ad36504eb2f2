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
//
// The codes of diagnostics. A code keeps its meaning; new ones may come.
//
//	files        no-such-file unreadable missing-source syntax not-a-service
//	fields       missing-key unknown-key wrong-type bad-value duplicate-item unknown-driver
//	names        duplicate-service duplicate-task duplicate-host duplicate-role
//	             unknown-role unknown-service unused-role unused-service
//	symbols      missing-provider duplicate-provider cycle needed-by-unknown needed-by-nothing
//	jobs         job unknown-verb extra-key unknown-action not-executable
//	hosts        unknown-target no-targets assign-escapes
//	what is left unknown-host unknown-task limited-run-once
type Diagnostic struct {
	Severity Severity
	// Code is a stable short name for scripts, for instance "missing-provider".
	Code    string
	Message string
	Pos     Pos
	// Hint says what to do next; may be empty.
	Hint string
}
