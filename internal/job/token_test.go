package job

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSplitPaths(t *testing.T) {
	for text, want := range map[string][]string{
		`a b`:                        {"a", "b"},
		"  a\t b \n":                 {"a", "b"},
		`'a b' "c d"`:                {"a b", "c d"},
		`a\ b 'c'd"e"`:               {"a b", "cde"},
		`"a\"b\\c\d" '\'`:            {`a"b\c\d`, `\`},
		`'' ""`:                      {"", ""},
		`f {{ x | default('a b') }}`: {"f", "{{ x | default('a b') }}"},
		`"{{ x['y'] }}/z" b`:         {"{{ x['y'] }}/z", "b"},
		`a # b`:                      {"a", "#", "b"},
		`{{ a`:                       {"{{", "a"},
	} {
		got, err := SplitPaths(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("SplitPaths(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`'a`, `"a`, `a\`, `"a\`} {
		if got, err := SplitPaths(text); err == nil {
			t.Errorf("SplitPaths(%q) = %q, want an error", text, got)
		}
	}
}

// TestQuotedPathsSurvive quotes paths as a shell does and splits them again.
func TestQuotedPathsSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.StringMatching(`[a-z '"\\$]{0,6}`), 1, 4).Draw(t, "paths")
		quoted := make([]string, len(want))
		for i, p := range want {
			quoted[i] = "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
		}
		got, err := SplitPaths(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%q: %q, %v", quoted, got, err)
		}
	})
}

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"a  b":                 {"a", "b"},
		"/x/{{ n }}/y {% z %}": {"/x/{{ n }}/y", "{% z %}"},
		"a{{ b":                {"a{{", "b"},
		"":                     {},
	} {
		if got := SplitWords(text); !slices.Equal(got, want) {
			t.Errorf("SplitWords(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestSplitKeyValue(t *testing.T) {
	if k, v := SplitKeyValue("a  b  c"); k != "a" || v != "b  c" {
		t.Errorf("%q %q", k, v)
	}
}

func TestFingerprintIsOfPythonsJSON(t *testing.T) {
	// The digest of {"verb": "ECHO", "echo": "h\u00e9 \ud83d\ude00"}, by Python.
	const want = "535b3a2ca8770ab6a7556dae636a0d10680feb2fcac30d1730936ae4"
	got := Fingerprint([]Field{{Key: "verb", Value: `"ECHO"`}, {Key: "echo", Value: "\"h\\u00e9 \\ud83d\\ude00\""}})
	if got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}

func TestHelpNamesEveryOption(t *testing.T) {
	d := Declaration{Verb: "X", Text: "Y", Summary: "Z.", Options: []OptionDecl{{Name: "own", Kind: Int, Default: "3", Help: "h"}}}
	help := Help(&d)
	for _, want := range []string{"X [OPTIONS] Y", "--own N", "(3)", "--skip-cache", "--stdout-arg VALUE"} {
		if !strings.Contains(help, want) {
			t.Errorf("%q is missing in\n%s", want, help)
		}
	}
}

func TestOptionOr(t *testing.T) {
	d := Declaration{Options: []OptionDecl{{Name: "own", Default: "3"}}}
	if got := d.OptionOr(&Job{}, "own"); got != "3" {
		t.Error(got)
	}
	if got := d.OptionOr(&Job{Options: []Option{{Name: "own", Value: "4"}}}, "own"); got != "4" {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"a b", "--n 5 a", "--n=5 -- a", "a --flag 'b c' {{ d e }}", "#!x\n y", "--list a b -c", "--mode 0640"} {
		for kind := range uint8(6) {
			f.Add(kind, text, "n", "7")
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text, name, value string) {
		d := Declaration{
			Verb: "X", Positional: Positional(kind % 6), Verbatim: kind%2 == 0,
			Options: []OptionDecl{{Name: "n", Kind: Int}, {Name: "flag"}, {Name: "list", Kind: List}, {Name: "mode", Kind: Mode}, {Name: "s", Kind: String}, {Name: "p", Kind: Phrase}},
		}
		if kind > 128 {
			d.Late = []string{"flag"}
		}
		p, err := Parse(&d, text, []Var{{Name: name, Value: value}})
		if err != nil {
			e, ok := err.(*ParseError)
			if !ok || e.Offset < -1 || e.Offset > len(text) || e.Message == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if !slices.IsSortedFunc(p.Job.Options, func(a, b Option) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("options %v", p.Job.Options)
		}
		again, err := Parse(&d, text, []Var{{Name: name, Value: value}})
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("parsed twice: %+v and %+v, %v", p, again, err)
		}
	})
}
