package template

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// A grammar makes templates by chance, of what files use.
type grammar struct{ *rand.Rand }

func (g grammar) pick(of ...string) string { return of[g.IntN(len(of))] }

// expr makes an expression up to a depth.
func (g grammar) expr(depth int) string {
	if depth == 0 {
		return g.pick("1", "0", "-3", "2.5", "'a b'", "''", "'Xy'", "none", "true", "false", "n", "f", "s", "l", "nums", "d", "m",
			"users", "z", "t", "nope", "d.nope", "m.mid", "users[0].name", "l[1]", "l[5]", "empty", "big", "nested", "multi", "[]", "{}", "'7'")
	}
	x, y := g.expr(depth-1), g.expr(g.IntN(depth))
	switch g.IntN(9) {
	case 0:
		return fmt.Sprintf("(%s %s %s)", x, g.pick("+", "-", "*", "/", "//", "%", "~", "~"), y)
	case 1:
		return fmt.Sprintf("(%s %s %s)", x, g.pick("==", "!=", "<", ">", "<=", "in", "not in", "and", "or"), y)
	case 2:
		return fmt.Sprintf("(%s | %s)", x, g.filter(y))
	case 3:
		return fmt.Sprintf("(%s | %s)", x, g.filter(y))
	case 4:
		return fmt.Sprintf("(%s is %s%s)", x, g.pick("", "not "), g.pick("defined", "undefined", "none", "string", "number",
			"mapping", "sequence", "iterable", "odd", "even", "divisibleby 2", "in [1, 'a b']", "eq 1", "true", "integer", "float", "boolean", "lower", "sameas none"))
	case 5:
		return fmt.Sprintf("(%s if %s else %s)", x, y, g.expr(depth-1))
	case 6:
		// Jinja2 folds constants by other rules, so that what is cut has a name.
		return fmt.Sprintf("%s[%s]", g.pick("s", "l", "d", "m", "z", "nope", "users", "nested", "("+x+" | list)"), g.pick("0", "-1", "'k'", "1:", ":2", "::-1", "::2", "'name'", "5", "-9", "1:-1"))
	case 7:
		return g.pick("["+x+", "+y+"]", "("+x+", "+y+")", "{'k': "+x+", 1: "+y+"}", "not "+x, "-"+x)
	}
	if g.IntN(12) == 0 {
		// Jinja2 looks at attributes of constants before it knows whether they count, and
		// prints a method that is not called with its address in memory.
		return g.pick("s", "l", "d", "m", "z", "nope", "users", "nested", "("+x+" | list)") + "." + g.pick("k", "name", "mid")
	}
	return x + "." + g.pick("upper()", "split()", "split(',')", "replace('a', 'b')", "keys() | list", "values() | list", "items() | list",
		"get('k')", "get('q', 1)", "strip()", "startswith('a')", "title()", "join(['x', 'y'])", "index(1)", "count('a')", "format(1)", "find(' ')", "isdigit()", "zfill(4)")
}

func (g grammar) filter(arg string) string {
	return g.pick("abs", "capitalize", "default("+arg+")", "default("+arg+", true)", "first", "float", "int", "int(7)", "join", "join(', ')",
		"last", "length", "list", "lower", "upper", "title", "trim", "replace('a', 'zz')", "reverse | list", "round", "round(1)", "sort", "sort(reverse=true)",
		"string", "sum", "min", "max", "unique | list", "tojson", "urlencode", "wordcount", "map('string') | list", "map('upper') | join('-')",
		"select | list", "reject('none') | list", "map(attribute='name') | list", "selectattr('age', 'gt', 26) | list", "dictsort", "batch(2) | list",
		"center(9)", "truncate(5)", "indent(2)", "groupby('age') | list", "e", "striptags", "items | list", "format("+arg+")", "count", "slice(2) | list",
		"map('default', 'x') | list", "filesizeformat")
}

// template makes a template of a few statements.
func (g grammar) template(depth int) string {
	x := g.expr(g.IntN(4))
	if depth == 0 {
		return "{{ " + x + " }}"
	}
	body := g.template(depth - 1)
	switch g.IntN(8) {
	case 0:
		return "{% if " + x + " %}" + body + "{% else %}" + g.template(0) + "{% endif %}"
	case 1:
		return "{% for i in " + x + " %}{{ loop.index }}:{{ i }}" + g.pick("", body) + "{% else %}-{% endfor %}"
	case 2:
		return "{% set v = " + x + " %}{{ v }}" + body
	case 3:
		return " {%- for k, v in m.items() if v > 1 -%} {{ k }}" + body + " {%- endfor %}"
	case 4:
		return "{% macro f(a, b=" + x + ") %}{{ a }}{{ b }}{% endmacro %}{{ f(" + g.expr(1) + ") }}" + body
	case 5:
		return "{% set v %}" + body + "{% endset %}{{ v | length }}{{ v }}"
	case 6:
		return "{% filter upper %}" + body + "{% endfilter %}"
	}
	return g.template(0) + " " + body
}

// TestRandomTemplatesAsJinja2 compares templates made by chance: both render to
// the same text, or both fail.
func TestRandomTemplatesAsJinja2(t *testing.T) {
	seed, count := uint64(11), 600
	if testing.Short() {
		count = 200
	}
	if text := os.Getenv("QUORATE_TEMPLATES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("QUORATE_TEMPLATES=%s is no number of templates", text)
		}
		seed, count = rand.Uint64(), n
	}
	if text := os.Getenv("QUORATE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("QUORATE_SEED=%s is no seed", text)
		}
		seed = n
	}
	c := loadCases(t)
	g := grammar{rand.New(rand.NewPCG(seed, seed))}
	sources := make([]string, count)
	for i := range sources {
		sources[i] = g.template(g.IntN(3))
	}
	good := 0
	for i, want := range jinja2(t, c.Vars, sources) {
		got, err := Render(context.Background(), sources[i], literal(t, c.Vars))
		if want.Own != "" {
			continue
		}
		if want.Error == "" {
			good++
		}
		if (err != nil) != (want.Error != "") || got != want.Want {
			t.Errorf("seed %d, template %d: %s\n\tgot:  %q %v\n\twant: %q %s", seed, i, sources[i], got, err, want.Want, want.Error)
		}
	}
	if good < count/10 {
		t.Errorf("only %d of %d templates render at all: the comparison is empty", good, count)
	}
}
