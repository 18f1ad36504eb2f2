package yaml11

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// show writes a node so that its type can be told from its text.
func show(n *Node) string {
	switch n.Kind {
	case Mapping:
		var parts []string
		for _, p := range n.Pairs {
			parts = append(parts, show(p.Key)+": "+show(p.Value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case Sequence:
		var parts []string
		for _, item := range n.Items {
			parts = append(parts, show(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	switch n.Tag {
	case Null:
		return "null"
	case Bool:
		v, _ := n.Bool()
		return fmt.Sprint(v)
	case Int:
		v, ok := n.BigInt()
		if !ok {
			return "!int"
		}
		return "int " + v.String()
	case Float:
		v, _ := n.Float()
		return fmt.Sprintf("float %.12g", v)
	case Timestamp:
		m, ok := n.Moment()
		switch {
		case !ok:
			return "!time"
		case m.DateOnly:
			return "date " + m.Format("2006-01-02")
		case m.Zoned:
			return "time " + m.UTC().Format("2006-01-02T15:04:05.999999Z")
		}
		return "time " + m.Format("2006-01-02T15:04:05.999999")
	}
	return fmt.Sprintf("%q", n.Text)
}

func parseOne(t *testing.T, text string) *Node {
	t.Helper()
	docs, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	if len(docs) != 1 {
		t.Fatalf("Parse(%q) has %d documents, want 1", text, len(docs))
	}
	return docs[0]
}

// TestScalars holds what PyYAML 6.0 answers for plain scalars.
func TestScalars(t *testing.T) {
	str := func(s string) string { return fmt.Sprintf("%q", s) }
	cases := map[string]string{
		"1": "int 1", "0": "int 0", "-0": "int 0", "+5": "int 5", "012": "int 10", "-012": "int -10", "0o14": str("0o14"),
		"0o755": str("0o755"), "0x1F": "int 31", "-0x1f": "int -31", "0b101": "int 5", "0xZ": str("0xZ"), "0x": str("0x"),
		"0b2": str("0b2"), "08": str("08"), "09": str("09"), "007": "int 7", "0_7": "int 7", "1_000": "int 1000", "1_": "int 1",
		"_1": str("_1"), "12:30:45": "int 45045", "1:5": "int 65", "0:30": str("0:30"), "1:60": str("1:60"),
		"190:20:30": "int 685230", "-1:30": "int -90", "190:20:30.15": "float 685230.15", "0:0.0": "float 0",
		"1e3": str("1e3"), "1e+3": str("1e+3"), "1.5e3": str("1.5e3"), "1.5e+3": "float 1500", "1.5E-3": "float 0.0015",
		"1.e+3": "float 1000", "1.": "float 1", ".5": "float 0.5", "-.5": str("-.5"), "+.5": str("+.5"), ".": str("."),
		".inf": "float +Inf", "-.inf": "float -Inf", ".Nan": str(".Nan"), ".nan": "float NaN", "-.nan": str("-.nan"),
		"._1": str("._1"), ".1_": "float 0.1", "685_230.15": "float 685230.15", "1.0.0": str("1.0.0"), "1.0": "float 1",
		"yes": "true", "Yes": "true", "yEs": str("yEs"), "y": str("y"), "n": str("n"), "no": "false", "off": "false", "On": "true",
		"TRUE": "true", "tRue": str("tRue"), "~": "null", "null": "null", "Null": "null", "nULL": str("nULL"), "~x": str("~x"),
		"2020-01-01": "date 2020-01-01", "2020-1-1": str("2020-1-1"), "2020-13-01": "!time",
		"2020-01-01T10:20:30Z": "time 2020-01-01T10:20:30Z", "2001-12-14t21:59:43.10-05:00": "time 2001-12-15T02:59:43.1Z",
		"2001-12-14 21:59:43.10 -5": "time 2001-12-15T02:59:43.1Z", "2001-12-15 2:59:43.10": "time 2001-12-15T02:59:43.1",
		"2001-12-14 21:59": str("2001-12-14 21:59"), "2001-12-14 25:00:00": "!time", "1-2": str("1-2"), "10/2": str("10/2"),
		"99999999999999999999": "int 99999999999999999999", "=": str("="), "a:b": str("a:b"),
	}
	for text, want := range cases {
		doc := parseOne(t, "- "+text+"\n- \""+text+"\"\n")
		if got := show(doc.Items[0]); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
		if got := show(doc.Items[1]); got != str(text) {
			t.Errorf("quoted %s is %s", text, got)
		}
	}
}

// TestDocuments holds what PyYAML 6.0 answers for whole files.
func TestDocuments(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"empty", "", ""},
		{"comment only", "# x\n", ""},
		{"one null", "---\n", "null"},
		{"two", "a: 1\n---\nb: 2\n", `{"a": int 1} {"b": int 2}`},
		{"version 1.2", "%YAML 1.2\n---\na: on\n", `{"a": true}`},
		{"byte order mark", "\ufeffa: 1\n", `{"a": int 1}`},
		{"left out and empty", "a:\nb: ''\n", `{"a": null, "b": ""}`},
		{"folded keeps deeper lines", "a: >\n  x\n   y\n  z\n", `{"a": "x\n y\nz\n"}`},
		{"merge, own wins in place", "base: &b {x: 1, y: 2}\nd:\n  z: 0\n  <<: *b\n  y: 9\n",
			`{"base": {"x": int 1, "y": int 2}, "d": {"x": int 1, "y": int 9, "z": int 0}}`},
		{"merge list, earlier wins", "l: [&a {p: 1, q: 2}, &c {q: 3, r: 4}]\nm: {<<: [*a , *c ], z: 1}\n",
			`{"l": [{"p": int 1, "q": int 2}, {"q": int 3, "r": int 4}], "m": {"q": int 2, "r": int 4, "p": int 1, "z": int 1}}`},
		{"quoted << is a key", "a: {'<<': 5}\n", `{"a": {"<<": int 5}}`},
		{"aliases", "a: &x [1]\nb: *x\n", `{"a": [int 1], "b": [int 1]}`},
		{"explicit tags", "a: !!str 5\nb: !!int '5'\nc: !!float 5\nd: !!binary aGk=\ne: !!null x\n",
			`{"a": "5", "b": int 5, "c": float 5, "d": "hi", "e": null}`},
		{"keys that only look alike", "1: a\n'1': b\n", `{int 1: "a", "1": "b"}`},
	}
	for _, c := range cases {
		docs, err := Parse("f.yaml", []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, d := range docs {
			got = append(got, show(d))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, s, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'h'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c , ", c-1), 10), ", "))
	}
	merges := "a: &a {x: [" + strings.Repeat("1,", 1000) + "]}\n"
	for i := range 400 {
		merges += fmt.Sprintf("m%d: {<<: *a }\n", i)
	}
	deepAlias := "a: &a " + strings.Repeat("[", 150) + strings.Repeat("]", 150) + "\nb: " + strings.Repeat("[", 100) + "*a " + strings.Repeat("]", 100) + "\n"
	cases := []struct {
		name, text, message string
		line, column        int
	}{
		{"duplicate key", "a: 1\nb:\n  c: 1\n  c: 2\n", "first in line 3", 4, 3},
		{"duplicate key by value", "yes: 1\non: 2\n", "a second time", 2, 1},
		{"duplicate key by number", "8: 1\n010: 2\n", "a second time", 2, 1},
		{"unclosed", "a: [1, 2\n", "did not find", 2, 1},
		{"second colon", "a: b: c\n", "not allowed", 1, 5},
		{"tab", "a:\n\t- b\n", "cannot start any token", 2, 1},
		{"unknown alias", "a: *nope\n", "nope", 1, 4},
		{"alias in itself", "a: &x [*x ]\n", "inside", 1, 8},
		{"unknown tag", "a: !foo 5\n", "!foo", 1, 4},
		{"python tag", "a: !!python/name:os.system 5\n", "python", 1, 4},
		{"tag that lies", "a: !!int x\n", "no int", 1, 4},
		{"merge of a scalar", "a: {<<: 5}\n", "merge", 1, 9},
		{"collection as key", "? [1]\n: 2\n", "key", 1, 3},
		{"alias bomb", bomb, "adds more than", 6, 0},
		{"merge bomb", merges, "adds more than", 0, 0},
		{"nested too deep", strings.Repeat("[", 300) + strings.Repeat("]", 300), "nested deeper", 1, 202},
		{"nested too deep by alias", deepAlias, "nested deeper", 2, 104},
		{"too large", strings.Repeat("#", BytesMax+1), "more than", 0, 0},
	}
	for _, c := range cases {
		_, err := Parse("f.yaml", []byte(c.text))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%s: error is %v, want a SyntaxError", c.name, err)
			continue
		}
		if !strings.Contains(syntax.Message, c.message) || syntax.Name != "f.yaml" ||
			c.line != 0 && syntax.Line != c.line || c.column != 0 && syntax.Column != c.column {
			t.Errorf("%s: %v, want %d:%d with %q", c.name, err, c.line, c.column, c.message)
		}
	}
}

func TestPositions(t *testing.T) {
	doc := parseOne(t, "id: x\ntasks:\n  - id: y\n    jobs:\n      - RUN: >-\n          echo\n        name: z\n")
	job := doc.Get("tasks").Items[0].Get("jobs").Items[0]
	for _, c := range []struct {
		what         string
		n            *Node
		line, column int
	}{
		{"root", doc, 1, 1}, {"tasks", doc.Get("tasks"), 3, 3}, {"job", job, 5, 9},
		{"verb", job.Pairs[0].Key, 5, 9}, {"text", job.Pairs[0].Value, 5, 14}, {"name", job.Get("name"), 7, 15},
	} {
		if c.n.Line != c.line || c.n.Column != c.column {
			t.Errorf("%s is at %d:%d, want %d:%d", c.what, c.n.Line, c.n.Column, c.line, c.column)
		}
	}
}

func TestAccessorsRefuseOthers(t *testing.T) {
	doc := parseOne(t, "[text, 1, 1.5, yes, 2020-01-01, ~, {}, "+strings.Repeat("9", IntDigitsMax+1)+", 9223372036854775808]")
	for i, n := range doc.Items {
		_, b := n.Bool()
		_, in := n.Int()
		_, f := n.Float()
		_, m := n.Moment()
		want := [4]bool{i == 3, i == 1, i == 2, i == 4}
		if got := [4]bool{b, in, f, m}; got != want {
			t.Errorf("item %d answers as bool, int, float, moment: %v, want %v", i, got, want)
		}
		if n.IsNull() != (i == 5) {
			t.Errorf("item %d: IsNull is %v", i, n.IsNull())
		}
	}
	if v, ok := doc.Items[8].BigInt(); !ok || v.String() != "9223372036854775808" {
		t.Errorf("big integer is %v, %v", v, ok)
	}
	if doc.Get("x") != nil {
		t.Error("a sequence has no keys")
	}
}

func TestManyKeys(t *testing.T) {
	var b strings.Builder
	for i := range 50 {
		fmt.Fprintf(&b, "k%d: %d\n", i, i)
	}
	if n := parseOne(t, b.String()); len(n.Pairs) != 50 {
		t.Fatalf("%d pairs, want 50", len(n.Pairs))
	}
	_, err := Parse("f", []byte(b.String()+"k3: x\n"))
	if err == nil || !strings.Contains(err.Error(), "first in line 4") {
		t.Errorf("duplicate among many: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a: 1\n", "- &a [*a]\n", "<<: {a: b}\n", "a: !!int 0x_\n", "? |\n x\n: >-\n y\n", "%YAML 1.2\n---\n{a: [b, 'c', \"d\"]}\n---\n",
		"a: &x {b: 1}\nc: {<<: [*x , *x ]}\n", "2001-12-14 21:59:43.10 -5: .nan\n", "a: !!binary ===\n", "a: \xff\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Parse("f", data)
		var syntax *SyntaxError
		if err != nil && (!errors.As(err, &syntax) || docs != nil) {
			t.Fatalf("error %v with %d documents", err, len(docs))
		}
		for _, d := range docs {
			check(t, d, 0)
		}
	})
}

// check walks a tree and holds what Parse promises of every node.
func check(t *testing.T, n *Node, depth int) {
	if depth > DepthMax+1 {
		t.Fatal("deeper than DepthMax")
	}
	if n.Line < 1 || n.Column < 1 {
		t.Fatalf("node at %d:%d", n.Line, n.Column)
	}
	seen := map[keyID]bool{}
	for _, p := range n.Pairs {
		if p.Key.Kind != Scalar || seen[identity(p.Key)] {
			t.Fatalf("key %q is no scalar or repeated", p.Key.Text)
		}
		seen[identity(p.Key)] = true
		check(t, p.Value, depth+1)
	}
	for _, item := range n.Items {
		check(t, item, depth+1)
	}
	if v, ok := n.Float(); ok && math.IsNaN(v) && !strings.Contains(strings.ToLower(n.Text), "nan") {
		t.Fatalf("%q is not a number", n.Text)
	}
	n.BigInt()
	n.Moment()
}
