package template

import (
	"fmt"
	"slices"
)

type parser struct {
	toks  []token
	pos   int
	depth int
}

// parse reads a template.
func parse(source string) ([]stmt, error) {
	toks, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks}
	return p.body("")
}

func (p *parser) cur() token { return p.toks[p.pos] }

func (p *parser) next() token {
	t := p.toks[p.pos]
	if t.kind != kEOF {
		p.pos++
	}
	return t
}

func (p *parser) is(k kind, text string) bool { return p.cur().kind == k && p.cur().text == text }

func (p *parser) isOp(text string) bool { return p.is(kOperator, text) }

func (p *parser) isName(text string) bool { return p.is(kName, text) }

func (p *parser) skipOp(text string) bool {
	if p.isOp(text) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) skipName(text string) bool {
	if p.isName(text) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) fail(format string, args ...any) error {
	return &Error{Line: p.cur().line, Err: fmt.Errorf(format, args...)}
}

func (p *parser) expect(k kind, text string) (token, error) {
	t := p.cur()
	if t.kind != k || text != "" && t.text != text {
		want := text
		if want == "" {
			want = token{kind: k}.String()
		}
		return t, p.fail("expected %s, got %v", want, t)
	}
	return p.next(), nil
}

func (p *parser) expectOp(text string) error {
	_, err := p.expect(kOperator, text)
	return err
}

func (p *parser) enter() error {
	p.depth++
	if p.depth > nestingMax {
		return p.fail("%w: nested deeper than %d levels", ErrLimit, nestingMax)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// body reads statements up to one of the end tags, which stays unread from its
// name on. Without end tags it reads to the end of the template.
func (p *parser) body(ends ...string) ([]stmt, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if ends[0] == "" {
		ends = nil
	}
	var out []stmt
	for {
		t := p.next()
		switch t.kind {
		case kEOF:
			if ends == nil {
				return out, nil
			}
			return nil, p.fail("unexpected end of template, expected '%s'", ends[len(ends)-1])
		case kData:
			out = append(out, &data{t.text})
		case kVarBegin:
			x, err := p.tuple(true, nil)
			if err != nil {
				return nil, err
			}
			if _, err := p.expect(kVarEnd, ""); err != nil {
				return nil, err
			}
			out = append(out, &output{x, t.line})
		case kBlockBegin:
			if p.cur().kind == kName && slices.Contains(ends, p.cur().text) {
				return out, nil
			}
			s, err := p.statement()
			if err != nil {
				return nil, err
			}
			if _, err := p.expect(kBlockEnd, ""); err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
}

// until reads the rest of an opening tag, the body, and the name of the end tag,
// of which it returns which one it was.
func (p *parser) until(ends ...string) ([]stmt, string, error) {
	if _, err := p.expect(kBlockEnd, ""); err != nil {
		return nil, "", err
	}
	body, err := p.body(ends...)
	if err != nil {
		return nil, "", err
	}
	return body, p.next().text, nil
}

func (p *parser) statement() (stmt, error) {
	t, err := p.expect(kName, "")
	if err != nil {
		return nil, err
	}
	switch t.text {
	case "if":
		return p.ifStatement(t.line)
	case "for":
		return p.forStatement(t.line)
	case "set":
		return p.setStatement(t.line)
	case "macro":
		return p.macroStatement()
	case "call":
		return p.callStatement(t.line)
	case "filter":
		x, err := p.filters(&captured{}, true)
		if err != nil {
			return nil, err
		}
		body, _, err := p.until("endfilter")
		return &filterBlock{x, body, t.line}, err
	case "with":
		return p.withStatement(t.line)
	case "block":
		return p.blockStatement()
	case "autoescape":
		x, err := p.expression(true)
		if err != nil {
			return nil, err
		}
		body, _, err := p.until("endautoescape")
		return &scoped{body, x, t.line}, err
	case "include", "extends", "import", "from":
		return nil, p.fail("'%s' is not possible: a template stands alone here", t.text)
	}
	return nil, p.fail("unknown tag '%s'", t.text)
}

func (p *parser) ifStatement(line int) (stmt, error) {
	test, err := p.tuple(false, nil)
	if err != nil {
		return nil, err
	}
	body, end, err := p.until("elif", "else", "endif")
	if err != nil {
		return nil, err
	}
	out := &ifStmt{test: test, body: body, line: line}
	switch end {
	case "elif":
		if err := p.enter(); err != nil {
			return nil, err
		}
		defer p.leave()
		rest, err := p.ifStatement(p.cur().line)
		out.otherwise = []stmt{rest}
		return out, err
	case "else":
		out.otherwise, _, err = p.until("endif")
	}
	return out, err
}

func (p *parser) forStatement(line int) (stmt, error) {
	out := &forStmt{line: line}
	var err error
	if out.target, err = p.target(false); err != nil {
		return nil, err
	}
	if _, err := p.expect(kName, "in"); err != nil {
		return nil, err
	}
	if out.iter, err = p.tuple(false, []string{"recursive"}); err != nil {
		return nil, err
	}
	if p.skipName("if") {
		if out.test, err = p.expression(true); err != nil {
			return nil, err
		}
	}
	out.recursive = p.skipName("recursive")
	var end string
	if out.body, end, err = p.until("else", "endfor"); err != nil {
		return nil, err
	}
	if end == "else" {
		out.otherwise, _, err = p.until("endfor")
	}
	return out, err
}

func (p *parser) setStatement(line int) (stmt, error) {
	to, err := p.target(true)
	if err != nil {
		return nil, err
	}
	if p.skipOp("=") {
		x, err := p.tuple(true, nil)
		return &setStmt{to, x, line}, err
	}
	out := &setBlock{target: to, line: line}
	if p.isOp("|") {
		if out.filter, err = p.filters(&captured{}, false); err != nil {
			return nil, err
		}
	}
	out.body, _, err = p.until("endset")
	return out, err
}

func (p *parser) macroStatement() (stmt, error) {
	id, err := p.expect(kName, "")
	if err != nil {
		return nil, err
	}
	m := &macro{name: id.text}
	if err := p.signature(m); err != nil {
		return nil, err
	}
	start := p.pos
	m.body, _, err = p.until("endmacro")
	m.mention(p.toks[start:p.pos])
	return &macroStmt{m}, err
}

// mention notes which of the names that every macro has occur in its body.
func (m *macro) mention(body []token) {
	for _, t := range body {
		if t.kind == kName {
			m.varargs = m.varargs || t.text == "varargs"
			m.kwargs = m.kwargs || t.text == "kwargs"
			m.caller = m.caller || t.text == "caller"
		}
	}
}

// signature reads the parameters of a macro in brackets.
func (p *parser) signature(m *macro) error {
	if err := p.expectOp("("); err != nil {
		return err
	}
	for !p.isOp(")") {
		if len(m.params) > 0 {
			if err := p.expectOp(","); err != nil {
				return err
			}
		}
		id, err := p.expect(kName, "")
		if err != nil {
			return err
		}
		var otherwise expr
		if p.skipOp("=") {
			if otherwise, err = p.expression(true); err != nil {
				return err
			}
		} else if n := len(m.defaults); n > 0 && m.defaults[n-1] != nil {
			return p.fail("non-default argument follows default argument")
		}
		m.params = append(m.params, id.text)
		m.defaults = append(m.defaults, otherwise)
	}
	return p.expectOp(")")
}

func (p *parser) callStatement(line int) (stmt, error) {
	m := &macro{name: "caller"}
	if p.isOp("(") {
		if err := p.signature(m); err != nil {
			return nil, err
		}
	}
	x, err := p.expression(true)
	if err != nil {
		return nil, err
	}
	c, ok := x.(*call)
	if !ok {
		return nil, p.fail("expected call")
	}
	start := p.pos
	m.body, _, err = p.until("endcall")
	m.mention(p.toks[start:p.pos])
	return &callBlock{c, m, line}, err
}

func (p *parser) withStatement(line int) (stmt, error) {
	out := &withStmt{line: line}
	for p.cur().kind != kBlockEnd {
		if len(out.targets) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		to, err := p.target(false)
		if err != nil {
			return nil, err
		}
		if err := p.expectOp("="); err != nil {
			return nil, err
		}
		x, err := p.expression(true)
		if err != nil {
			return nil, err
		}
		out.targets, out.values = append(out.targets, to), append(out.values, x)
	}
	var err error
	out.body, _, err = p.until("endwith")
	return out, err
}

func (p *parser) blockStatement() (stmt, error) {
	if _, err := p.expect(kName, ""); err != nil {
		return nil, err
	}
	p.skipName("scoped")
	body, _, err := p.until("endblock")
	if err == nil && p.cur().kind == kName {
		p.next()
	}
	return &scoped{body: body}, err
}

// target reads what is assigned to: names with commas between, in brackets or
// not, or with namespace an attribute of one.
func (p *parser) target(namespace bool) (target, error) {
	first, err := p.targetItem(namespace)
	if err != nil || !p.isOp(",") {
		return first, err
	}
	out := target{parts: []target{first}}
	for p.skipOp(",") {
		if p.cur().kind != kName && !p.isOp("(") && !p.isOp("[") || p.isName("in") {
			break
		}
		next, err := p.targetItem(namespace)
		if err != nil {
			return out, err
		}
		out.parts = append(out.parts, next)
	}
	return out, nil
}

func (p *parser) targetItem(namespace bool) (target, error) {
	if err := p.enter(); err != nil {
		return target{}, err
	}
	defer p.leave()
	if p.skipOp("(") {
		out, err := p.target(false)
		if err != nil {
			return out, err
		}
		if out.parts == nil {
			out = target{name: out.name}
		}
		return out, p.expectOp(")")
	}
	id, err := p.expect(kName, "")
	if err != nil {
		return target{}, err
	}
	switch id.text {
	case "true", "false", "none", "True", "False", "None":
		return target{}, p.fail("can't assign to '%s'", id.text)
	}
	out := target{name: id.text}
	if namespace && p.skipOp(".") {
		attr, err := p.expect(kName, "")
		out.attr = attr.text
		return out, err
	}
	return out, nil
}
