package template

import (
	"errors"
	"fmt"
	"strings"

	"quorate/internal/pyvalue"
)

func (c *constant) eval(*scope) (pyvalue.Value, error) { return c.value, nil }

func (n *name) eval(s *scope) (pyvalue.Value, error) { return s.lookup(n.id), nil }

func (l *listExpr) eval(s *scope) (pyvalue.Value, error) {
	if err := s.r.elements(len(l.items)); err != nil {
		return nil, err
	}
	items, err := s.evalAll(l.items)
	return &pyvalue.List{Items: items}, err
}

func (t *tuple) eval(s *scope) (pyvalue.Value, error) {
	if err := s.r.elements(len(t.items)); err != nil {
		return nil, err
	}
	items, err := s.evalAll(t.items)
	return pyvalue.Tuple(items), err
}

func (d *dictExpr) eval(s *scope) (pyvalue.Value, error) {
	if err := s.r.elements(4 * len(d.keys)); err != nil {
		return nil, err
	}
	out := pyvalue.NewDict()
	for i := range d.keys {
		k, err := s.eval(d.keys[i])
		if err != nil {
			return nil, err
		}
		v, err := s.eval(d.values[i])
		if err != nil {
			return nil, err
		}
		if err := setItem(out, k, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func setItem(d *pyvalue.Dict, k, v pyvalue.Value) error {
	if err := defined(k); err != nil {
		return err
	}
	if !d.Set(k, v) {
		return fmt.Errorf("unhashable type: '%s'", k.Type())
	}
	return nil
}

func (c *condExpr) eval(s *scope) (pyvalue.Value, error) {
	ok, err := s.truth(c.test)
	switch {
	case err != nil:
		return nil, err
	case ok:
		return s.eval(c.then)
	case c.otherwise == nil:
		return undefined{message: fmt.Sprintf("the inline if-expression on line %d evaluated to false and no else section was defined.", c.line), lenient: true}, nil
	}
	return s.eval(c.otherwise)
}

func (b *boolOp) eval(s *scope) (pyvalue.Value, error) {
	left, err := s.eval(b.left)
	if err != nil {
		return nil, err
	}
	ok, err := truth(left)
	if err != nil || ok != b.and {
		return left, err
	}
	return s.eval(b.right)
}

func (n *not) eval(s *scope) (pyvalue.Value, error) {
	ok, err := s.truth(n.x)
	return pyvalue.Bool(!ok), err
}

func (u *unary) eval(s *scope) (pyvalue.Value, error) {
	v, err := s.eval(u.x)
	if err != nil {
		return nil, err
	}
	if err := defined(v); err != nil {
		return nil, err
	}
	if f, ok := v.(pyvalue.Float); ok {
		if u.negative {
			return -f, nil
		}
		return f, nil
	}
	n, ok := pyvalue.ToBig(v)
	if !ok {
		return nil, fmt.Errorf("bad operand type for unary operator: '%s'", v.Type())
	}
	if u.negative {
		n.Neg(n)
	}
	return pyvalue.FromBig(n), nil
}

func (b *binary) eval(s *scope) (pyvalue.Value, error) {
	left, err := s.eval(b.left)
	if err != nil {
		return nil, err
	}
	right, err := s.eval(b.right)
	if err != nil {
		return nil, err
	}
	return s.r.operate(b.op, left, right)
}

func (c *concat) eval(s *scope) (pyvalue.Value, error) {
	var b strings.Builder
	for _, x := range c.items {
		v, err := s.eval(x)
		if err != nil {
			return nil, err
		}
		text, err := s.r.str(v)
		if err != nil {
			return nil, err
		}
		if err := s.r.charge(len(text)); err != nil {
			return nil, err
		}
		b.WriteString(text)
	}
	return pyvalue.Str(b.String()), nil
}

func (c *compare) eval(s *scope) (pyvalue.Value, error) {
	left, err := s.eval(c.first)
	if err != nil {
		return nil, err
	}
	for i, op := range c.ops {
		right, err := s.eval(c.rest[i])
		if err != nil {
			return nil, err
		}
		ok, err := s.r.compare(op, left, right)
		if err != nil || !ok {
			return pyvalue.Bool(false), err
		}
		left = right
	}
	return pyvalue.Bool(true), nil
}

// eval of an attribute looks for a method or attribute first, then for an item.
func (x *attribute) eval(s *scope) (pyvalue.Value, error) {
	v, err := s.eval(x.x)
	if err != nil {
		return nil, err
	}
	if err := defined(v); err != nil {
		return nil, err
	}
	if found, ok := attributeOf(v, x.name); ok {
		return found, nil
	}
	if d, ok := v.(*pyvalue.Dict); ok {
		if found, ok := d.GetStr(x.name); ok {
			return found, nil
		}
	}
	return noAttribute(v, x.name), nil
}

func attributeOf(v pyvalue.Value, id string) (pyvalue.Value, bool) {
	switch v := v.(type) {
	case *namespace:
		return v.attrs.GetStr(id)
	case *loop:
		return v.attribute(id)
	case *cycler:
		return v.attribute(id)
	case *group:
		switch id {
		case "grouper":
			return v.grouper, true
		case "list":
			return v.list, true
		}
	case *macro:
		return v.attribute(id)
	}
	f, ok := method(v, id)
	if !ok {
		return nil, false
	}
	return f, true
}

func (x *item) eval(s *scope) (pyvalue.Value, error) {
	v, err := s.eval(x.x)
	if err != nil {
		return nil, err
	}
	if err := defined(v); err != nil {
		return nil, err
	}
	if sl, ok := x.key.(*slice); ok {
		return sl.of(s, v)
	}
	key, err := s.eval(x.key)
	if err != nil {
		return nil, err
	}
	return subscript(v, key)
}

// subscript looks for an item first, then, by a text, for an attribute.
func subscript(v, key pyvalue.Value) (pyvalue.Value, error) {
	if err := defined(v, key); err != nil {
		return nil, err
	}
	if d, ok := v.(*pyvalue.Dict); ok {
		if found, ok := d.Get(key); ok {
			return found, nil
		}
	}
	if n, ok := length(v); ok {
		if i, ok := index(key, n); ok {
			if found, ok := element(v, i); ok {
				return found, nil
			}
		}
	}
	if id, ok := key.(pyvalue.Str); ok {
		if found, ok := attributeOf(v, string(id)); ok {
			return found, nil
		}
	}
	return noElement(v, key), nil
}

// index resolves an integer key against a length.
func index(key pyvalue.Value, n int) (int, bool) {
	var i int
	switch k := key.(type) {
	case pyvalue.Int:
		i = int(k)
	case pyvalue.Bool:
		if k {
			i = 1
		}
	default:
		return 0, false
	}
	if i < 0 {
		i += n
	}
	return i, i >= 0 && i < n
}

func element(v pyvalue.Value, i int) (pyvalue.Value, bool) {
	switch v := v.(type) {
	case *pyvalue.List:
		return v.Items[i], true
	case pyvalue.Tuple:
		return v[i], true
	case rangeValue:
		return v.at(i), true
	case *group:
		return v.tuple()[i], true
	case pyvalue.Str:
		for _, c := range string(v) {
			if i == 0 {
				return pyvalue.Str(string(c)), true
			}
			i--
		}
	}
	return nil, false
}

func (sl *slice) eval(*scope) (pyvalue.Value, error) {
	return nil, errors.New("a slice is not possible here")
}

// of cuts a sequence.
func (sl *slice) of(s *scope, v pyvalue.Value) (pyvalue.Value, error) {
	var part [3]*int
	for i, x := range []expr{sl.start, sl.stop, sl.step} {
		if x == nil {
			continue
		}
		value, err := s.eval(x)
		if err != nil {
			return nil, err
		}
		if value == pyvalue.Value(pyvalue.None) {
			continue
		}
		n, err := toInt(value)
		if err != nil {
			return nil, err
		}
		part[i] = &n
	}
	v = ungrouped(v)
	n, ok := length(v)
	switch v.(type) {
	case *pyvalue.List, pyvalue.Tuple, pyvalue.Str, rangeValue:
	default:
		ok = false
	}
	if !ok {
		return nil, fmt.Errorf("'%s' object is not subscriptable", v.Type())
	}
	items, err := s.r.list(v)
	if err != nil {
		return nil, err
	}
	picks, err := slicePicks(part, n)
	if err != nil {
		return nil, err
	}
	out := make([]pyvalue.Value, 0, len(picks))
	for _, i := range picks {
		out = append(out, items[i])
	}
	switch v.(type) {
	case pyvalue.Tuple:
		return pyvalue.Tuple(out), nil
	case pyvalue.Str:
		var b strings.Builder
		for _, c := range out {
			b.WriteString(string(c.(pyvalue.Str)))
		}
		return pyvalue.Str(b.String()), nil
	}
	return &pyvalue.List{Items: out}, nil
}

// slicePicks lists the indexes that Python's slice of a sequence of n has.
func slicePicks(part [3]*int, n int) ([]int, error) {
	step := 1
	if part[2] != nil {
		step = *part[2]
	}
	if step == 0 {
		return nil, errors.New("slice step cannot be zero")
	}
	low, high := 0, n
	if step < 0 {
		low, high = -1, n-1
	}
	clamp := func(p *int, otherwise int) int {
		if p == nil {
			return otherwise
		}
		i := *p
		if i < 0 {
			i += n
		}
		return max(low, min(i, high))
	}
	var out []int
	if step > 0 {
		stop := clamp(part[1], high)
		for i := clamp(part[0], low); i < stop; {
			out = append(out, i)
			if step > n {
				break
			}
			i += step
		}
		return out, nil
	}
	stop := clamp(part[1], low)
	for i := clamp(part[0], high); i > stop; {
		out = append(out, i)
		if step < -n {
			break
		}
		i += step
	}
	return out, nil
}
