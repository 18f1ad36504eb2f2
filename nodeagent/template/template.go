// Package template renders Jinja2 templates as Directord does: default
// delimiters, no autoescaping, no loader, strict undefined values, Python's
// notation of values, and the final line break kept.
//
// It is an implementation of its own over Python's values and not a wrapper of a
// Go library, because files depend on details that no library lets one override:
// the operators, the order of mappings, big integers, what an undefined value may
// take part in. And an agent renders what others wrote, so that every render is
// bounded in time, steps, memory and depth, and never panics.
package template

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"quorate/internal/pyvalue"
)

// The bounds of one render.
const (
	// SourceBytesMax is the longest template.
	SourceBytesMax = 16 << 20
	// OutputBytesMax is the longest result.
	OutputBytesMax = 16 << 20
	// StepsMax is how many expressions and loop rounds are evaluated.
	StepsMax = 5_000_000
	// AllocatedBytesMax is how much text and how many elements (16 bytes each)
	// are made on the way, in total.
	AllocatedBytesMax = 128 << 20

	nestingMax      = 500  // levels of brackets and statements in a source
	depthMax        = 5000 // expressions, statements and macro calls being evaluated
	integerBitsMax  = 1 << 16
	contextInterval = 4096 // steps between two looks at the context
)

// ErrLimit is wrapped by the errors of renders that exceed a bound.
var ErrLimit = errors.New("template exceeds a limit")

// An Error says where a template is wrong.
type Error struct {
	Line int // counted from 1
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// An UndefinedError is the error of using a value that is not defined.
type UndefinedError struct{ Message string }

// Error implements error.
func (e *UndefinedError) Error() string { return e.Message }

// Dynamic reports whether a text holds anything that rendering would change.
// Rendering normalises line breaks too, but only where there is something else.
func Dynamic(text string) bool {
	return strings.Contains(text, "{{") || strings.Contains(text, "{%") || strings.Contains(text, "{#")
}

// Render renders a template with the variables. Lists and mappings in them may
// be changed by the template; they are not to be shared.
func Render(ctx context.Context, source string, vars *pyvalue.Dict) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			text, err = "", fmt.Errorf("template: internal error: %v", p)
		}
	}()
	if len(source) > SourceBytesMax {
		return "", fmt.Errorf("%w: the source is longer than %d bytes", ErrLimit, SourceBytesMax)
	}
	body, err := parse(source)
	if err != nil {
		return "", err
	}
	r := &renderer{ctx: ctx, out: &strings.Builder{}, filters: filterTable(), tests: testTable()}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := execAll(newRoot(r, vars), body); err != nil {
		return "", err
	}
	return r.out.String(), nil
}

// A renderer holds the bounds and the output of one render.
type renderer struct {
	ctx       context.Context // of this render only; the renderer lives no longer
	out       *strings.Builder
	filters   map[string]filterFunc
	tests     map[string]testFunc
	steps     int
	allocated int
	depth     int
}

// step counts one evaluation.
func (r *renderer) step() error {
	r.steps++
	if r.steps > StepsMax {
		return fmt.Errorf("%w: more than %d steps", ErrLimit, StepsMax)
	}
	if r.steps%contextInterval == 0 {
		return r.ctx.Err()
	}
	return nil
}

// charge accounts for n bytes before they are made.
func (r *renderer) charge(n int) error {
	if n < 0 || n > AllocatedBytesMax || r.allocated+n > AllocatedBytesMax {
		return fmt.Errorf("%w: more than %d bytes of memory", ErrLimit, AllocatedBytesMax)
	}
	r.allocated += n
	return nil
}

// elements accounts for n elements of a list or mapping.
func (r *renderer) elements(n int) error {
	if n > AllocatedBytesMax/16 {
		n = AllocatedBytesMax / 16
	}
	return r.charge(n*16 + 16)
}

func (r *renderer) enter() error {
	r.depth++
	if r.depth > depthMax {
		return fmt.Errorf("%w: nested deeper than %d levels", ErrLimit, depthMax)
	}
	return nil
}

func (r *renderer) leave() { r.depth-- }

func (r *renderer) write(text string) error {
	if r.out.Len()+len(text) > OutputBytesMax {
		return fmt.Errorf("%w: the result is longer than %d bytes", ErrLimit, OutputBytesMax)
	}
	if err := r.charge(len(text)); err != nil {
		return err
	}
	r.out.WriteString(text)
	return nil
}

// capture runs f and returns what it writes instead of writing it.
func (r *renderer) capture(f func() error) (string, error) {
	outer := r.out
	r.out = &strings.Builder{}
	defer func() { r.out = outer }()
	if err := f(); err != nil {
		return "", err
	}
	return r.out.String(), nil
}
