package template

import (
	"fmt"

	"quorate/internal/pyvalue"
)

// A scope holds the variables of a block; those of the blocks around it can be
// read but not changed.
type scope struct {
	r      *renderer
	parent *scope
	vars   map[string]pyvalue.Value
}

func newRoot(r *renderer, vars *pyvalue.Dict) *scope {
	root := &scope{r: r, vars: globals()}
	if vars != nil {
		for k, v := range vars.All() {
			root.vars[pyvalue.Key(k)] = v
		}
	}
	return root.child()
}

func (s *scope) child() *scope { return &scope{r: s.r, parent: s, vars: map[string]pyvalue.Value{}} }

func (s *scope) lookup(id string) pyvalue.Value {
	for at := s; at != nil; at = at.parent {
		if v, ok := at.vars[id]; ok {
			return v
		}
	}
	return undefined{message: fmt.Sprintf("'%s' is undefined", id)}
}

// eval evaluates an expression within the bounds of the render.
func (s *scope) eval(x expr) (pyvalue.Value, error) {
	if err := s.r.step(); err != nil {
		return nil, err
	}
	if err := s.r.enter(); err != nil {
		return nil, err
	}
	v, err := x.eval(s)
	s.r.leave()
	return v, err
}

func (s *scope) evalAll(xs []expr) ([]pyvalue.Value, error) {
	out := make([]pyvalue.Value, len(xs))
	for i, x := range xs {
		v, err := s.eval(x)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (s *scope) truth(x expr) (bool, error) {
	v, err := s.eval(x)
	if err != nil {
		return false, err
	}
	return truth(v)
}

// execAll executes statements.
func execAll(s *scope, body []stmt) error {
	if err := s.r.enter(); err != nil {
		return err
	}
	defer s.r.leave()
	for _, st := range body {
		if err := s.r.step(); err != nil {
			return err
		}
		if err := st.exec(s); err != nil {
			return err
		}
	}
	return nil
}

// at adds the line to an error that has none.
func at(line int, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(*Error); ok {
		return err
	}
	return &Error{Line: line, Err: err}
}

// assign stores a value in a target.
func (s *scope) assign(to target, v pyvalue.Value) error {
	switch {
	case to.parts != nil:
		items, err := s.r.list(v)
		if err != nil {
			return err
		}
		if len(items) < len(to.parts) {
			return fmt.Errorf("not enough values to unpack (expected %d, got %d)", len(to.parts), len(items))
		}
		if len(items) > len(to.parts) {
			return fmt.Errorf("too many values to unpack (expected %d)", len(to.parts))
		}
		for i, part := range to.parts {
			if err := s.assign(part, items[i]); err != nil {
				return err
			}
		}
		return nil
	case to.attr != "":
		ns, ok := s.lookup(to.name).(*namespace)
		if !ok {
			return fmt.Errorf("cannot assign attribute on non-namespace object")
		}
		ns.attrs.SetStr(to.attr, v)
		return nil
	}
	s.vars[to.name] = v
	return nil
}
