package template

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/pyvalue"
)

// some are the items of the value that a lazy filter is applied to. A false value
// has none, also where it is no sequence at all.
func (a *arguments) some() ([]pyvalue.Value, error) {
	if ok, err := truth(a.pos[0]); err != nil || !ok {
		return nil, err
	}
	return a.r.list(a.pos[0])
}

// filterMap takes an attribute of every item, or applies a filter to it.
func filterMap(a *arguments) (pyvalue.Value, error) {
	items, err := a.some()
	if err != nil {
		return nil, err
	}
	apply, err := a.mapping()
	if err != nil {
		return nil, err
	}
	out := &generator{"sync_do_map", make([]pyvalue.Value, len(items))}
	for i, item := range items {
		if err := a.r.step(); err != nil {
			return nil, err
		}
		if out.items[i], err = apply(item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *arguments) mapping() (getFunc, error) {
	if at := slices.Index(a.names, "attribute"); at >= 0 && len(a.pos) == 1 {
		var fallback pyvalue.Value
		for i, id := range a.names {
			switch id {
			case "attribute":
			case "default":
				fallback = a.values[i]
			default:
				return nil, fmt.Errorf("unexpected keyword argument '%s'", id)
			}
		}
		return a.r.getter(a.values[at], fallback), nil
	}
	if len(a.pos) < 2 {
		return nil, errors.New("map requires a filter argument")
	}
	id, err := toStr(a.pos[1])
	if err != nil {
		return nil, err
	}
	return func(item pyvalue.Value) (pyvalue.Value, error) {
		inner := *a
		inner.pos = a.pos[2:]
		return applyFilter(&inner, id, item)
	}, nil
}

// filterSelect is select, reject, selectattr and rejectattr: it keeps the items
// for which a test holds, or does not hold, or which are true where there is none.
func filterSelect(a *arguments) (pyvalue.Value, error) {
	items, err := a.some()
	if err != nil {
		return nil, err
	}
	rest := a.pos[1:]
	get := a.r.getter(pyvalue.None, nil)
	if strings.HasSuffix(a.fn, "attr") {
		if len(rest) == 0 {
			return nil, errors.New("missing parameter for attribute name")
		}
		get, rest = a.r.getter(rest[0], nil), rest[1:]
	}
	holds := func(v pyvalue.Value) (bool, error) { return truth(v) }
	if len(rest) > 0 {
		id, err := toStr(rest[0])
		if err != nil {
			return nil, err
		}
		holds = func(v pyvalue.Value) (bool, error) {
			inner := *a
			inner.pos = rest[1:]
			return applyTest(&inner, id, v)
		}
	}
	wanted := strings.HasPrefix(a.fn, "select")
	out := &generator{filter: "select_or_reject"}
	for _, item := range items {
		if err := a.r.step(); err != nil {
			return nil, err
		}
		v, err := get(item)
		if err != nil {
			return nil, err
		}
		ok, err := holds(v)
		if err != nil {
			return nil, err
		}
		if ok == wanted {
			out.items = append(out.items, item)
		}
	}
	return out, nil
}

// portions binds the arguments of a filter that divides a list by a number of what.
func (a *arguments) portions(params, what string) (items []pyvalue.Value, n int, fill pyvalue.Value, err error) {
	args, err := a.bind(params, pyvalue.None)
	if err != nil {
		return nil, 0, nil, err
	}
	if items, err = a.r.list(args[0]); err != nil {
		return nil, 0, nil, err
	}
	if n, err = toInt(args[1]); err != nil || n < 1 {
		return nil, 0, nil, errors.Join(err, fmt.Errorf("a number of %s from 1 is needed", what))
	}
	return items, n, args[2], nil
}

func filterBatch(a *arguments) (pyvalue.Value, error) {
	items, n, fill, err := a.portions("value linecount fill_with", "items")
	if err != nil {
		return nil, err
	}
	out := &generator{filter: "do_batch"}
	for part := range slices.Chunk(items, n) {
		part = slices.Clone(part)
		if missing := n - len(part); missing > 0 && fill != pyvalue.Value(pyvalue.None) {
			if err := a.r.elements(missing); err != nil {
				return nil, err
			}
			part = append(part, slices.Repeat([]pyvalue.Value{fill}, missing)...)
		}
		out.items = append(out.items, &pyvalue.List{Items: part})
	}
	return out, nil
}

func filterSlice(a *arguments) (pyvalue.Value, error) {
	items, n, fill, err := a.portions("value slices fill_with", "slices")
	if err != nil {
		return nil, err
	}
	if err := a.r.elements(3 * n); err != nil {
		return nil, err
	}
	each, extra := len(items)/n, len(items)%n
	out := &generator{filter: "sync_do_slice"}
	for i, offset := 0, 0; i < n; i++ {
		start := offset + i*each
		if i < extra {
			offset++
		}
		part := slices.Clone(items[start : offset+(i+1)*each])
		if fill != pyvalue.Value(pyvalue.None) && i >= extra {
			part = append(part, fill)
		}
		out.items = append(out.items, &pyvalue.List{Items: part})
	}
	return out, nil
}
