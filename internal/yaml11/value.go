package yaml11

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// IntDigitsMax bounds the text of an integer whose value can be had; it is Python's.
const IntDigitsMax = 4300

// Get returns the value of a mapping's key by the key's text, nil where there is none.
func (n *Node) Get(key string) *Node {
	for i := range n.Pairs {
		if n.Pairs[i].Key.Text == key {
			return n.Pairs[i].Value
		}
	}
	return nil
}

// IsNull reports whether the node is a null, written or left out.
func (n *Node) IsNull() bool { return n.Kind == Scalar && n.Tag == Null }

// Bool is the value of a boolean; ok is false for other nodes.
func (n *Node) Bool() (v, ok bool) {
	if n.Kind != Scalar || n.Tag != Bool {
		return false, false
	}
	v, ok = truths[strings.ToLower(n.Text)]
	return v, ok
}

// Int is the value of an integer that fits; ok is false for other nodes.
func (n *Node) Int() (v int64, ok bool) {
	b, ok := n.BigInt()
	if !ok || !b.IsInt64() {
		return 0, false
	}
	return b.Int64(), true
}

// BigInt is the value of an integer; ok is false for other nodes and for texts
// longer than IntDigitsMax.
func (n *Node) BigInt() (v *big.Int, ok bool) {
	if n.Kind != Scalar || n.Tag != Int {
		return nil, false
	}
	if len(n.Text) > IntDigitsMax {
		return nil, false
	}
	s := strings.ReplaceAll(n.Text, "_", "")
	digits := unsigned(s)
	v = new(big.Int)
	switch {
	case strings.HasPrefix(digits, "0b"):
		_, ok = v.SetString(digits[2:], 2)
	case strings.HasPrefix(digits, "0x"):
		_, ok = v.SetString(digits[2:], 16)
	case len(digits) > 1 && digits[0] == '0':
		_, ok = v.SetString(digits, 8)
	case strings.Contains(digits, ":"):
		ok = base60(v, strings.Split(digits, ":"))
	default:
		_, ok = v.SetString(digits, 10)
	}
	if s != "" && s[0] == '-' {
		v.Neg(v)
	}
	return v, ok
}

func base60(v *big.Int, groups []string) bool {
	sixty := big.NewInt(60)
	for _, g := range groups {
		d, ok := new(big.Int).SetString(g, 10)
		if !ok {
			return false
		}
		v.Mul(v, sixty).Add(v, d)
	}
	return true
}

// Float is the value of a float; ok is false for other nodes, integers included.
func (n *Node) Float() (v float64, ok bool) {
	if n.Kind != Scalar || n.Tag != Float {
		return 0, false
	}
	s := strings.ToLower(strings.ReplaceAll(n.Text, "_", ""))
	sign := 1.0
	if s != "" && s[0] == '-' {
		sign = -1
	}
	s = unsigned(s)
	switch s {
	case ".inf":
		return sign * math.Inf(1), true
	case ".nan":
		return math.NaN(), true
	}
	for _, group := range strings.Split(s, ":") {
		g, err := strconv.ParseFloat(group, 64)
		if err != nil && !math.IsInf(g, 0) {
			return 0, false
		}
		v = v*60 + g
	}
	return sign * v, true
}
