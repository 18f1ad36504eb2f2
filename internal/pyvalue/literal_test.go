package pyvalue

import (
	"math"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

// argumentCases is what Directord stores for the text of an ARG; want is the
// value as Python prints it.
var argumentCases = []struct{ text, want string }{
	{"5", "5"}, {"-5", "-5"}, {"0x10", "16"}, {"1_000", "1000"}, {"1e3", "1000.0"}, {".5", "0.5"}, {"5.", "5.0"},
	{"True", "True"}, {"None", "None"}, {"[1, 'a']", "[1, 'a']"}, {`{"k": 1}`, "{'k': 1}"}, {"{1: 2}", "{'1': 2}"},
	{"5 # note", "5"}, {`"q t"`, "'q t'"}, {"'q t'", "'q t'"}, {"'x' 'y'", "'xy'"},
	{"true", "'true'"}, {"null", "'null'"}, {"nan", "'nan'"}, {"(1)", "1"}, {"1,2", "[1, 2]"}, {"()", "[]"},
	{"010", "'010'"}, {"007", "'007'"}, {"2020-01-01", "'2020-01-01'"}, {"1.2.3", "'1.2.3'"},
	{"[1,2", "'[1,2'"}, {"'open", `"'open"`}, {"1+1", "'1+1'"},
	// What Directord cannot carry stays text.
	{"{1,2}", "'{1,2}'"}, {"b'x'", `"b'x'"`}, {"1+2j", "'1+2j'"}, {"...", "'...'"}, {"{{ 1 }}", "'{{ 1 }}'"},
	{"{{ name }}", "'{{ name }}'"},
	// Python's finer points.
	{"", "''"}, {"  7", "7"}, {"+3", "3"}, {"--3", "'--3'"}, {"-(+3)", "'-(+3)'"}, {"-(3)", "-3"}, {"0o17", "15"}, {"0b101", "5"}, {"00", "0"}, {"0_0", "0"},
	{"1__0", "'1__0'"}, {"_1", "'_1'"}, {"1_", "'1_'"}, {"0x", "'0x'"}, {"1e", "'1e'"}, {"1e5_0", "1e+50"}, {"1.5e-3", "0.0015"},
	{"1,", "[1]"}, {"(1,)", "[1]"}, {"[1,]", "[1]"}, {"[,]", "'[,]'"}, {"{'a':1,}", "{'a': 1}"}, {"{}", "{}"}, {"[]", "[]"},
	{"[[1],\n [2]]", "[[1], [2]]"}, {"1\n", "1"}, {"1\n2", `'1\n2'`}, {"(1 # c\n, 2)", "[1, 2]"},
	{`r'\n'`, `'\\n'`}, {`u'a'`, "'a'"}, {`'''a'b'''`, `"a'b"`}, {`'\x41\u00e9\101\q'`, `'AéA\\q'`}, {`'\N{BULLET}'`, `"'\\N{BULLET}'"`},
	{"{'a': 1, 'a': 2}", "{'a': 2}"}, {"{True: 1, None: 2, 1.5: 3}", "{'true': 1, 'null': 2, '1.5': 3}"}, {"{[1]: 2}", "'{[1]: 2}'"},
	{"99999999999999999999", "99999999999999999999"}, {"-True", "'-True'"}, {"not True", "'not True'"}, {"f'x'", `"f'x'"`}, {"1if", "'1if'"},
	{"a b", "'a b'"}, {"[x]", "'[x]'"}, {"1e999", "inf"}, {"é", "'é'"}, {"- 5", "-5"}, {"5 6", "'5 6'"}, {"# only", "'# only'"},
}

func TestArgumentTyping(t *testing.T) {
	for _, tc := range argumentCases {
		if got := Repr(Argument(tc.text)); got != tc.want {
			t.Errorf("Argument(%q) = %s, want %s", tc.text, got, tc.want)
		}
	}
}

// TestArgumentTypingAgainstPython asks Python itself, where there is one.
func TestArgumentTypingAgainstPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 to compare with")
	}
	const program = `
import ast, json, sys, warnings
warnings.simplefilter("ignore")
for text in json.load(sys.stdin):
    try:
        v = json.loads(json.dumps(ast.literal_eval(text)))
    except Exception:
        v = text
    print(json.dumps(repr(v)))
`
	texts := NewList()
	for _, tc := range argumentCases {
		if !strings.Contains(tc.text, `\N`) { // Python knows the names of characters
			texts.Items = append(texts.Items, Str(tc.text))
		}
	}
	cmd := exec.Command(python, "-c", program)
	cmd.Stdin = strings.NewReader(JSON(texts))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		text := string(texts.Items[i].(Str))
		if got := JSON(Str(Repr(Argument(text)))); got != line {
			t.Errorf("Argument(%q) = %s, Python says %s", text, got, line)
		}
	}
}

func TestDeepLiteralIsRefused(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("[", 100_000), strings.Repeat("(", 100_000) + "1", strings.Repeat("-", 100_000) + "1",
		strings.Repeat("{1:", 100_000)} {
		if _, err := Literal(text); err == nil {
			t.Errorf("a literal of 100000 levels was read: %.20s...", text)
		}
	}
}

func TestFloats(t *testing.T) {
	for f, want := range map[float64]string{
		51.5: "51.5", 1000: "1000.0", 1e16: "1e+16", 1e15: "1000000000000000.0", 1e-5: "1e-05", 0.0001: "0.0001",
		1e22: "1e+22", 1.7976931348623157e308: "1.7976931348623157e+308", 5e-324: "5e-324", 0.1: "0.1",
		math.Inf(1): "inf", math.Inf(-1): "-inf",
	} {
		if got := Repr(Float(f)); got != want {
			t.Errorf("Repr(%g) = %s, want %s", f, got, want)
		}
	}
	if got := Repr(Float(math.Copysign(0, -1))); got != "-0.0" {
		t.Errorf("negative zero prints as %s", got)
	}
}

func TestContainerThatHoldsItself(t *testing.T) {
	l := NewList(Int(1))
	l.Items = append(l.Items, l)
	if got := Repr(l); got != "[1, [...]]" {
		t.Errorf("Repr = %s", got)
	}
	if Equal(l, clone(l, 0)) {
		t.Error("an endless list equals its copy of 200 levels")
	}
	if _, err := Decode(Encode(l)); err != nil {
		t.Errorf("the encoding of an endless list is damaged: %v", err)
	}
}

func FuzzLiteral(f *testing.F) {
	for _, tc := range argumentCases {
		f.Add(tc.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Literal(text)
		if err != nil {
			return
		}
		// What is printed is a literal of the same value, but for inf and nan.
		printed := Repr(v)
		if again, err := Literal(printed); err == nil && utf8.ValidString(text) && Repr(again) != printed {
			t.Errorf("%q prints as %s, which reads as %s", text, printed, Repr(again))
		}
		plain := Plain(v)
		back, err := Decode(Encode(plain))
		if err != nil || Repr(back) != Repr(plain) {
			t.Errorf("%q does not survive its encoding: %v, %v", text, Repr(plain), err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, tc := range argumentCases {
		f.Add(Encode(Argument(tc.text)))
	}
	f.Add([]byte{'l', 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Decode(data)
		if err != nil {
			return
		}
		back, err := Decode(Encode(v))
		if err != nil || Repr(back) != Repr(v) {
			t.Errorf("%x does not survive: %v", data, err)
		}
	})
}
