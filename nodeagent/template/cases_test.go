package template

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"quorate/internal/pyvalue"
)

// cases holds templates with what Jinja2 3.1 makes of them: a text, or an error
// whose message counts only where it is about something undefined.
type cases struct {
	Vars  string
	Cases []struct{ Template, Want, Error string }
}

func loadCases(t testing.TB) cases {
	t.Helper()
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var c cases
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
	if len(c.Cases) < 100 {
		t.Fatalf("%d cases, at least 100 are wanted", len(c.Cases))
	}
	for _, tc := range c.Cases {
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
