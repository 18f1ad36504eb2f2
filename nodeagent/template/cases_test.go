package template

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"quorate/internal/pyvalue"
)

// recorded holds templates with what Jinja2's documentation says of them: a text, or an
// error whose message counts only where it is about something undefined.
type recorded struct {
	Vars  string
	Cases []example
	// Differs are those of which we make something else, and why.
	Differs []example
}

type example struct{ Template, Want, Error, Why string }

func loadCases(t testing.TB) recorded {
	t.Helper()
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var c recorded
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func literal(t testing.TB, text string) *pyvalue.Dict {
	t.Helper()
	v, err := pyvalue.Literal(text)
	if err != nil {
		t.Fatalf("literal %s: %v", text, err)
	}
	return v.(*pyvalue.Dict)
}

func TestRendersAsJinja2(t *testing.T) {
	c := loadCases(t)
	if len(c.Cases) < 500 {
		t.Fatalf("%d cases, at least 500 are wanted", len(c.Cases))
	}
	for _, tc := range slices.Concat(c.Cases, c.Differs) {
		got, err := Render(context.Background(), tc.Template, literal(t, c.Vars))
		switch {
		case tc.Error == "" && err != nil:
			t.Errorf("%s\n\terror: %v\n\twant:  %q", tc.Template, err, tc.Want)
		case tc.Error != "" && err == nil:
			t.Errorf("%s\n\tgot:  %q\n\twant the error: %s", tc.Template, got, tc.Error)
		case tc.Error == "" && got != tc.Want:
			t.Errorf("%s\n\tgot:  %q\n\twant: %q", tc.Template, got, tc.Want)
		}
		message, about := strings.CutPrefix(tc.Error, "undefined: ")
		var undefinedError *UndefinedError
		if about && err != nil && (!errors.As(err, &undefinedError) || undefinedError.Message != message) {
			t.Errorf("%s\n\terror: %v\n\twant:  %s", tc.Template, err, message)
		}
	}
}

// TestCasesCoverTheLanguage wants a case for each filter, test, global and statement.
func TestCasesCoverTheLanguage(t *testing.T) {
	var all strings.Builder
	for _, tc := range loadCases(t).Cases {
		all.WriteString(tc.Template + "\n")
	}
	text := all.String()
	covered := func(what, pattern string) {
		t.Helper()
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("no case has the %s", what)
		}
	}
	for name := range filterTable() {
		covered("filter "+name, `(\|\s*|filter |map\(')`+name+`\b`)
	}
	for name := range testTable() {
		covered("test "+name, `\b(is|is not|select\('|reject\('|'|")\s*`+regexp.QuoteMeta(name))
	}
	for name := range globals() {
		covered("global "+name, `\b`+name+`\(`)
	}
	for _, tag := range strings.Fields("for elif else endfor if endif set endset macro endmacro call endcall filter endfilter with endwith raw endraw block endblock autoescape recursive") {
		covered("statement "+tag, `\{%[-+]?.*\b`+tag+`\b`)
	}
	for _, attribute := range strings.Fields("index index0 revindex revindex0 first last length depth depth0 cycle changed previtem nextitem") {
		covered("attribute loop."+attribute, `\bloop\.`+attribute+`\b`)
	}
}
