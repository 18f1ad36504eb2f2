package template

import (
	"slices"
)

// arguments reads the arguments of a call in brackets.
func (p *parser) arguments(to *invocation) error {
	if err := p.expectOp("("); err != nil {
		return err
	}
	for first := true; !p.isOp(")"); first = false {
		if !first {
			if err := p.expectOp(","); err != nil {
				return err
			}
			if p.isOp(")") {
				break
			}
		}
		if err := p.argument(to); err != nil {
			return err
		}
	}
	return p.expectOp(")")
}

func (p *parser) argument(to *invocation) error {
	var err error
	switch {
	case p.isOp("*") && to.star == nil && to.dstars == nil:
		p.next()
		to.star, err = p.expression(true)
	case p.isOp("**") && to.dstars == nil:
		p.next()
		to.dstars, err = p.expression(true)
	case p.cur().kind == kName && p.toks[p.pos+1].kind == kOperator && p.toks[p.pos+1].text == "=" && to.dstars == nil:
		id := p.next().text
		p.next()
		var x expr
		x, err = p.expression(true)
		if slices.Contains(to.names, id) {
			return p.fail("keyword argument repeated: %s", id)
		}
		to.names, to.values = append(to.names, id), append(to.values, x)
	case to.names == nil && to.star == nil && to.dstars == nil:
		var x expr
		x, err = p.expression(true)
		to.args = append(to.args, x)
	default:
		return p.fail("invalid syntax for function call expression")
	}
	return err
}

// call reads the arguments that the operand is called with.
func (p *parser) call(x expr) (expr, error) {
	c := &call{invocation{x: x, line: p.cur().line}}
	return c, p.arguments(&c.invocation)
}

// filterExpression reads filters, tests and calls after an operand.
func (p *parser) filterExpression(x expr) (expr, error) {
	var err error
	for err == nil {
		switch {
		case p.isOp("|"):
			x, err = p.filters(x, false)
		case p.isName("is"):
			x, err = p.test(x)
		case p.isOp("("):
			x, err = p.call(x)
		default:
			return x, nil
		}
	}
	return nil, err
}

// filters reads one or more filters. The first one of a filter block has no bar
// before it.
func (p *parser) filters(x expr, first bool) (expr, error) {
	for first || p.skipOp("|") {
		first = false
		id, err := p.dotted()
		if err != nil {
			return nil, err
		}
		f := &filter{invocation{x: x, line: p.cur().line}, id}
		if p.isOp("(") {
			if err := p.arguments(&f.invocation); err != nil {
				return nil, err
			}
		}
		x = f
	}
	return x, nil
}

func (p *parser) dotted() (string, error) {
	t, err := p.expect(kName, "")
	if err != nil {
		return "", err
	}
	id := t.text
	for p.skipOp(".") {
		t, err := p.expect(kName, "")
		if err != nil {
			return "", err
		}
		id += "." + t.text
	}
	return id, nil
}

func (p *parser) test(x expr) (expr, error) {
	p.next()
	out := &test{invocation: invocation{x: x, line: p.cur().line}, negate: p.skipName("not")}
	var err error
	if out.name, err = p.dotted(); err != nil {
		return nil, err
	}
	switch t := p.cur(); {
	case p.isOp("("):
		return out, p.arguments(&out.invocation)
	case t.kind == kString || t.kind == kInteger || t.kind == kFloat || p.isOp("[") || p.isOp("{"),
		t.kind == kName && !slices.Contains([]string{"else", "or", "and", "if", "in", "not", "recursive"}, t.text):
		if p.isName("is") {
			return nil, p.fail("you cannot chain multiple tests with is")
		}
		arg, err := p.primary()
		if err == nil {
			arg, err = p.postfix(arg)
		}
		out.args = []expr{arg}
		return out, err
	}
	return out, nil
}
