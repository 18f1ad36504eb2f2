// Package pyvalue holds Python's values, because Directord's files are written
// in terms of them: an argument's text is a Python literal, and a template prints
// a container as Python does.
//
// It knows None, bool, int, float, str, list, tuple and dict, and no others.
// Dicts keep the order of insertion. Reading untrusted text or bytes never panics.
package pyvalue

import (
	"math"
	"math/big"
)

// A Value is one of [None], [Bool], [Int], [*Big], [Float], [Str], [*List],
// [Tuple] and [*Dict].
type Value interface {
	// Type is Python's name of the type.
	Type() string
}

type (
	// NoneType is the type of [None].
	NoneType struct{}
	// Bool is True or False.
	Bool bool
	// Int is an integer that fits 64 bits; others are [*Big].
	Int int64
	// Float is a double.
	Float float64
	// Str is text.
	Str string
	// List is mutable and so is used by pointer.
	List struct{ Items []Value }
	// Tuple is immutable.
	Tuple []Value
	// Big is an integer beyond 64 bits. Make one with [FromBig].
	Big struct{ n *big.Int }
)

// None is Python's None.
var None = NoneType{}

// Type implements Value.
func (NoneType) Type() string { return "NoneType" }

// Type implements Value.
func (Bool) Type() string { return "bool" }

// Type implements Value.
func (Int) Type() string { return "int" }

// Type implements Value.
func (*Big) Type() string { return "int" }

// Type implements Value.
func (Float) Type() string { return "float" }

// Type implements Value.
func (Str) Type() string { return "str" }

// Type implements Value.
func (*List) Type() string { return "list" }

// Type implements Value.
func (Tuple) Type() string { return "tuple" }

// Type implements Value.
func (*Dict) Type() string { return "dict" }

// NewList makes a list of the items.
func NewList(items ...Value) *List { return &List{Items: items} }

// FromBig returns the integer in its only representation: Int where it fits.
func FromBig(n *big.Int) Value {
	if n.IsInt64() {
		return Int(n.Int64())
	}
	return &Big{n: n}
}

// ToBig returns an integer's value; bools count as integers, as in Python.
func ToBig(v Value) (*big.Int, bool) {
	switch v := v.(type) {
	case Bool:
		if v {
			return big.NewInt(1), true
		}
		return new(big.Int), true
	case Int:
		return big.NewInt(int64(v)), true
	case *Big:
		return new(big.Int).Set(v.n), true
	}
	return nil, false
}

// ToFloat returns a number's value as a double.
func ToFloat(v Value) (float64, bool) {
	switch v := v.(type) {
	case Float:
		return float64(v), true
	case Int:
		return float64(v), true
	}
	n, ok := ToBig(v)
	if !ok {
		return 0, false
	}
	f, _ := new(big.Float).SetInt(n).Float64()
	return f, true
}

// Truth is Python's truth of a value.
func Truth(v Value) bool {
	switch v := v.(type) {
	case NoneType:
		return false
	case Bool:
		return bool(v)
	case Int:
		return v != 0
	case Float:
		return v != 0
	case Str:
		return v != ""
	case *List:
		return len(v.Items) > 0
	case Tuple:
		return len(v) > 0
	case *Dict:
		return v.Len() > 0
	}
	return true
}

// depthMax bounds how deep values may be nested, so that a value that holds
// itself ends a comparison or a printing instead of the process.
const depthMax = 200

// comparisonsMax bounds how many values Equal looks at, because small values can
// hold one list a great many times.
const comparisonsMax = 1 << 24

// Equal is Python's ==. Values nested deeper than 200 levels are unequal, as are
// those of more than 16 million parts.
func Equal(a, b Value) bool {
	equal, _ := EqualWithin(a, b, comparisonsMax)
	return equal
}

// EqualWithin is Equal for values of up to limit parts. It also returns how many
// it has looked at; where that is more than limit, the answer means nothing.
func EqualWithin(a, b Value, limit int) (same bool, parts int) {
	c := comparer{limit: limit}
	same = c.equal(a, b, 0)
	return same, c.parts
}

type comparer struct{ parts, limit int }

func (c *comparer) equal(a, b Value, depth int) bool {
	if c.parts++; depth > depthMax || c.parts > c.limit {
		return false
	}
	switch x := a.(type) {
	case NoneType:
		_, ok := b.(NoneType)
		return ok
	case Str:
		y, ok := b.(Str)
		return ok && x == y
	case *List:
		y, ok := b.(*List)
		return ok && (x == y || c.items(x.Items, y.Items, depth))
	case Tuple:
		y, ok := b.(Tuple)
		return ok && c.items(x, y, depth)
	case *Dict:
		y, ok := b.(*Dict)
		if ok && x == y {
			return true
		}
		if !ok || x.Len() != y.Len() {
			return false
		}
		for k, v := range x.All() {
			w, ok := y.Get(k)
			if !ok || !c.equal(v, w, depth+1) {
				return false
			}
		}
		return true
	}
	order, ok := CompareNumbers(a, b)
	return ok && order == 0
}

func (c *comparer) items(a, b []Value, depth int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !c.equal(a[i], b[i], depth+1) {
			return false
		}
	}
	return true
}

// CompareNumbers orders two numbers exactly. It is not ok where one is not a
// number, or is NaN.
func CompareNumbers(a, b Value) (order int, ok bool) {
	x, okX := toBigFloat(a)
	y, okY := toBigFloat(b)
	if !okX || !okY {
		return 0, false
	}
	return x.Cmp(y), true
}

func toBigFloat(v Value) (*big.Float, bool) {
	if f, ok := v.(Float); ok {
		if math.IsNaN(float64(f)) {
			return nil, false
		}
		return new(big.Float).SetFloat64(float64(f)), true
	}
	n, ok := ToBig(v)
	if !ok {
		return nil, false
	}
	return new(big.Float).SetInt(n), true
}
