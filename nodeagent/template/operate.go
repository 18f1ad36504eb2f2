package template

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"

	"quorate/internal/pyvalue"
)

var errZeroDivision = errors.New("division by zero")

// operate applies a binary operator.
func (r *renderer) operate(op string, a, b pyvalue.Value) (pyvalue.Value, error) {
	if s, ok := a.(pyvalue.Str); ok && op == "%" {
		text, err := r.percent(string(s), b)
		return pyvalue.Str(text), err
	}
	if err := defined(a, b); err != nil {
		return nil, err
	}
	if x, y, ok := integers(a, b); ok {
		return integerOp(op, x, y)
	}
	if x, ok := pyvalue.ToFloat(a); ok {
		if y, ok := pyvalue.ToFloat(b); ok {
			return floatOp(op, x, y)
		}
	}
	switch op {
	case "+":
		if v, ok, err := r.join(a, b); ok {
			return v, err
		}
	case "*":
		if n, err := toInt(b); err == nil {
			if v, ok, err := r.repeat(a, n); ok {
				return v, err
			}
		}
		if n, err := toInt(a); err == nil {
			if v, ok, err := r.repeat(b, n); ok {
				return v, err
			}
		}
	}
	if _, ok := a.(pyvalue.Str); ok && op == "+" {
		return nil, fmt.Errorf("can only concatenate str (not \"%s\") to str", b.Type())
	}
	return nil, fmt.Errorf("unsupported operand type(s) for %s: '%s' and '%s'", op, a.Type(), b.Type())
}

func integers(a, b pyvalue.Value) (x, y *big.Int, ok bool) {
	if x, ok = pyvalue.ToBig(a); !ok {
		return nil, nil, false
	}
	y, ok = pyvalue.ToBig(b)
	return x, y, ok
}

func integerOp(op string, x, y *big.Int) (pyvalue.Value, error) {
	z := new(big.Int)
	switch op {
	case "+":
		z.Add(x, y)
	case "-":
		z.Sub(x, y)
	case "*":
		if x.BitLen()+y.BitLen() > integerBitsMax {
			return nil, fmt.Errorf("%w: an integer of more than %d bits", ErrLimit, integerBitsMax)
		}
		z.Mul(x, y)
	case "/":
		if y.Sign() == 0 {
			return nil, errZeroDivision
		}
		if x.Sign() == 0 && y.Sign() < 0 {
			return pyvalue.Float(math.Copysign(0, -1)), nil
		}
		f, _ := new(big.Rat).SetFrac(x, y).Float64()
		if math.IsInf(f, 0) {
			return nil, errors.New("integer division result too large for a float")
		}
		return pyvalue.Float(f), nil
	case "//", "%":
		if y.Sign() == 0 {
			return nil, errors.New("integer division or modulo by zero")
		}
		quotient, rest := z.QuoRem(x, y, new(big.Int))
		if rest.Sign() != 0 && rest.Sign() != y.Sign() { // round down, not to zero
			quotient.Sub(quotient, big.NewInt(1))
			rest.Add(rest, y)
		}
		if op == "%" {
			return pyvalue.FromBig(rest), nil
		}
		return pyvalue.FromBig(quotient), nil
	case "**":
		return integerPower(x, y)
	}
	return pyvalue.FromBig(z), nil
}

func integerPower(x, y *big.Int) (pyvalue.Value, error) {
	if y.Sign() < 0 {
		if x.Sign() == 0 {
			return nil, errors.New("0.0 cannot be raised to a negative power")
		}
		a, _ := new(big.Float).SetInt(x).Float64()
		b, _ := new(big.Float).SetInt(y).Float64()
		return pyvalue.Float(math.Pow(a, b)), nil
	}
	if x.BitLen() > 1 && (!y.IsInt64() || y.Int64() > integerBitsMax || int64(x.BitLen())*y.Int64() > integerBitsMax) {
		return nil, fmt.Errorf("%w: an integer of more than %d bits", ErrLimit, integerBitsMax)
	}
	if x.BitLen() <= 1 { // -1, 0 and 1, whatever the exponent
		y = new(big.Int).Set(y)
		if y.Sign() != 0 {
			y.SetInt64(2 - int64(y.Bit(0)))
		}
	}
	return pyvalue.FromBig(new(big.Int).Exp(x, y, nil)), nil
}

func floatOp(op string, x, y float64) (pyvalue.Value, error) {
	switch op {
	case "+":
		return pyvalue.Float(x + y), nil
	case "-":
		return pyvalue.Float(x - y), nil
	case "*":
		return pyvalue.Float(x * y), nil
	case "**":
		if x == 0 && y < 0 {
			return nil, errors.New("0.0 cannot be raised to a negative power")
		}
		z := math.Pow(x, y)
		if math.IsNaN(z) && !math.IsNaN(x) && !math.IsNaN(y) {
			return nil, errors.New("the power is a complex number")
		}
		if math.IsInf(z, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
			return nil, errors.New("numerical result out of range")
		}
		return pyvalue.Float(z), nil
	}
	if y == 0 {
		return nil, errZeroDivision
	}
	if op == "/" {
		return pyvalue.Float(x / y), nil
	}
	rest := math.Mod(x, y)
	if rest != 0 && (rest < 0) != (y < 0) {
		rest += y
	}
	if rest == 0 {
		rest = math.Copysign(0, y)
	}
	if op == "%" {
		return pyvalue.Float(rest), nil
	}
	quotient := (x - rest) / y
	if floor := math.Floor(quotient); quotient-floor > 0.5 {
		return pyvalue.Float(floor + 1), nil
	} else if quotient != 0 {
		return pyvalue.Float(floor), nil
	}
	return pyvalue.Float(math.Copysign(0, x/y)), nil
}

// join concatenates two sequences of one type.
func (r *renderer) join(a, b pyvalue.Value) (pyvalue.Value, bool, error) {
	a, b = ungrouped(a), ungrouped(b)
	switch x := a.(type) {
	case pyvalue.Str:
		if y, ok := b.(pyvalue.Str); ok {
			if err := r.charge(len(x) + len(y)); err != nil {
				return nil, true, err
			}
			return x + y, true, nil
		}
	case *pyvalue.List:
		if y, ok := b.(*pyvalue.List); ok {
			if err := r.elements(len(x.Items) + len(y.Items)); err != nil {
				return nil, true, err
			}
			items := make([]pyvalue.Value, 0, len(x.Items)+len(y.Items))
			return &pyvalue.List{Items: append(append(items, x.Items...), y.Items...)}, true, nil
		}
	case pyvalue.Tuple:
		if y, ok := b.(pyvalue.Tuple); ok {
			if err := r.elements(len(x) + len(y)); err != nil {
				return nil, true, err
			}
			return append(append(make(pyvalue.Tuple, 0, len(x)+len(y)), x...), y...), true, nil
		}
	}
	return nil, false, nil
}

// repeat is a sequence n times.
func (r *renderer) repeat(v pyvalue.Value, n int) (pyvalue.Value, bool, error) {
	n = max(n, 0)
	times := func(size, unit int) error {
		if size > 0 && n > AllocatedBytesMax/size {
			return r.charge(-1)
		}
		return r.charge(size * n * unit)
	}
	switch v := ungrouped(v).(type) {
	case pyvalue.Str:
		if err := times(len(v), 1); err != nil {
			return nil, true, err
		}
		return pyvalue.Str(strings.Repeat(string(v), n)), true, nil
	case *pyvalue.List:
		if err := times(len(v.Items), 16); err != nil {
			return nil, true, err
		}
		return &pyvalue.List{Items: repeatItems(v.Items, n)}, true, nil
	case pyvalue.Tuple:
		if err := times(len(v), 16); err != nil {
			return nil, true, err
		}
		return pyvalue.Tuple(repeatItems(v, n)), true, nil
	}
	return nil, false, nil
}

func repeatItems(items []pyvalue.Value, n int) []pyvalue.Value {
	if len(items) == 0 {
		return nil
	}
	out := make([]pyvalue.Value, 0, len(items)*n)
	for range n {
		out = append(out, items...)
	}
	return out
}
