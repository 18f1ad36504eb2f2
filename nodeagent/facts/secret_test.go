package facts

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "facts.db")
	s := open(t, path)
	set := func(name, text string, extend, secret bool) {
		t.Helper()
		if _, _, err := s.SetArg(name, value(t, text), extend, Origin{Attempt: 1, Secret: secret}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...string) {
		t.Helper()
		got, err := s.Secrets()
		for _, text := range want {
			for _, form := range forms(text) {
				if !slices.Contains(got, form) {
					t.Errorf("%q lacks %q", got, form)
				}
				got = slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s == form })
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("besides other forms are secret %q, %v, want %q", got, err, want)
		}
	}
	expect()
	set("open", "'visible'", false, false)
	expect()
	set("m", "{'a': 'inner'}", false, true)
	set("short", "'abc'", false, true)
	expect("inner")
	set("m", "{'b': 'second'}", true, false)
	expect("second", "inner") // what is merged holds the secret
	if _, _, err := s.SetEnv("E", value(t, "'from env'"), false, Origin{Secret: true}); err != nil {
		t.Fatal(err)
	}
	expect("from env", "second", "inner")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	expect("from env", "second", "inner")
	set("m", "'public'", false, false)
	expect("from env")
	if secret, err := s.IsSecret("short"); err != nil || !secret {
		t.Errorf("short: %t, %v", secret, err)
	}
	if secret, err := s.IsSecret("nowhere"); err != nil || secret {
		t.Errorf("nowhere: %t, %v", secret, err)
	}
	if _, err := s.Evict("all"); err != nil {
		t.Fatal(err)
	}
	expect()
}

// What a secret was copied to is one, too; a short word may be in others by chance.
func TestCopiesOfSecrets(t *testing.T) {
	s := fresh(t)
	for name, text := range map[string]string{"long": "'tide-4711'", "word": "'tide'", "tiny": "'abc'"} {
		if _, _, err := s.SetArg(name, value(t, text), false, Origin{Secret: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		text  string
		hides bool
	}{
		{"'tide-4711'", true}, {"'db://ann:tide-4711@db'", true}, {"{'a': ['x', 'by tide-4711']}", true},
		{"{'tide-4711': 1}", true}, {"'dGlkZS00NzEx'", true}, {"'tide'", true}, {"['tide\\n']", true},
		{"'betide'", false}, {"'abc'", false}, {"'tide-471'", false}, {"4711", false}, {"None", false}, {"{}", false},
	} {
		f := Fact{Name: "copy", Value: value(t, tc.text)}
		if hides, err := s.Hides(f); err != nil || hides != tc.hides {
			t.Errorf("%s: %t, %v", tc.text, hides, err)
		}
		if _, _, err := s.SetArg("copy", f.Value, false, Origin{}); err != nil {
			t.Fatal(err)
		}
		if secret, err := s.IsSecret("copy"); err != nil || secret != tc.hides {
			t.Errorf("an argument %s: %t, %v", tc.text, secret, err)
		}
	}
}
