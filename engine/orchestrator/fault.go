package orchestrator

import "fmt"

// Code says what kind of error a command met; the numbers of the API's answers
// follow from it.
type Code string

// The codes.
const (
	Invalid      Code = "invalid"      // the request can never succeed
	NotFound     Code = "not-found"    // what it names does not exist
	Conflict     Code = "conflict"     // the state does not allow it now
	Unauthorized Code = "unauthorized" // the caller has no right to it
	Unavailable  Code = "unavailable"  // try again later
	Internal     Code = "internal"     // our fault
)

// An Error is what commands return.
type Error struct {
	Code Code
	// Message is for people; Hint says what to do next, where there is something.
	Message, Hint string
	Err           error // the cause, may be nil
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

func invalid(format string, args ...any) *Error {
	return &Error{Code: Invalid, Message: fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) *Error {
	return &Error{Code: Conflict, Message: fmt.Sprintf(format, args...)}
}
