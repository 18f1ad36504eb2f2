package template

import (
	"fmt"
	"strings"

	"quorate/internal/pyvalue"
)

// A testFunc is a test; the arguments begin with the value under test.
type testFunc func(a *arguments, v pyvalue.Value) (bool, error)

// applyTest applies a test by name.
func applyTest(a *arguments, id string, v pyvalue.Value) (bool, error) {
	fn, ok := a.r.tests[id]
	if !ok {
		return false, fmt.Errorf("no test named '%s'", id)
	}
	full := *a
	full.fn = id
	return fn(&full, v)
}

func testTable() map[string]testFunc {
	table := map[string]testFunc{
		"defined":     func(_ *arguments, v pyvalue.Value) (bool, error) { return defined(v) == nil, nil },
		"undefined":   func(_ *arguments, v pyvalue.Value) (bool, error) { return defined(v) != nil, nil },
		"none":        func(_ *arguments, v pyvalue.Value) (bool, error) { return v == pyvalue.Value(pyvalue.None), nil },
		"true":        func(_ *arguments, v pyvalue.Value) (bool, error) { return v == pyvalue.Value(pyvalue.Bool(true)), nil },
		"false":       func(_ *arguments, v pyvalue.Value) (bool, error) { return v == pyvalue.Value(pyvalue.Bool(false)), nil },
		"boolean":     byType("bool"),
		"integer":     byType("int"),
		"float":       byType("float"),
		"string":      byType("str"),
		"mapping":     byType("dict"),
		"number":      byType("int", "float", "bool"),
		"sequence":    byType("str", "list", "tuple", "dict", "range", "_GroupTuple"),
		"callable":    byType("builtin_function_or_method", "Macro", "Undefined", "LoopContext", "Joiner"),
		"escaped":     byType(),
		"iterable":    isIterable,
		"odd":         parity(1),
		"even":        parity(0),
		"divisibleby": isDivisible,
		"sameas":      isSame,
		"in":          isIn,
		"lower":       isCase(func(s string) string { return strings.ToLower(s) }),
		"upper":       isCase(func(s string) string { return strings.ToUpper(s) }),
		"filter": func(a *arguments, v pyvalue.Value) (bool, error) {
			id, err := toStr(v)
			_, ok := a.r.filters[id]
			return ok, err
		},
		"test": func(a *arguments, v pyvalue.Value) (bool, error) {
			id, err := toStr(v)
			_, ok := a.r.tests[id]
			return ok, err
		},
	}
	for op, names := range map[string]string{
		"==": "== eq equalto", "!=": "!= ne", "<": "< lt lessthan",
		"<=": "<= le", ">": "> gt greaterthan", ">=": ">= ge"} {
		for _, id := range strings.Fields(names) {
			table[id] = comparison(op)
		}
	}
	return table
}

func byType(types ...string) testFunc {
	return func(_ *arguments, v pyvalue.Value) (bool, error) {
		for _, t := range types {
			if v.Type() == t {
				return true, nil
			}
		}
		return false, nil
	}
}

func comparison(op string) testFunc {
	return func(a *arguments, v pyvalue.Value) (bool, error) {
		args, err := a.bind("other")
		if err != nil {
			return false, err
		}
		return a.r.compare(op, v, args[0])
	}
}

func parity(rest int) testFunc {
	return func(a *arguments, v pyvalue.Value) (bool, error) {
		m, err := a.r.operate("%", v, pyvalue.Int(2))
		return err == nil && pyvalue.Equal(m, pyvalue.Int(rest)), err
	}
}

func isDivisible(a *arguments, v pyvalue.Value) (bool, error) {
	args, err := a.bind("num")
	if err != nil {
		return false, err
	}
	m, err := a.r.operate("%", v, args[0])
	return err == nil && pyvalue.Equal(m, pyvalue.Int(0)), err
}

func isSame(a *arguments, v pyvalue.Value) (bool, error) {
	args, err := a.bind("other")
	if err != nil {
		return false, err
	}
	switch v.(type) {
	case pyvalue.Tuple:
		return false, nil
	}
	if _, ok := args[0].(pyvalue.Tuple); ok {
		return false, nil
	}
	return v == args[0], nil
}

func isIn(a *arguments, v pyvalue.Value) (bool, error) {
	args, err := a.bind("seq")
	if err != nil {
		return false, err
	}
	return a.r.contains(args[0], v)
}

func isIterable(_ *arguments, v pyvalue.Value) (bool, error) {
	if err := defined(v); err != nil {
		return false, err
	}
	_, sized := length(v)
	_, lazy := v.(*generator)
	return sized || lazy, nil
}

func isCase(fold func(string) string) testFunc {
	return func(a *arguments, v pyvalue.Value) (bool, error) {
		text, err := a.r.str(v)
		return err == nil && fold(text) == text && strings.ToLower(text) != strings.ToUpper(text), err
	}
}
