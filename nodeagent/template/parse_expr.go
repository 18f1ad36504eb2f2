package template

import (
	"slices"

	"quorate/internal/pyvalue"
)

// tuple reads an expression, or several with commas between as a tuple. ends are
// names that end it.
func (p *parser) tuple(cond bool, ends []string) (expr, error) {
	return p.tupleUntil(cond, ends, false)
}

func (p *parser) tupleUntil(cond bool, ends []string, brackets bool) (expr, error) {
	var items []expr
	isTuple := false
	for {
		if len(items) > 0 {
			if !p.skipOp(",") {
				break
			}
			isTuple = true
		}
		if p.tupleEnds(ends) {
			break
		}
		x, err := p.expression(cond)
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	if len(items) == 1 && !isTuple {
		return items[0], nil
	}
	if len(items) == 0 && !brackets {
		return nil, p.fail("expected an expression, got %v", p.cur())
	}
	return &tuple{items}, nil
}

func (p *parser) tupleEnds(ends []string) bool {
	t := p.cur()
	switch t.kind {
	case kVarEnd, kBlockEnd, kEOF:
		return true
	case kOperator:
		return t.text == ")"
	case kName:
		return slices.Contains(ends, t.text)
	}
	return false
}

func (p *parser) expression(cond bool) (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.or()
	for err == nil && cond && p.isName("if") {
		line := p.next().line
		c := &condExpr{then: x, line: line}
		if c.test, err = p.or(); err != nil {
			return nil, err
		}
		if p.skipName("else") {
			if c.otherwise, err = p.expression(true); err != nil {
				return nil, err
			}
		}
		x = c
	}
	return x, err
}

func (p *parser) or() (expr, error) {
	left, err := p.and()
	for err == nil && p.skipName("or") {
		var right expr
		right, err = p.and()
		left = &boolOp{false, left, right}
	}
	return left, err
}

func (p *parser) and() (expr, error) {
	left, err := p.not()
	for err == nil && p.skipName("and") {
		var right expr
		right, err = p.not()
		left = &boolOp{true, left, right}
	}
	return left, err
}

func (p *parser) not() (expr, error) {
	if !p.skipName("not") {
		return p.compare()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.not()
	return &not{x}, err
}

var comparisons = []string{"==", "!=", "<", "<=", ">", ">="}

func (p *parser) compare() (expr, error) {
	first, err := p.sum()
	if err != nil {
		return nil, err
	}
	c := &compare{first: first}
	for {
		op := ""
		switch t := p.cur(); {
		case t.kind == kOperator && slices.Contains(comparisons, t.text):
			op = t.text
			p.next()
		case p.skipName("in"):
			op = "in"
		case p.isName("not") && p.toks[p.pos+1].kind == kName && p.toks[p.pos+1].text == "in":
			op = "not in"
			p.pos += 2
		default:
			if len(c.ops) == 0 {
				return first, nil
			}
			return c, nil
		}
		x, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, x)
	}
}

// leftAssociative reads operands with operators between.
func (p *parser) leftAssociative(operand func() (expr, error), ops ...string) (expr, error) {
	left, err := operand()
	for err == nil && p.cur().kind == kOperator && slices.Contains(ops, p.cur().text) {
		op := p.next().text
		var right expr
		right, err = operand()
		left = &binary{op, left, right}
	}
	return left, err
}

func (p *parser) sum() (expr, error) { return p.leftAssociative(p.concat, "+", "-") }

func (p *parser) concat() (expr, error) {
	first, err := p.product()
	if err != nil || !p.isOp("~") {
		return first, err
	}
	out := &concat{[]expr{first}}
	for p.skipOp("~") {
		x, err := p.product()
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, x)
	}
	return out, nil
}

func (p *parser) product() (expr, error) {
	return p.leftAssociative(p.power, "*", "/", "//", "%")
}

func (p *parser) power() (expr, error) {
	return p.leftAssociative(func() (expr, error) { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var x expr
	var err error
	switch {
	case p.skipOp("-"):
		x, err = p.unary(false)
		x = &unary{true, x}
	case p.skipOp("+"):
		x, err = p.unary(false)
		x = &unary{false, x}
	default:
		x, err = p.primary()
	}
	if err == nil {
		x, err = p.postfix(x)
	}
	if err == nil && filters {
		x, err = p.filterExpression(x)
	}
	return x, err
}

func (p *parser) primary() (expr, error) {
	t := p.next()
	switch t.kind {
	case kName:
		switch t.text {
		case "true", "True":
			return &constant{pyvalue.Bool(true)}, nil
		case "false", "False":
			return &constant{pyvalue.Bool(false)}, nil
		case "none", "None":
			return &constant{pyvalue.None}, nil
		}
		return &name{t.text}, nil
	case kString:
		text := t.text
		for p.cur().kind == kString {
			text += p.next().text
		}
		return &constant{pyvalue.Str(text)}, nil
	case kInteger, kFloat:
		v, err := pyvalue.Number(t.text)
		if err != nil {
			return nil, p.fail("%s is not a number", t.text)
		}
		return &constant{v}, nil
	case kOperator:
		switch t.text {
		case "(":
			x, err := p.tupleUntil(true, nil, true)
			if err != nil {
				return nil, err
			}
			return x, p.expectOp(")")
		case "[":
			return p.list()
		case "{":
			return p.dict()
		}
	}
	p.pos--
	if t.kind == kEOF {
		p.pos++
	}
	return nil, p.fail("unexpected %v", t)
}

func (p *parser) list() (expr, error) {
	out := &listExpr{}
	for !p.isOp("]") {
		if len(out.items) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		if p.isOp("]") {
			break
		}
		x, err := p.expression(true)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, x)
	}
	return out, p.expectOp("]")
}

func (p *parser) dict() (expr, error) {
	out := &dictExpr{}
	for !p.isOp("}") {
		if len(out.keys) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		if p.isOp("}") {
			break
		}
		k, err := p.expression(true)
		if err != nil {
			return nil, err
		}
		if err := p.expectOp(":"); err != nil {
			return nil, err
		}
		v, err := p.expression(true)
		if err != nil {
			return nil, err
		}
		out.keys, out.values = append(out.keys, k), append(out.values, v)
	}
	return out, p.expectOp("}")
}

// postfix reads what follows a primary: attributes, items and calls.
func (p *parser) postfix(x expr) (expr, error) {
	var err error
	for err == nil {
		switch {
		case p.skipOp("."):
			t := p.next()
			switch t.kind {
			case kName:
				x = &attribute{x, t.text}
			case kInteger:
				var v pyvalue.Value
				if v, err = pyvalue.Number(t.text); err != nil {
					return nil, p.fail("%s is not a number", t.text)
				}
				x = &item{x, &constant{v}}
			default:
				return nil, p.fail("expected name or number")
			}
		case p.skipOp("["):
			x, err = p.subscript(x)
		case p.isOp("("):
			x, err = p.call(x)
		default:
			return x, nil
		}
	}
	return nil, err
}

func (p *parser) subscript(x expr) (expr, error) {
	var keys []expr
	isTuple := false
	for !p.isOp("]") {
		if len(keys) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
			isTuple = true
			if p.isOp("]") {
				break
			}
		}
		k, err := p.subscriptKey()
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, p.fail("expected subscript expression")
	}
	key := keys[0]
	if isTuple {
		key = &tuple{keys}
	}
	return &item{x, key}, p.expectOp("]")
}

func (p *parser) subscriptKey() (expr, error) {
	var parts [3]expr
	n, colons := 0, 0
	for {
		if p.skipOp(":") {
			colons++
			if n++; colons > 2 {
				return nil, p.fail("unexpected ':'")
			}
			continue
		}
		if p.isOp("]") || p.isOp(",") || parts[n] != nil {
			break
		}
		x, err := p.expression(true)
		if err != nil {
			return nil, err
		}
		parts[n] = x
	}
	if colons == 0 && parts[0] == nil {
		return nil, p.fail("expected subscript expression, got %v", p.cur())
	}
	if colons == 0 {
		return parts[0], nil
	}
	return &slice{parts[0], parts[1], parts[2]}, nil
}
