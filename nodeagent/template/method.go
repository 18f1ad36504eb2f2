package template

import (
	"errors"
	"fmt"
	"slices"

	"quorate/internal/pyvalue"
)

// method returns a method bound to its value.
func method(v pyvalue.Value, id string) (*function, bool) {
	switch v := ungrouped(v).(type) {
	case pyvalue.Str:
		if call, ok := strMethod(id); ok {
			return &function{id, func(a *arguments) (pyvalue.Value, error) { return call(a, string(v)) }}, true
		}
	case *pyvalue.List:
		if call, ok := listMethod(id); ok {
			return &function{id, func(a *arguments) (pyvalue.Value, error) { return call(a, v) }}, true
		}
	case *pyvalue.Dict:
		if call, ok := dictMethod(id); ok {
			return &function{id, func(a *arguments) (pyvalue.Value, error) { return call(a, v) }}, true
		}
	case pyvalue.Tuple:
		if id == "index" || id == "count" {
			call, _ := listMethod(id)
			return &function{id, func(a *arguments) (pyvalue.Value, error) { return call(a, &pyvalue.List{Items: v}) }}, true
		}
	case pyvalue.Float:
		if id == "is_integer" {
			return &function{id, func(*arguments) (pyvalue.Value, error) {
				return pyvalue.Bool(float64(v) == float64(int64(v))), nil
			}}, true
		}
	}
	if n, ok := pyvalue.ToBig(v); ok && id == "bit_length" {
		return &function{id, func(*arguments) (pyvalue.Value, error) { return pyvalue.Int(n.BitLen()), nil }}, true
	}
	return nil, false
}

type listCall func(a *arguments, l *pyvalue.List) (pyvalue.Value, error)

func listMethod(id string) (listCall, bool) {
	switch id {
	case "append":
		return listAppend, true
	case "extend":
		return listExtend, true
	case "insert":
		return listInsert, true
	case "pop":
		return listPop, true
	case "remove", "index", "count":
		return listFind, true
	case "sort":
		return listSort, true
	case "reverse", "clear", "copy":
		return listWhole, true
	}
	return nil, false
}

func listAppend(a *arguments, l *pyvalue.List) (pyvalue.Value, error) {
	args, err := a.bind("object")
	if err != nil {
		return nil, err
	}
	l.Items = append(l.Items, args[0])
	return pyvalue.None, a.r.elements(1)
}

func listExtend(a *arguments, l *pyvalue.List) (pyvalue.Value, error) {
	args, err := a.bind("iterable")
	if err != nil {
		return nil, err
	}
	items, err := a.r.list(args[0])
	l.Items = append(l.Items, items...)
	return pyvalue.None, err
}

func listInsert(a *arguments, l *pyvalue.List) (pyvalue.Value, error) {
	args, err := a.bind("index object")
	if err != nil {
		return nil, err
	}
	i, err := toInt(args[0])
	if err != nil {
		return nil, err
	}
	if i < 0 {
		i += len(l.Items)
	}
	l.Items = slices.Insert(l.Items, max(0, min(i, len(l.Items))), args[1])
	return pyvalue.None, a.r.elements(1)
}

func listPop(a *arguments, l *pyvalue.List) (pyvalue.Value, error) {
	args, err := a.bind("index", pyvalue.Int(-1))
	if err != nil {
		return nil, err
	}
	if _, err := toInt(args[0]); err != nil {
		return nil, err
	}
	i, ok := index(args[0], len(l.Items))
	if !ok {
		return nil, errors.New("pop index out of range")
	}
	v := l.Items[i]
	l.Items = slices.Delete(l.Items, i, i+1)
	return v, nil
}

func listFind(a *arguments, l *pyvalue.List) (pyvalue.Value, error) {
	args, err := a.bind("value")
	if err != nil {
		return nil, err
	}
	count, first := 0, -1
	for i, item := range l.Items {
		if err := a.r.step(); err != nil {
			return nil, err
		}
		same, err := a.r.equal(item, args[0])
		if err != nil {
			return nil, err
		}
		if same {
			if count++; count == 1 {
				first = i
			}
			if a.fn != "count" {
				break
			}
		}
	}
	if a.fn == "count" {
		return pyvalue.Int(count), nil
	}
	if first < 0 {
		return nil, fmt.Errorf("%s is not in list", short(args[0]))
	}
	if a.fn == "remove" {
		l.Items = slices.Delete(l.Items, first, first+1)
		return pyvalue.None, nil
	}
	return pyvalue.Int(first), nil
}

func listSort(a *arguments, l *pyvalue.List) (pyvalue.Value, error) {
	args, err := a.bind("key reverse", pyvalue.None, pyvalue.Bool(false))
	if err != nil {
		return nil, err
	}
	if args[0] != pyvalue.Value(pyvalue.None) {
		return nil, errors.New("sort() takes no key here")
	}
	return pyvalue.None, a.r.sort(l.Items, l.Items, pyvalue.Truth(args[1]))
}

func listWhole(a *arguments, l *pyvalue.List) (pyvalue.Value, error) {
	if _, err := a.bind(""); err != nil {
		return nil, err
	}
	switch a.fn {
	case "reverse":
		slices.Reverse(l.Items)
	case "clear":
		l.Items = nil
	default:
		return &pyvalue.List{Items: slices.Clone(l.Items)}, a.r.elements(len(l.Items))
	}
	return pyvalue.None, nil
}

type dictCall func(a *arguments, d *pyvalue.Dict) (pyvalue.Value, error)

func dictMethod(id string) (dictCall, bool) {
	switch id {
	case "keys", "values", "items":
		return func(a *arguments, d *pyvalue.Dict) (pyvalue.Value, error) {
			_, err := a.bind("")
			return &view{id, d}, err
		}, true
	case "get", "setdefault":
		return dictGet, true
	case "pop":
		return dictPop, true
	case "popitem":
		return dictPopItem, true
	case "update":
		return dictUpdate, true
	case "copy", "clear":
		return dictWhole, true
	}
	return nil, false
}

func dictGet(a *arguments, d *pyvalue.Dict) (pyvalue.Value, error) {
	args, err := a.bind("key default", pyvalue.None)
	if err != nil {
		return nil, err
	}
	if err := defined(args[0]); err != nil {
		return nil, err
	}
	if v, ok := d.Get(args[0]); ok {
		return v, nil
	}
	if a.fn == "setdefault" {
		return args[1], errors.Join(setItem(d, args[0], args[1]), a.r.elements(4))
	}
	if !hashable(args[0]) {
		return nil, fmt.Errorf("unhashable type: '%s'", args[0].Type())
	}
	return args[1], nil
}

func dictPop(a *arguments, d *pyvalue.Dict) (pyvalue.Value, error) {
	missing := undefined{}
	args, err := a.bind("key default", missing)
	if err != nil {
		return nil, err
	}
	if v, ok := d.Delete(args[0]); ok {
		return v, nil
	}
	if args[1] == pyvalue.Value(missing) {
		return nil, fmt.Errorf("key %s does not exist", short(args[0]))
	}
	return args[1], nil
}

func dictPopItem(a *arguments, d *pyvalue.Dict) (pyvalue.Value, error) {
	keys := d.Keys()
	if _, err := a.bind(""); err != nil || len(keys) == 0 {
		return nil, errors.Join(err, errors.New("popitem(): dictionary is empty"))
	}
	k := keys[len(keys)-1]
	v, _ := d.Delete(k)
	return pyvalue.Tuple{k, v}, a.r.elements(len(keys))
}

func dictUpdate(a *arguments, d *pyvalue.Dict) (pyvalue.Value, error) {
	if len(a.pos) > 1 {
		return nil, errors.New("update expected at most 1 argument")
	}
	if len(a.pos) == 1 {
		if err := a.r.update(d, a.pos[0]); err != nil {
			return nil, err
		}
	}
	for i, id := range a.names {
		d.SetStr(id, a.values[i])
	}
	return pyvalue.None, a.r.elements(4 * len(a.names))
}

func dictWhole(a *arguments, d *pyvalue.Dict) (pyvalue.Value, error) {
	if _, err := a.bind(""); err != nil {
		return nil, err
	}
	if a.fn == "clear" {
		*d = pyvalue.Dict{}
		return pyvalue.None, nil
	}
	out := pyvalue.NewDict()
	return out, a.r.update(out, d)
}
