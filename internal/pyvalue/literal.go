package pyvalue

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
)

// ErrLiteral is the error of [Literal] for text that is not a Python literal.
var ErrLiteral = errors.New("not a Python literal")

// intDigitsMax is the most decimal digits that Python converts to an int.
const intDigitsMax = 4300

// Argument types the text of an ARG: as a Python literal where it is one, else
// as text. What Python can read but JSON cannot carry stays text too.
func Argument(text string) Value {
	v, err := Literal(text)
	if err != nil {
		return Str(text)
	}
	return Plain(v)
}

// Literal reads a Python literal as ast.literal_eval does. Literals of types
// that this package lacks (sets, bytes, complex numbers, Ellipsis) are errors,
// as is nesting beyond 200 levels.
func Literal(text string) (Value, error) {
	p := literal{s: strings.TrimLeft(text, " \t")}
	p.skip()
	v, err := p.list(0, 0)
	if err != nil {
		return nil, err
	}
	for p.skip(); p.i < len(p.s); p.i++ {
		if c := p.s[p.i]; c == '\n' || c == '\r' || c == ' ' || c == '\t' || c == '\f' {
			continue
		}
		if p.s[p.i] != '#' {
			return nil, ErrLiteral
		}
		p.comment()
		p.i--
	}
	return v, nil
}

type literal struct {
	s     string
	i     int
	depth int // of brackets; inside of them a line break is a blank
}

func (p *literal) comment() {
	for p.i < len(p.s) && p.s[p.i] != '\n' {
		p.i++
	}
}

// skip passes blanks and comments, and line breaks inside brackets.
func (p *literal) skip() {
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == ' ' || c == '\t' || c == '\f':
			p.i++
		case (c == '\n' || c == '\r') && p.depth > 0:
			p.i++
		case c == '\\' && strings.HasPrefix(p.s[p.i:], "\\\n"):
			p.i += 2
		case c == '#':
			p.comment()
		default:
			return
		}
	}
}

func (p *literal) peek() byte {
	p.skip()
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *literal) accept(c byte) bool {
	if p.peek() == c {
		p.i++
		return true
	}
	return false
}

// list reads an expression, or a tuple where commas follow; closing is the
// bracket that ends it, or 0.
func (p *literal) list(closing byte, depth int) (Value, error) {
	first, err := p.value(depth)
	if err != nil || p.peek() != ',' {
		return first, err
	}
	items := Tuple{first}
	for p.accept(',') {
		if c := p.peek(); c == closing || c == 0 || closing == 0 && (c == '\n' || c == '\r') {
			break
		}
		item, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func (p *literal) value(depth int) (Value, error) {
	if depth > depthMax {
		return nil, ErrLiteral
	}
	switch c := p.peek(); {
	case c == '(':
		return p.brackets(')', depth)
	case c == '[':
		return p.brackets(']', depth)
	case c == '{':
		return p.dict(depth)
	case c == '+' || c == '-':
		p.i++
		// Python knows one sign only, also with brackets between.
		if rest := strings.TrimLeft(p.s[p.i:], " \t\f("); rest != "" && (rest[0] == '+' || rest[0] == '-') {
			return nil, ErrLiteral
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		return signed(v, c == '-')
	case c >= '0' && c <= '9' || c == '.':
		return p.number()
	}
	return p.word()
}

func signed(v Value, negative bool) (Value, error) {
	switch v := v.(type) {
	case Int, *Big:
		n, _ := ToBig(v)
		if negative {
			n.Neg(n)
		}
		return FromBig(n), nil
	case Float:
		if negative {
			return -v, nil
		}
		return v, nil
	}
	return nil, ErrLiteral
}

func (p *literal) brackets(closing byte, depth int) (Value, error) {
	p.i++
	p.depth++
	defer func() { p.depth-- }()
	if p.accept(closing) {
		if closing == ']' {
			return NewList(), nil
		}
		return Tuple{}, nil
	}
	if closing == ')' {
		v, err := p.list(closing, depth+1)
		if err == nil && !p.accept(closing) {
			err = ErrLiteral
		}
		return v, err
	}
	out := NewList()
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
		comma := p.accept(',')
		if p.accept(closing) {
			return out, nil
		}
		if !comma {
			return nil, ErrLiteral
		}
	}
}

func (p *literal) dict(depth int) (Value, error) {
	p.i++
	p.depth++
	defer func() { p.depth-- }()
	out := NewDict()
	for !p.accept('}') {
		k, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.accept(':') {
			return nil, ErrLiteral
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if !out.Set(k, v) {
			return nil, ErrLiteral
		}
		if !p.accept(',') && p.peek() != '}' {
			return nil, ErrLiteral
		}
	}
	return out, nil
}

// word reads None, True, False or strings.
func (p *literal) word() (Value, error) {
	start := p.i
	for p.i < len(p.s) && identifier(p.s[p.i]) {
		p.i++
	}
	word := p.s[start:p.i]
	if p.i < len(p.s) && (p.s[p.i] == '\'' || p.s[p.i] == '"') {
		p.i = start
		return p.strings()
	}
	switch word {
	case "None":
		return None, nil
	case "True":
		return Bool(true), nil
	case "False":
		return Bool(false), nil
	}
	return nil, ErrLiteral
}

func identifier(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (p *literal) number() (Value, error) {
	start := p.i
	for p.i < len(p.s) {
		c := p.s[p.i]
		exponent := p.i > start && (p.s[p.i-1] == 'e' || p.s[p.i-1] == 'E') && !strings.HasPrefix(p.s[start:], "0x") && !strings.HasPrefix(p.s[start:], "0X")
		if !identifier(c) && c != '.' && !(exponent && (c == '+' || c == '-')) {
			break
		}
		p.i++
	}
	return Number(p.s[start:p.i])
}

// Number reads an unsigned number literal.
func Number(text string) (Value, error) {
	if strings.HasPrefix(text, "_") || strings.HasSuffix(text, "_") || strings.Contains(text, "__") {
		return nil, ErrLiteral
	}
	s := strings.ToLower(text)
	if len(s) > 2 && s[0] == '0' && strings.IndexByte("xob", s[1]) >= 0 {
		n, ok := new(big.Int).SetString(s, 0)
		if !ok {
			return nil, ErrLiteral
		}
		return FromBig(n), nil
	}
	for i := range len(s) {
		if s[i] == '_' && (!digit(s, i-1) || !digit(s, i+1)) {
			return nil, ErrLiteral
		}
	}
	s = strings.ReplaceAll(s, "_", "")
	if strings.Trim(s, "0123456789") == "" {
		if s == "" || len(s) > intDigitsMax || s[0] == '0' && strings.Trim(s, "0") != "" {
			return nil, ErrLiteral
		}
		n, _ := new(big.Int).SetString(s, 10)
		return FromBig(n), nil
	}
	if strings.Trim(s, "0123456789.e+-") != "" {
		return nil, ErrLiteral
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil, ErrLiteral
	}
	return Float(f), nil
}

func digit(s string, i int) bool { return i >= 0 && i < len(s) && s[i] >= '0' && s[i] <= '9' }
