package planner

import (
	"cmp"
	"fmt"
	"slices"
)

// A report collects diagnostics.
type report struct {
	list []Diagnostic
	// suggestions counts the suggestions looked for.
	suggestions int
}

func (r *report) add(d Diagnostic) { r.list = append(r.list, d) }

func (r *report) errorf(code string, pos Pos, hint, format string, args ...any) {
	r.add(Diagnostic{Error, code, fmt.Sprintf(format, args...), pos, hint})
}

func (r *report) warnf(code string, pos Pos, hint, format string, args ...any) {
	r.add(Diagnostic{Warning, code, fmt.Sprintf(format, args...), pos, hint})
}

// suggest is nearest as a hint, as long as there are not too many to look for.
func (r *report) suggest(name string, candidates func(yield func(string) bool)) string {
	if r.suggestions++; r.suggestions > suggestionsMax {
		return ""
	}
	return didYouMean(nearest(name, candidates))
}

// failed reports whether there is an error among the diagnostics.
func (r *report) failed() bool {
	return slices.ContainsFunc(r.list, func(d Diagnostic) bool { return d.Severity == Error })
}

// sorted returns the diagnostics in the order of their places, each once.
func (r *report) sorted() []Diagnostic {
	slices.SortStableFunc(r.list, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.Severity, b.Severity),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(r.list)
}
