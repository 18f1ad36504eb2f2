package template

import (
	"errors"

	"quorate/internal/pyvalue"
)

func (d *data) exec(s *scope) error { return s.r.write(d.text) }

func (o *output) exec(s *scope) error {
	v, err := s.eval(o.x)
	if err != nil {
		return at(o.line, err)
	}
	text, err := s.r.str(v)
	if err != nil {
		return at(o.line, err)
	}
	return at(o.line, s.r.write(text))
}

func (i *ifStmt) exec(s *scope) error {
	ok, err := s.truth(i.test)
	switch {
	case err != nil:
		return at(i.line, err)
	case ok:
		return execAll(s, i.body)
	}
	return execAll(s, i.otherwise)
}

func (f *forStmt) exec(s *scope) error {
	v, err := s.eval(f.iter)
	if err != nil {
		return at(f.line, err)
	}
	return at(f.line, f.run(s, v, 0))
}

// run walks through a value; depth counts the recursions of loop(...).
func (f *forStmt) run(s *scope, v pyvalue.Value, depth int) error {
	items, err := s.r.list(v)
	if err != nil {
		return err
	}
	if f.test != nil {
		if items, err = f.filter(s, items); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		return execAll(s.child(), f.otherwise)
	}
	l := &loop{stmt: f, scope: s, items: items, depth: depth}
	for l.index < len(l.items) {
		inner := s.child()
		if err := inner.assign(f.target, l.items[l.index]); err != nil {
			return err
		}
		inner.vars["loop"] = l
		if err := execAll(inner, f.body); err != nil {
			return err
		}
		l.index++
	}
	return nil
}

// filter keeps the items for which the loop's condition holds.
func (f *forStmt) filter(s *scope, items []pyvalue.Value) ([]pyvalue.Value, error) {
	kept := items[:0]
	for _, item := range items {
		inner := s.child()
		if err := inner.assign(f.target, item); err != nil {
			return nil, err
		}
		ok, err := inner.truth(f.test)
		if err != nil {
			return nil, err
		}
		if ok {
			kept = append(kept, item)
		}
	}
	return kept, nil
}

func (st *setStmt) exec(s *scope) error {
	v, err := s.eval(st.x)
	if err != nil {
		return at(st.line, err)
	}
	return at(st.line, s.assign(st.target, v))
}

func (captured) eval(s *scope) (pyvalue.Value, error) { return s.lookup("\x00captured"), nil }

// render executes a body and passes its text through filters.
func (s *scope) render(body []stmt, filters expr) (pyvalue.Value, error) {
	inner := s.child()
	text, err := s.r.capture(func() error { return execAll(inner, body) })
	if err != nil || filters == nil {
		return pyvalue.Str(text), err
	}
	inner = s.child()
	inner.vars["\x00captured"] = pyvalue.Str(text)
	return inner.eval(filters)
}

func (st *setBlock) exec(s *scope) error {
	v, err := s.render(st.body, st.filter)
	if err != nil {
		return at(st.line, err)
	}
	return at(st.line, s.assign(st.target, v))
}

func (f *filterBlock) exec(s *scope) error {
	v, err := s.render(f.body, f.filter)
	if err != nil {
		return at(f.line, err)
	}
	text, err := s.r.str(v)
	if err != nil {
		return at(f.line, err)
	}
	return at(f.line, s.r.write(text))
}

func (w *withStmt) exec(s *scope) error {
	values, err := s.evalAll(w.values)
	if err != nil {
		return at(w.line, err)
	}
	inner := s.child()
	for i, to := range w.targets {
		if err := inner.assign(to, values[i]); err != nil {
			return at(w.line, err)
		}
	}
	return execAll(inner, w.body)
}

func (b *scoped) exec(s *scope) error {
	if b.escape != nil {
		v, err := s.eval(b.escape)
		if err != nil {
			return at(b.line, err)
		}
		if on, err := truth(v); err != nil || on {
			if err == nil {
				err = errors.New("nothing is escaped by itself here: use the filter e")
			}
			return at(b.line, err)
		}
	}
	return execAll(s.child(), b.body)
}

func (m *macroStmt) exec(s *scope) error {
	bound := *m.macro
	bound.scope = s
	s.vars[bound.name] = &bound
	return nil
}

func (c *callBlock) exec(s *scope) error {
	caller := *c.caller
	caller.scope = s
	a, err := c.call.arguments(s)
	if err != nil {
		return at(c.line, err)
	}
	a.caller = &caller
	v, err := c.call.invoke(s, a)
	if err != nil {
		return at(c.line, err)
	}
	text, err := s.r.str(v)
	if err != nil {
		return at(c.line, err)
	}
	return at(c.line, s.r.write(text))
}
