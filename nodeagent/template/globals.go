package template

import (
	"errors"

	"quorate/internal/pyvalue"
)

// globals are the functions that every template has. Arguments of the same name
// hide them.
func globals() map[string]pyvalue.Value {
	out := map[string]pyvalue.Value{}
	for id, call := range map[string]func(*arguments) (pyvalue.Value, error){
		"range":     rangeFunc,
		"dict":      dictFunc,
		"namespace": namespaceFunc,
		"cycler":    cyclerFunc,
		"joiner":    joinerFunc,
	} {
		out[id] = &function{id, call}
	}
	return out
}

func rangeFunc(a *arguments) (pyvalue.Value, error) {
	var n [3]int64
	if len(a.pos) == 0 || len(a.pos) > 3 || len(a.names) > 0 {
		return nil, errors.New("range expects 1 to 3 arguments")
	}
	for i, v := range a.pos {
		x, err := toInt(v)
		if err != nil {
			return nil, err
		}
		if x > 1<<53 || x < -(1<<53) {
			return nil, errors.New("range is too long")
		}
		n[i] = int64(x)
	}
	switch len(a.pos) {
	case 1:
		return rangeValue{0, n[0], 1}, nil
	case 2:
		return rangeValue{n[0], n[1], 1}, nil
	}
	if n[2] == 0 {
		return nil, errors.New("range() arg 3 must not be zero")
	}
	return rangeValue{n[0], n[1], n[2]}, nil
}

// dictFunc makes a dict of a mapping or pairs, and of keyword arguments.
func dictFunc(a *arguments) (pyvalue.Value, error) {
	out := pyvalue.NewDict()
	if len(a.pos) > 1 {
		return nil, errors.New("dict expected at most 1 argument")
	}
	if len(a.pos) == 1 {
		if err := a.r.update(out, a.pos[0]); err != nil {
			return nil, err
		}
	}
	for i, id := range a.names {
		out.SetStr(id, a.values[i])
	}
	return out, nil
}

// update adds the entries of a mapping or of a sequence of pairs.
func (r *renderer) update(d *pyvalue.Dict, v pyvalue.Value) error {
	if from, ok := v.(*pyvalue.Dict); ok {
		if err := r.elements(4 * from.Len()); err != nil {
			return err
		}
		for _, k := range from.Keys() {
			value, _ := from.Get(k)
			d.Set(k, value)
		}
		return nil
	}
	pairs, err := r.list(v)
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		kv, err := r.list(pair)
		if err != nil {
			return err
		}
		if len(kv) != 2 {
			return errors.New("dictionary update sequence elements must have length 2")
		}
		if err := setItem(d, kv[0], kv[1]); err != nil {
			return err
		}
	}
	return nil
}

func namespaceFunc(a *arguments) (pyvalue.Value, error) {
	d, err := dictFunc(a)
	if err != nil {
		return nil, err
	}
	return &namespace{d.(*pyvalue.Dict)}, nil
}

func cyclerFunc(a *arguments) (pyvalue.Value, error) {
	if len(a.pos) == 0 {
		return nil, errors.New("at least one item has to be provided")
	}
	return &cycler{items: a.pos}, nil
}

// attribute is a method of a cycler, or what it stands at.
func (c *cycler) attribute(id string) (pyvalue.Value, bool) {
	switch id {
	case "current":
		return c.items[c.pos], true
	case "next":
		return &function{id, func(*arguments) (pyvalue.Value, error) {
			v := c.items[c.pos]
			c.pos = (c.pos + 1) % len(c.items)
			return v, nil
		}}, true
	case "reset":
		return &function{id, func(*arguments) (pyvalue.Value, error) {
			c.pos = 0
			return pyvalue.None, nil
		}}, true
	}
	return nil, false
}

func joinerFunc(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("sep", pyvalue.Str(", "))
	if err != nil {
		return nil, err
	}
	sep, err := toStr(args[0])
	return &joiner{sep: sep}, err
}

// next is empty at first and the separator afterwards.
func (j *joiner) next() (pyvalue.Value, error) {
	if !j.used {
		j.used = true
		return pyvalue.Str(""), nil
	}
	return pyvalue.Str(j.sep), nil
}
