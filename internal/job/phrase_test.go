package job

import "testing"

func TestPhrases(t *testing.T) {
	d := Declaration{Verb: "X", Positional: Paths, WordsMin: 1, WordsMax: 2, Text: "PATHS", ShipsFiles: true, FromHost: "here",
		Options: []OptionDecl{{Name: "p", Kind: Phrase}, {Name: "here", Kind: Flag}}}
	for text, want := range map[string][3]string{ // phrase, text, source
		`a --p one`:                   {"one", "a", "a"},
		`--p 'one  two' a`:            {"one  two", "a", "a"},
		"--p 'one\n two' a b":         {"one\n two", "a b", "a"},
		`--p='- x' 'a b'`:             {"- x", "'a b'", "a b"},
		`--p="a\"b\s" a`:              {`a"b\s`, "a", "a"},
		`--p ^\s*x\.$ a`:              {`^\s*x\.$`, "a", "a"},
		`--p= a`:                      {"", "a", "a"},
		`--p '' a`:                    {"", "a", "a"},
		`--here --p x a b`:            {"x", "a b", ""},
		`--p "{{ x | y }}" {{ z }}/a`: {"{{ x | y }}", "{{ z }}/a", "{{ z }}/a"},
	} {
		p, err := Parse(&d, text, nil)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, ok := p.Job.Option("p"); !ok || got != want[0] || p.Job.Text != want[1] || p.Source != want[2] {
			t.Errorf("%q: phrase %q text %q source %q, want %q", text, got, p.Job.Text, p.Source, want)
		}
	}
	for _, text := range []string{`--p 'x a`, `--p 'x'y a`, `--p --here a`, `a --p`, `--p x`, `a b c`, `'a`} {
		if p, err := Parse(&d, text, nil); err == nil {
			t.Errorf("%q: %+v, want an error", text, p.Job)
		}
	}
	if p, err := Parse(&d, "a", []Var{{Name: "p", Value: "'as it is\n"}}); err != nil || p.Job.Options[0].Value != "'as it is\n" {
		t.Errorf("in vars: %+v, %v", p, err)
	}
}
