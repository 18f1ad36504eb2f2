package template

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"quorate/internal/pyvalue"
)

// TestBounds renders templates that would take all memory, time or stack.
func TestBounds(t *testing.T) {
	slow := map[string]bool{"sorting": true, "nested loops": true, "doubling by nesting": true, "nested list in a view": true}
	for name, source := range map[string]string{
		"long loop":              "{% for i in range(10**9) %}x{% endfor %}",
		"nested loops":           "{% for i in range(5000) %}{% for j in range(5000) %}{% endfor %}{% endfor %}",
		"list of a long range":   "{{ range(10**9) | list | length }}",
		"long text":              "{{ 'a' * 10**10 }}",
		"text times text":        "{% set a = 'a' * 10**6 %}{{ a.replace('a', a) }}",
		"long list":              "{{ ([0] * 10**9) | length }}",
		"great number":           "{{ 10**(10**10) }}",
		"great product":          "{% set ns = namespace(n=2**60000) %}{{ (ns.n * ns.n) | string | length }}",
		"doubling text":          "{% set ns = namespace(s='ab') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s | length }}",
		"doubling list":          "{% set l = [0] %}{% for i in range(100) %}{% set _ = l.extend(l) %}{% endfor %}{{ l | length }}",
		"doubling by nesting":    "{% set ns = namespace(s=['ab']) %}{% for i in range(100) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
		"recursion":              "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
		"recursive loop":         "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
		"brackets":               strings.Repeat("{{ (", 1) + strings.Repeat("(", 100_000),
		"open ifs":               strings.Repeat("{% if true %}", 100_000),
		"elifs":                  "{% if false %}" + strings.Repeat("{% elif false %}", 100_000) + "{% endif %}",
		"nots":                   "{{ " + strings.Repeat("not ", 100_000) + "1 }}",
		"minuses":                "{{ " + strings.Repeat("- ", 100_000) + "1 }}",
		"long sum":               "{{ 1" + strings.Repeat(" + 1", 100_000) + " }}",
		"chain of filters":       "{{ 'a'" + strings.Repeat(" | upper", 100_000) + " }}",
		"chain of attributes":    "{{ a" + strings.Repeat(".a", 100_000) + " }}",
		"wide text":              "{{ 'a'.center(10**9) }}",
		"wide format":            "{{ '%1000000000d' % 1 }}",
		"wide format method":     "{{ '{:1000000000}'.format(1) }}",
		"indent":                 "{{ 'a\n' * 1000 | indent(10**9) }}",
		"much output":            "{% set a = 'a' * 10**6 %}{% for i in range(1000) %}{{ a }}{% endfor %}",
		"sorting":                "{% set a = range(10**6) | list %}{% for i in range(10**6) %}{% set _ = a.sort() %}{% endfor %}",
		"JSON of itself":         "{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}",
		"comparing nested lists": "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(100) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}",
		"nested tuple as key":    "{% set n = namespace(a=(1,)) %}{% for i in range(100) %}{% set n.a = (n.a, n.a) %}{% endfor %}{{ {n.a: 1} }}",
		"nested list in a view":  "{% set n = namespace(a=[1]) %}{% for i in range(100) %}{% set n.a = [n.a, n.a] %}{% endfor %}{{ {1: n.a}.items() }}",
		"nested list in message": "{% set n = namespace(a=(1,)) %}{% for i in range(100) %}{% set n.a = (n.a, n.a) %}{% endfor %}{{ [].index(n.a) }}{{ [1][n.a] }}",
		"wide JSON":              "{{ [[1]] | tojson(10**9) }}",
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && slow[name] {
				t.Skip("takes about a second")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			begin := time.Now()
			text, err := Render(ctx, source, nil)
			if err == nil || len(text) > 0 {
				t.Errorf("%d bytes, %v", len(text), err)
			}
			if took := time.Since(begin); took > time.Minute {
				t.Errorf("took %v: %v", took, err)
			}
			if err != nil && strings.Contains(err.Error(), "internal error") {
				t.Error(err)
			}
		})
	}
}

func TestContextEndsARender(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := Render(ctx, "{% for i in range(5000) %}{% for j in range(1000) %}{{ i * j }}{% endfor %}{% endfor %}", nil)
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrLimit) {
		t.Errorf("error %v", err)
	}
}

func TestListThatHoldsItself(t *testing.T) {
	got, err := Render(t.Context(), "{% set l = [1] %}{% set _ = l.append(l) %}{{ l }} {{ l == [1, l] }}", nil)
	if err != nil || !strings.HasPrefix(got, "[1, [...]] ") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for source, line := range map[string]int{
		"a\n\n{{ nope }}": 3, "{% if true %}\n{{ 1 / 0 }}{% endif %}": 2, "\n{{ 1 + }}": 2, "a\n{% foo %}": 2,
		"{#\n\n#}{{ x.y }}": 3, "{% macro m() %}\n{{ nope }}{% endmacro %}\n\n{{ m() }}": 2,
	} {
		_, err := Render(t.Context(), source, nil)
		var e *Error
		if !errors.As(err, &e) || e.Line != line {
			t.Errorf("%q: %v, want line %d", source, err, line)
		}
	}
}

func TestArgumentsHideGlobals(t *testing.T) {
	vars := pyvalue.NewDict()
	vars.SetStr("range", pyvalue.Str("mine"))
	if got, err := Render(t.Context(), "{{ range }}", vars); err != nil || got != "mine" {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzRender(f *testing.F) {
	c := loadCases(f)
	for _, tc := range c.Cases {
		f.Add(tc.Template)
	}
	f.Fuzz(func(t *testing.T, source string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := Render(ctx, source, literal(t, c.Vars))
		if err != nil && strings.Contains(err.Error(), "internal error") {
			t.Error(err)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the bounds let it run for a minute: %v", err)
		}
	})
}
