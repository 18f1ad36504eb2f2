package template

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"quorate/internal/pyvalue"
)

// A getFunc takes from an item what a filter works on.
type getFunc func(item pyvalue.Value) (pyvalue.Value, error)

// getter follows an attribute such as "a.b.0", or returns the item itself where
// there is none. fallback, where it is not nil, replaces what is undefined.
func (r *renderer) getter(attribute, fallback pyvalue.Value) getFunc {
	if attribute == pyvalue.Value(pyvalue.None) {
		return func(item pyvalue.Value) (pyvalue.Value, error) { return item, nil }
	}
	var path []pyvalue.Value
	if s, ok := attribute.(pyvalue.Str); ok {
		for _, part := range strings.Split(string(s), ".") {
			if n, err := strconv.Atoi(part); err == nil && n >= 0 {
				path = append(path, pyvalue.Int(n))
				continue
			}
			path = append(path, pyvalue.Str(part))
		}
	} else {
		path = []pyvalue.Value{attribute}
	}
	return func(item pyvalue.Value) (pyvalue.Value, error) {
		for _, key := range path {
			var err error
			if item, err = subscript(item, key); err != nil {
				return nil, err
			}
			if _, missing := item.(undefined); missing && fallback != nil {
				item = fallback
			}
		}
		return item, nil
	}
}

// keys are what items are sorted, grouped or compared by.
func (r *renderer) keys(items []pyvalue.Value, attribute pyvalue.Value, fold bool) ([]pyvalue.Value, error) {
	get := r.getter(attribute, nil)
	out := make([]pyvalue.Value, len(items))
	for i, item := range items {
		v, err := get(item)
		if err != nil {
			return nil, err
		}
		out[i] = folded(v, fold)
	}
	return out, nil
}

func folded(v pyvalue.Value, fold bool) pyvalue.Value {
	if s, ok := v.(pyvalue.Str); ok && fold {
		return pyvalue.Str(lower(string(s)))
	}
	return v
}

// sort orders items in place by their keys, stably.
func (r *renderer) sort(items, keys []pyvalue.Value, reverse bool) error {
	if err := r.elements(2 * len(items)); err != nil {
		return err
	}
	type pair struct{ item, key pyvalue.Value }
	pairs := make([]pair, len(items))
	for i := range items {
		pairs[i] = pair{items[i], keys[i]}
	}
	var failure error
	slices.SortStableFunc(pairs, func(a, b pair) int {
		if failure != nil {
			return 0
		}
		n, err := r.order(a.key, b.key, "<")
		failure = err
		if reverse {
			return -n
		}
		return n
	})
	for i := range pairs {
		items[i] = pairs[i].item
	}
	return failure
}

func filterSort(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value reverse case_sensitive attribute", pyvalue.Bool(false), pyvalue.Bool(false), pyvalue.None)
	if err != nil {
		return nil, err
	}
	items, err := a.r.list(args[0])
	if err != nil {
		return nil, err
	}
	attributes := []pyvalue.Value{args[3]}
	if s, ok := args[3].(pyvalue.Str); ok && strings.Contains(string(s), ",") {
		attributes = nil
		for _, part := range strings.Split(string(s), ",") {
			attributes = append(attributes, pyvalue.Str(part))
		}
	}
	slices.Reverse(attributes) // the sort is stable: the last key first
	for _, attribute := range attributes {
		keys, err := a.r.keys(items, attribute, !pyvalue.Truth(args[2]))
		if err != nil {
			return nil, err
		}
		if err := a.r.sort(items, keys, pyvalue.Truth(args[1])); err != nil {
			return nil, err
		}
	}
	return &pyvalue.List{Items: items}, nil
}

func filterDictSort(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value case_sensitive by reverse", pyvalue.Bool(false), pyvalue.Str("key"), pyvalue.Bool(false))
	if err != nil {
		return nil, err
	}
	d, ok := args[0].(*pyvalue.Dict)
	if !ok {
		return nil, fmt.Errorf("'%s' object has no attribute 'items'", args[0].Type())
	}
	by := pyvalue.Int(0)
	switch args[2] {
	case pyvalue.Value(pyvalue.Str("key")):
	case pyvalue.Value(pyvalue.Str("value")):
		by = 1
	default:
		return nil, errors.New(`you can only sort by either "key" or "value"`)
	}
	items := (&view{"items", d}).items()
	keys, err := a.r.keys(items, by, !pyvalue.Truth(args[1]))
	if err != nil {
		return nil, err
	}
	return &pyvalue.List{Items: items}, a.r.sort(items, keys, pyvalue.Truth(args[3]))
}

func filterUnique(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value case_sensitive attribute", pyvalue.Bool(false), pyvalue.None)
	if err != nil {
		return nil, err
	}
	items, err := a.r.list(args[0])
	if err != nil {
		return nil, err
	}
	keys, err := a.r.keys(items, args[2], !pyvalue.Truth(args[1]))
	if err != nil {
		return nil, err
	}
	seen := pyvalue.NewDict()
	out := &generator{filter: "do_unique"}
	for i, item := range items {
		if _, twice := seen.Get(keys[i]); twice {
			continue
		}
		if err := setItem(seen, keys[i], pyvalue.None); err != nil {
			return nil, err
		}
		out.items = append(out.items, item)
	}
	return out, nil
}

func filterGroupBy(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value attribute default case_sensitive", pyvalue.None, pyvalue.Bool(false))
	if err != nil {
		return nil, err
	}
	items, err := a.r.list(args[0])
	if err != nil {
		return nil, err
	}
	fallback := args[2]
	if fallback == pyvalue.Value(pyvalue.None) {
		fallback = nil
	}
	get := a.r.getter(args[1], fallback)
	originals, keys := make([]pyvalue.Value, len(items)), make([]pyvalue.Value, len(items))
	order := make([]pyvalue.Value, len(items))
	for i, item := range items {
		v, err := get(item)
		if err != nil {
			return nil, err
		}
		originals[i], keys[i] = v, folded(v, !pyvalue.Truth(args[3]))
		order[i] = pyvalue.Int(i)
	}
	if err := a.r.sort(order, keys, false); err != nil {
		return nil, err
	}
	out := pyvalue.NewList()
	var last pyvalue.Value
	for _, v := range order {
		i := int(v.(pyvalue.Int))
		same := false
		if last != nil {
			var err error
			if same, err = a.r.equal(last, keys[i]); err != nil {
				return nil, err
			}
		}
		if !same {
			out.Items = append(out.Items, &group{originals[i], pyvalue.NewList()})
			last = keys[i]
		}
		g := out.Items[len(out.Items)-1].(*group)
		g.list.Items = append(g.list.Items, items[i])
	}
	return out, nil
}

// group is one result of groupby: a pair whose parts have names.
type group struct {
	grouper pyvalue.Value
	list    *pyvalue.List
}

func (*group) Type() string { return "_GroupTuple" }

// Unwrap implements pyvalue.Wrapper.
func (g *group) Unwrap() (string, pyvalue.Value, string) { return "", g.tuple(), "" }

func (g *group) tuple() pyvalue.Tuple {
	return pyvalue.Tuple{g.grouper, g.list}
}

func filterReverse(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value")
	if err != nil {
		return nil, err
	}
	if s, ok := args[0].(pyvalue.Str); ok {
		runes := []rune(string(s))
		slices.Reverse(runes)
		return pyvalue.Str(string(runes)), a.r.charge(len(s))
	}
	items, err := a.r.list(args[0])
	if err != nil {
		return nil, err
	}
	slices.Reverse(items)
	return &generator{"reversed", items}, nil
}

func filterFirst(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("seq")
	if err != nil {
		return nil, err
	}
	if g, ok := args[0].(*generator); ok && len(g.items) > 0 {
		v := g.items[0]
		g.items = g.items[1:]
		return v, nil
	}
	items, err := a.r.list(args[0])
	if err != nil || len(items) > 0 {
		if err != nil {
			return nil, err
		}
		return items[0], nil
	}
	return undefined{message: "No first item, sequence was empty."}, nil
}

// filterRandom picks an item by chance. A job whose text holds one is another job each
// time.
func filterRandom(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("seq")
	if err != nil {
		return nil, err
	}
	if _, lazy := args[0].(*generator); lazy {
		return nil, errors.New("object of type 'generator' has no len()")
	}
	items, err := a.r.list(args[0])
	if err != nil || len(items) > 0 {
		if err != nil {
			return nil, err
		}
		return items[rand.IntN(len(items))], nil
	}
	return undefined{message: "No random item, sequence was empty."}, nil
}

func filterLast(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("seq")
	if err != nil {
		return nil, err
	}
	if _, lazy := args[0].(*generator); lazy {
		return nil, errors.New("'generator' object is not reversible")
	}
	items, err := a.r.list(args[0])
	if err != nil || len(items) > 0 {
		if err != nil {
			return nil, err
		}
		return items[len(items)-1], nil
	}
	return undefined{message: "No last item, sequence was empty."}, nil
}

func filterList(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value")
	if err != nil {
		return nil, err
	}
	items, err := a.r.list(args[0])
	return &pyvalue.List{Items: items}, err
}

func filterItems(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value")
	if err != nil {
		return nil, err
	}
	if defined(args[0]) != nil {
		return &generator{filter: "do_items"}, nil
	}
	d, ok := args[0].(*pyvalue.Dict)
	if !ok {
		return nil, errors.New("can only get item pairs from a mapping")
	}
	return &generator{"do_items", (&view{"items", d}).items()}, a.r.elements(4 * d.Len())
}

func filterJoin(a *arguments) (pyvalue.Value, error) {
	args, err := a.bind("value d attribute", pyvalue.Str(""), pyvalue.None)
	if err != nil {
		return nil, err
	}
	items, err := a.r.list(args[0])
	if err != nil {
		return nil, err
	}
	sep, err := a.r.str(args[1])
	if err != nil {
		return nil, err
	}
	get := a.r.getter(args[2], nil)
	var b strings.Builder
	for i, item := range items {
		v, err := get(item)
		if err != nil {
			return nil, err
		}
		text, err := a.r.str(v)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteString(sep)
		}
		if err := a.r.charge(len(text) + len(sep)); err != nil {
			return nil, err
		}
		b.WriteString(text)
	}
	return pyvalue.Str(b.String()), nil
}
