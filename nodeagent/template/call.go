package template

import (
	"fmt"
	"slices"
	"strings"

	"quorate/internal/pyvalue"
)

// arguments are what a function, method, filter or test is called with. Of a
// filter or test, the first one is the value that it is applied to.
type arguments struct {
	s      *scope
	r      *renderer
	fn     string
	pos    []pyvalue.Value
	names  []string
	values []pyvalue.Value
	caller *macro
}

// bind orders the arguments by the parameters' names, which are separated by
// blanks. The last parameters take the defaults.
func (a *arguments) bind(params string, defaults ...pyvalue.Value) ([]pyvalue.Value, error) {
	names := strings.Fields(params)
	if len(a.pos) > len(names) {
		return nil, fmt.Errorf("%s() takes at most %d arguments (%d given)", a.fn, len(names), len(a.pos))
	}
	out := make([]pyvalue.Value, len(names))
	copy(out, a.pos)
	for i, id := range a.names {
		at := slices.Index(names, id)
		if at < 0 || out[at] != nil {
			return nil, fmt.Errorf("%s() got an unexpected keyword argument '%s'", a.fn, id)
		}
		out[at] = a.values[i]
	}
	for i := range out {
		if out[i] != nil {
			continue
		}
		d := i - (len(names) - len(defaults))
		if d < 0 {
			return nil, fmt.Errorf("%s() missing required argument: '%s'", a.fn, names[i])
		}
		out[i] = defaults[d]
	}
	return out, nil
}

// arguments evaluates the arguments, without the value that a filter or test is
// applied to.
func (c *invocation) arguments(s *scope) (*arguments, error) {
	a := &arguments{s: s, r: s.r, names: slices.Clone(c.names)}
	var err error
	if a.pos, err = s.evalAll(c.args); err != nil {
		return nil, err
	}
	if a.values, err = s.evalAll(c.values); err != nil {
		return nil, err
	}
	if c.star != nil {
		v, err := s.eval(c.star)
		if err != nil {
			return nil, err
		}
		items, err := s.r.list(v)
		if err != nil {
			return nil, err
		}
		a.pos = append(a.pos, items...)
	}
	if c.dstars != nil {
		v, err := s.eval(c.dstars)
		if err != nil {
			return nil, err
		}
		d, ok := v.(*pyvalue.Dict)
		if !ok {
			return nil, fmt.Errorf("argument after ** must be a mapping, not %s", v.Type())
		}
		for k, v := range d.All() {
			a.names, a.values = append(a.names, pyvalue.String(k)), append(a.values, v)
		}
	}
	return a, nil
}

func (c *call) eval(s *scope) (pyvalue.Value, error) {
	a, err := c.arguments(s)
	if err != nil {
		return nil, err
	}
	v, err := c.invoke(s, a)
	return v, at(c.line, err)
}

// invoke calls what the call's expression evaluates to.
func (c *call) invoke(s *scope, a *arguments) (pyvalue.Value, error) {
	f, err := s.eval(c.x)
	if err != nil {
		return nil, err
	}
	if err := defined(f); err != nil {
		return nil, err
	}
	if a.caller != nil {
		if _, ok := f.(*macro); !ok {
			return nil, fmt.Errorf("'%s' object takes no caller", f.Type())
		}
	}
	switch f := f.(type) {
	case *function:
		a.fn = f.name
		return f.call(a)
	case *macro:
		return f.call(a)
	case *loop:
		return f.recurse(a)
	case *joiner:
		return f.next()
	}
	return nil, fmt.Errorf("'%s' object is not callable", f.Type())
}

func (f *filter) eval(s *scope) (pyvalue.Value, error) {
	v, err := s.eval(f.x)
	if err != nil {
		return nil, err
	}
	a, err := f.arguments(s)
	if err != nil {
		return nil, err
	}
	out, err := applyFilter(a, f.name, v)
	return out, at(f.line, err)
}

// applyFilter applies a filter by name.
func applyFilter(a *arguments, id string, v pyvalue.Value) (pyvalue.Value, error) {
	fn, ok := a.r.filters[id]
	if !ok {
		return nil, fmt.Errorf("no filter named '%s'", id)
	}
	if id != "default" && id != "d" && id != "items" && !isLenient(v) {
		if err := defined(v); err != nil {
			return nil, err
		}
	}
	full := *a
	full.fn = id
	full.pos = append([]pyvalue.Value{v}, a.pos...)
	return fn(&full)
}

func (t *test) eval(s *scope) (pyvalue.Value, error) {
	v, err := s.eval(t.x)
	if err != nil {
		return nil, err
	}
	a, err := t.arguments(s)
	if err != nil {
		return nil, err
	}
	ok, err := applyTest(a, t.name, v)
	if err != nil {
		return nil, at(t.line, err)
	}
	return pyvalue.Bool(ok != t.negate), nil
}

// toInt is an integer argument.
func toInt(v pyvalue.Value) (int, error) {
	switch v := v.(type) {
	case pyvalue.Int:
		return int(v), nil
	case pyvalue.Bool:
		if v {
			return 1, nil
		}
		return 0, nil
	}
	if err := defined(v); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("'%s' object cannot be interpreted as an integer", v.Type())
}

// toStr is a text argument.
func toStr(v pyvalue.Value) (string, error) {
	if s, ok := v.(pyvalue.Str); ok {
		return string(s), nil
	}
	if err := defined(v); err != nil {
		return "", err
	}
	return "", fmt.Errorf("a str is needed, not '%s'", v.Type())
}
