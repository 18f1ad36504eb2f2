package template

import (
	"errors"
	"fmt"
	"strings"

	"quorate/internal/pyvalue"
)

// percent is Python's formatting of text with the % operator.
func (r *renderer) percent(format string, v pyvalue.Value) (string, error) {
	p := &percentFormat{r: r, single: v}
	switch v := ungrouped(v).(type) {
	case pyvalue.Tuple:
		p.args, p.isTuple = v, true
	case *pyvalue.Dict:
		p.dict = v
	}
	var b strings.Builder
	for i := 0; i < len(format); {
		if format[i] != '%' {
			next := strings.IndexByte(format[i:], '%')
			if next < 0 {
				next = len(format) - i
			}
			b.WriteString(format[i : i+next])
			i += next
			continue
		}
		text, n, err := p.directive(format[i:])
		if err != nil {
			return "", err
		}
		if err := r.charge(len(text)); err != nil {
			return "", err
		}
		b.WriteString(text)
		i += n
	}
	if p.isTuple && p.used < len(p.args) || !p.isTuple && p.dict == nil && p.used == 0 && !isContainer(v) {
		return "", errors.New("not all arguments converted during string formatting")
	}
	return b.String(), r.charge(b.Len())
}

// isContainer reports whether Python takes a value for a mapping of arguments,
// of which none need be used.
func isContainer(v pyvalue.Value) bool {
	switch v.(type) {
	case *pyvalue.List, undefined, rangeValue:
		return true
	}
	return false
}

type percentFormat struct {
	r       *renderer
	args    pyvalue.Tuple
	isTuple bool
	dict    *pyvalue.Dict
	single  pyvalue.Value
	used    int
}

func (p *percentFormat) argument() (pyvalue.Value, error) {
	p.used++
	switch {
	case p.isTuple && p.used <= len(p.args):
		return p.args[p.used-1], defined(p.args[p.used-1])
	case !p.isTuple && p.used == 1:
		return p.single, defined(p.single)
	}
	return nil, errors.New("not enough arguments for format string")
}

// directive formats what the directive at the start of s asks for, and returns
// the directive's length.
func (p *percentFormat) directive(s string) (string, int, error) {
	i := 1
	var v pyvalue.Value
	if strings.HasPrefix(s[i:], "(") {
		end := strings.IndexByte(s, ')')
		if end < 0 || p.dict == nil {
			return "", 0, errors.New("format requires a mapping")
		}
		key := s[i+1 : end]
		found, ok := p.dict.GetStr(key)
		if !ok {
			return "", 0, fmt.Errorf("key '%s' does not exist", key)
		}
		v, i = found, end+1
	}
	spec := formatSpec{fill: " ", precision: -1}
	for ; i < len(s) && strings.IndexByte("-+ #0", s[i]) >= 0; i++ {
		switch s[i] {
		case '-':
			spec.align = '<'
		case '+':
			spec.sign = '+'
		case ' ':
			if spec.sign == 0 {
				spec.sign = ' '
			}
		case '#':
			spec.alternate = true
		case '0':
			spec.zero = true
		}
	}
	var err error
	if spec.width, i, err = p.number(s, i); err != nil {
		return "", 0, err
	}
	if spec.width < 0 {
		spec.align, spec.width = '<', -spec.width
	}
	if i < len(s) && s[i] == '.' {
		if spec.precision, i, err = p.number(s, i+1); err != nil {
			return "", 0, err
		}
	}
	for i < len(s) && strings.IndexByte("hlL", s[i]) >= 0 {
		i++
	}
	if i == len(s) {
		return "", 0, errors.New("incomplete format")
	}
	if s[i] == '%' {
		return "%", i + 1, nil
	}
	if v == nil {
		if v, err = p.argument(); err != nil {
			return "", 0, err
		}
	}
	text, err := p.convert(s[i], v, spec)
	return text, i + 1, err
}

// number reads a width or precision, which may be an asterisk.
func (p *percentFormat) number(s string, i int) (int, int, error) {
	if i < len(s) && s[i] == '*' {
		v, err := p.argument()
		if err != nil {
			return 0, 0, err
		}
		n, err := toInt(v)
		return n, i + 1, err
	}
	n := 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if n = n*10 + int(s[i]-'0'); n > OutputBytesMax {
			return 0, 0, p.r.charge(-1)
		}
	}
	return n, i, nil
}

func (p *percentFormat) convert(verb byte, v pyvalue.Value, spec formatSpec) (string, error) {
	if spec.align == 0 {
		spec.align = '>'
		if spec.zero {
			spec.align, spec.fill = '=', "0"
		}
	}
	switch verb {
	case 's', 'r', 'a':
		spec.fill = " "
		if spec.align == '=' {
			spec.align = '>'
		}
		text, err := p.r.str(v)
		if verb != 's' && err == nil {
			text, err = p.r.repr(v)
		}
		if err != nil {
			return "", err
		}
		return p.r.formatText(text, spec)
	case 'd', 'i', 'u', 'x', 'X', 'o':
		if f, ok := v.(pyvalue.Float); ok && strings.IndexByte("diu", verb) >= 0 {
			whole, err := truncateFloat(float64(f))
			if err != nil {
				return "", err
			}
			v = whole
		}
		if _, ok := pyvalue.ToBig(v); !ok {
			return "", fmt.Errorf("%%%c format: a real number is required, not %s", verb, v.Type())
		}
		if verb == 'i' || verb == 'u' {
			verb = 'd'
		}
		spec.digits, spec.precision = spec.precision, -1
		spec.verb = verb
		return p.r.formatNumber(v, spec)
	case 'e', 'E', 'f', 'F', 'g', 'G':
		if _, ok := pyvalue.ToFloat(v); !ok {
			return "", fmt.Errorf("must be real number, not %s", v.Type())
		}
		spec.verb = verb
		return p.r.formatNumber(v, spec)
	case 'c':
		return p.character(v, spec)
	}
	return "", fmt.Errorf("unsupported format character '%c'", verb)
}

func (p *percentFormat) character(v pyvalue.Value, spec formatSpec) (string, error) {
	if n, ok := v.(pyvalue.Int); ok && n >= 0 && n <= 0x10ffff {
		return p.r.formatText(string(rune(n)), spec)
	}
	if s, ok := v.(pyvalue.Str); ok && len([]rune(string(s))) == 1 {
		return p.r.formatText(string(s), spec)
	}
	return "", errors.New("%c requires int or char")
}
