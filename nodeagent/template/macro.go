package template

import (
	"fmt"
	"slices"

	"quorate/internal/pyvalue"
)

// A macro is a function written in the template, together with the scope that it
// was defined in.
type macro struct {
	name     string
	params   []string
	defaults []expr // nil where a parameter has none
	body     []stmt
	scope    *scope
	// What the body mentions of the names that every macro has.
	varargs, kwargs, caller bool
}

// Type implements pyvalue.Value.
func (*macro) Type() string { return "Macro" }

// String is how it prints.
func (m *macro) String() string { return "<Macro '" + m.name + "'>" }

// attribute is one of what a template may ask a macro.
func (m *macro) attribute(id string) (pyvalue.Value, bool) {
	switch id {
	case "name":
		return pyvalue.Str(m.name), true
	case "arguments":
		params := make(pyvalue.Tuple, len(m.params))
		for i, p := range m.params {
			params[i] = pyvalue.Str(p)
		}
		return params, true
	case "catch_varargs":
		return pyvalue.Bool(m.varargs), true
	case "catch_kwargs":
		return pyvalue.Bool(m.kwargs), true
	case "caller":
		return pyvalue.Bool(m.caller), true
	}
	return nil, false
}

// call binds the arguments and renders the body to text.
func (m *macro) call(a *arguments) (pyvalue.Value, error) {
	inner := m.scope.child()
	pos, names, values := a.pos, a.names, a.values
	for i, param := range m.params {
		switch at := slices.Index(names, param); {
		case i < len(pos):
			if at >= 0 {
				return nil, fmt.Errorf("macro '%s' got multiple values for argument '%s'", m.name, param)
			}
			inner.vars[param] = pos[i]
		case at >= 0:
			inner.vars[param] = values[at]
		case m.defaults[i] != nil:
			v, err := inner.eval(m.defaults[i])
			if err != nil {
				return nil, err
			}
			inner.vars[param] = v
		default:
			inner.vars[param] = undefined{message: fmt.Sprintf("parameter '%s' was not provided", param)}
		}
	}
	if err := m.extra(a, inner); err != nil {
		return nil, err
	}
	text, err := inner.r.capture(func() error { return execAll(inner, m.body) })
	return pyvalue.Str(text), err
}

// extra binds what the parameters do not take, where the body asks for it.
func (m *macro) extra(a *arguments, inner *scope) error {
	varargs := pyvalue.Tuple{}
	if len(a.pos) > len(m.params) {
		varargs = slices.Clone(pyvalue.Tuple(a.pos[len(m.params):]))
	}
	kwargs := pyvalue.NewDict()
	for i, id := range a.names {
		if !slices.Contains(m.params, id) {
			kwargs.SetStr(id, a.values[i])
		}
	}
	if len(varargs) > 0 && !m.varargs {
		return fmt.Errorf("macro '%s' takes not more than %d argument(s)", m.name, len(m.params))
	}
	if kwargs.Len() > 0 && !m.kwargs {
		return fmt.Errorf("macro '%s' takes no keyword argument '%s'", m.name, pyvalue.String(kwargs.Keys()[0]))
	}
	if a.caller != nil && !m.caller && !slices.Contains(m.params, "caller") {
		return fmt.Errorf("macro '%s' takes no caller", m.name)
	}
	inner.vars["varargs"], inner.vars["kwargs"] = varargs, kwargs
	if a.caller != nil {
		inner.vars["caller"] = a.caller
	} else if !slices.Contains(m.params, "caller") {
		inner.vars["caller"] = undefined{message: "No caller defined"}
	}
	return nil
}
