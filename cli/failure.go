package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"quorate/engine/api"
	"quorate/eventlog"
)

// The exit codes. Scripts rely on them.
const (
	exitDone        = 0
	exitError       = 1
	exitUsage       = 2
	exitChanges     = 3
	exitRunFailed   = 4
	exitRefused     = 5
	exitTimeout     = 6
	exitWaiting     = 7
	exitInterrupted = 130
)

// A failure is an error with an exit code and what to do next.
type failure struct {
	code  int
	err   error // nil where everything is said already
	hints []string
}

func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit status %d", f.code)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// fail makes a failure; hints may be empty.
func fail(code int, err error, hints ...string) error {
	return &failure{code: code, err: err, hints: hints}
}

// usage is a mistake in the command line; help is the command that shows more.
func usage(help, format string, args ...any) error {
	return fail(exitUsage, fmt.Errorf(format, args...), fmt.Sprintf("see %q", help))
}

// ended is a failure that has nothing left to say.
func ended(code int) error {
	if code == exitDone {
		return nil
	}
	return &failure{code: code}
}

func interrupted(cause error) error {
	return fail(exitInterrupted, fmt.Errorf("interrupted (%w)", cause))
}

// hinted adds a hint to an error that has none; what an orchestrator answers with knows
// better.
func hinted(err error, format string, args ...any) error {
	var f *failure
	var answered *api.Error
	if err == nil || errors.As(err, &f) && len(f.hints) > 0 || errors.As(err, &answered) && answered.Hint != "" {
		return err
	}
	code := exitError
	if f != nil {
		code = f.code
	}
	return fail(code, err, fmt.Sprintf(format, args...))
}

// hinting adds a hint behind those that an error has.
func hinting(err error, hint string) error {
	f := classify(err)
	return fail(f.code, f.err, append(slices.Clone(f.hints), hint)...)
}

// withoutHints takes the hints out of an error; its exit code stays.
func withoutHints(err error) error {
	f := classify(err)
	return fail(f.code, f.err)
}

// report prints an error in one line, and its hints, and returns the exit code.
func (c *console) report(err error) int {
	if err == nil {
		return exitDone
	}
	f := classify(err)
	if f.err == nil {
		return f.code
	}
	fmt.Fprintf(c.err, "%s %s\n", c.paint(c.err, red, "quorate: error:"), oneLine(f.err.Error()))
	for _, hint := range f.hints {
		if hint != "" {
			fmt.Fprintf(c.err, "quorate: hint: %s\n", oneLine(hint))
		}
	}
	return f.code
}

// classify gives errors of the packages below their exit code and hint.
func classify(err error) *failure {
	// Only of our own output: an orchestrator that hangs up has to be reported.
	var file *fs.PathError
	if errors.As(err, &file) && errors.Is(file, syscall.EPIPE) {
		return &failure{code: exitError} // the reader has seen enough
	}
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	f = &failure{code: exitError, err: err}
	var answered *api.Error
	var absent *api.Unreachable
	var undecoded *eventlog.DecodeError
	switch {
	case errors.As(err, &answered):
		f.hints = []string{answered.Hint}
		switch answered.Code {
		case "invalid", "conflict", "stale", "unauthorized":
			f.code = exitRefused
		}
	case errors.As(err, &absent):
		f.hints = []string{absent.Hint}
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		f.code = exitTimeout
	case errors.As(err, &undecoded) && undecoded.Newer():
		f.hints = []string{"a newer version of quorate wrote that: install it on this machine, too; nothing is lost"}
	case errors.Is(err, api.ErrSlow):
		f.hints = []string{"it is stopped, or has too much to do: see its log, or name another orchestrator with --server"}
	case errors.Is(err, syscall.ENOSPC):
		f.hints = []string{"the disk is full: free some space and try again"}
	}
	return f
}

// oneLine keeps an error within one line.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}
