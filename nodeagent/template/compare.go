package template

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/pyvalue"
)

// compare applies a comparison.
func (r *renderer) compare(op string, a, b pyvalue.Value) (bool, error) {
	switch op {
	case "in", "not in":
		found, err := r.contains(b, a)
		return found == (op == "in"), err
	}
	if err := defined(a, b); err != nil {
		return false, err
	}
	switch op {
	case "==", "!=":
		same, err := r.equal(a, b)
		return same == (op == "=="), err
	}
	n, err := r.order(a, b, op)
	if err != nil {
		return false, err
	}
	switch op {
	case "<":
		return n < 0, nil
	case "<=":
		return n <= 0, nil
	case ">":
		return n > 0, nil
	}
	return n >= 0, nil
}

// equalDepthMax is how deep undefined values are looked for in what is compared.
const equalDepthMax = 100

// equal is ==, which knows the values of templates beside Python's own. Undefined
// values equal nothing, and comparing them is an error, inside of others too.
func (r *renderer) equal(a, b pyvalue.Value) (bool, error) {
	return r.equalWithin(a, b, equalDepthMax)
}

func (r *renderer) equalWithin(a, b pyvalue.Value, depth int) (bool, error) {
	if err := defined(a, b); err != nil {
		return false, err
	}
	a, b = ungrouped(a), ungrouped(b)
	switch x := a.(type) {
	case *pyvalue.List:
		if y, ok := b.(*pyvalue.List); ok && depth > 0 {
			return r.equalItems(x.Items, y.Items, depth-1)
		}
	case pyvalue.Tuple:
		if y, ok := b.(pyvalue.Tuple); ok && depth > 0 {
			// Python looks at the length of tuples last.
			n := min(len(x), len(y))
			same, err := r.equalItems(x[:n], y[:n], depth-1)
			return same && len(x) == len(y), err
		}
	case *pyvalue.Dict:
		if y, ok := b.(*pyvalue.Dict); ok && depth > 0 {
			return r.equalDicts(x, y, depth-1)
		}
	case rangeValue:
		y, ok := b.(rangeValue)
		return ok && (x == y || x.len() == 0 && y.len() == 0), nil
	case *generator, *view, *function, *namespace, *macro, *loop, *cycler, *joiner:
		return a == b, nil
	}
	same, parts := pyvalue.EqualWithin(a, b, StepsMax-r.steps)
	r.steps += parts
	return same, r.step()
}

// ungrouped is the value, where it is a group the tuple that this is in Python.
func ungrouped(v pyvalue.Value) pyvalue.Value {
	if g, ok := v.(*group); ok {
		return g.tuple()
	}
	return v
}

func (r *renderer) equalItems(a, b []pyvalue.Value, depth int) (bool, error) {
	if len(a) != len(b) {
		return false, r.step()
	}
	for i := range a {
		if err := r.step(); err != nil {
			return false, err
		}
		if same, err := r.equalWithin(a[i], b[i], depth); err != nil || !same {
			return false, err
		}
	}
	return true, r.step()
}

func (r *renderer) equalDicts(a, b *pyvalue.Dict, depth int) (bool, error) {
	if a.Len() != b.Len() {
		return false, r.step()
	}
	for k, v := range a.All() {
		if err := r.step(); err != nil {
			return false, err
		}
		other, ok := b.Get(k)
		if !ok {
			return false, nil
		}
		if same, err := r.equalWithin(v, other, depth); err != nil || !same {
			return false, err
		}
	}
	return true, r.step()
}

// unordered is the answer for NaN: no order, no error.
const unordered = 2

// order compares two values by size. op is for the message.
func (r *renderer) order(a, b pyvalue.Value, op string) (int, error) {
	return r.orderWithin(a, b, op, 0)
}

func (r *renderer) orderWithin(a, b pyvalue.Value, op string, depth int) (int, error) {
	if err := r.step(); err != nil {
		return 0, err
	}
	if err := defined(a, b); err != nil {
		return 0, err
	}
	switch x := a.(type) {
	case pyvalue.Str:
		if y, ok := b.(pyvalue.Str); ok {
			return cmp.Compare(x, y), nil
		}
	case *pyvalue.List:
		if y, ok := b.(*pyvalue.List); ok && depth < 100 {
			return r.orderItems(x.Items, y.Items, op, depth)
		}
	}
	if x, ok := ungrouped(a).(pyvalue.Tuple); ok && depth < 100 {
		if y, ok := ungrouped(b).(pyvalue.Tuple); ok {
			return r.orderItems(x, y, op, depth)
		}
	}
	_, okA := pyvalue.ToFloat(a)
	_, okB := pyvalue.ToFloat(b)
	if okA && okB {
		if n, ok := pyvalue.CompareNumbers(a, b); ok {
			return n, nil
		}
		if op == "<" || op == "<=" {
			return unordered, nil
		}
		return -unordered, nil
	}
	return 0, fmt.Errorf("'%s' not supported between instances of '%s' and '%s'", op, a.Type(), b.Type())
}

func (r *renderer) orderItems(a, b []pyvalue.Value, op string, depth int) (int, error) {
	for i := 0; i < len(a) && i < len(b); i++ {
		same, err := r.equal(a[i], b[i])
		if err != nil {
			return 0, err
		}
		if !same {
			return r.orderWithin(a[i], b[i], op, depth+1)
		}
	}
	return cmp.Compare(len(a), len(b)), nil
}

// hashable reports whether Python could use the value as a key of a dict. What only
// templates know is no key of ours, and so in none of them.
func hashable(v pyvalue.Value) bool {
	switch v := v.(type) {
	case rangeValue, *generator, *function, *namespace, *macro, *loop, *cycler, *joiner:
		return true
	case *view:
		return v.kind == "values"
	case pyvalue.Tuple:
		return !slices.ContainsFunc(v, func(part pyvalue.Value) bool { return !hashable(part) })
	case *group:
		return hashable(v.tuple())
	}
	return pyvalue.Hashable(v)
}

// contains is Python's in.
func (r *renderer) contains(in, v pyvalue.Value) (bool, error) {
	if err := defined(in); err != nil {
		return false, err
	}
	switch in := in.(type) {
	case pyvalue.Str:
		if err := defined(v); err != nil {
			return false, err
		}
		sub, ok := v.(pyvalue.Str)
		if !ok {
			return false, fmt.Errorf("'in <string>' requires string as left operand, not %s", v.Type())
		}
		return strings.Contains(string(in), string(sub)), nil
	case *pyvalue.Dict:
		if err := defined(v); err != nil {
			return false, err
		}
		if !hashable(v) {
			return false, fmt.Errorf("unhashable type: '%s'", v.Type())
		}
		_, ok := in.Get(v)
		return ok, nil
	}
	items, err := r.list(in)
	if err != nil {
		if defined(in) == nil {
			err = fmt.Errorf("argument of type '%s' is not iterable", in.Type())
		}
		return false, err
	}
	for _, item := range items {
		if err := r.step(); err != nil {
			return false, err
		}
		if err := defined(v, item); err != nil {
			return false, err
		}
		if same, err := r.equal(v, item); same || err != nil {
			return same, err
		}
	}
	return false, nil
}
