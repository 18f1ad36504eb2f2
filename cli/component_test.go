package cli

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/internal/job"
	"quorate/internal/yaml11"
)

var update = flag.Bool("update", false, "write the files that are made of the code")

// TestVerbsHaveHelp: all that the help of a verb shows is declared, in its form, and
// its example is a job of that verb.
func TestVerbsHaveHelp(t *testing.T) {
	for _, d := range components() {
		sentence := func(what, text string) {
			if text == "" || !strings.HasSuffix(text, ".") || strings.ToUpper(text[:1]) != text[:1] && what == "summary" {
				t.Errorf("%s: the %s %q is no sentence", d.Verb, what, text)
			}
		}
		sentence("summary", d.Summary)
		if d.Details != "" {
			sentence("details", d.Details)
		}
		if (d.Text == "") != (d.Positional == job.NoWords) {
			t.Errorf("%s: the text is called %q", d.Verb, d.Text)
		}
		names := map[string]bool{}
		for _, o := range append(append([]job.OptionDecl{}, d.Options...), job.Common()...) {
			if o.Name == "" || o.Help == "" || names[o.Name] || strings.HasSuffix(o.Help, ".") || o.Name != strings.ToLower(o.Name) {
				t.Errorf("%s: the option %+v", d.Verb, o)
			}
			names[o.Name] = true
		}
		for _, group := range append(append([][]string{}, d.Exclusive...), d.OneOf...) {
			for _, name := range group {
				if !names[name] {
					t.Errorf("%s: a group names --%s, which is no option", d.Verb, name)
				}
			}
		}
		if d.FromHost != "" && !names[d.FromHost] {
			t.Errorf("%s: --%s is no option", d.Verb, d.FromHost)
		}
		exampleParses(t, d)
		if help := job.Help(d); !strings.Contains(help, d.Example) || !strings.Contains(help, "--timeout N") {
			t.Errorf("%s: the help lacks something:\n%s", d.Verb, help)
		}
	}
}

// exampleParses reads the example as the planner reads a job.
func exampleParses(t *testing.T, d *job.Declaration) {
	t.Helper()
	docs, err := yaml11.Parse("example", []byte("- "+d.Example))
	if err != nil || len(docs) != 1 || len(docs[0].Items) != 1 || len(docs[0].Items[0].Pairs) != 1 {
		t.Errorf("%s: the example %q is no job: %v", d.Verb, d.Example, err)
		return
	}
	pair := docs[0].Items[0].Pairs[0]
	parsed, err := job.Parse(d, pair.Value.Text, nil)
	if pair.Key.Text != d.Verb || err != nil {
		t.Errorf("%s: the example %q: %v", d.Verb, d.Example, err)
		return
	}
	if len(parsed.Warnings) > 0 {
		t.Errorf("%s: the example warns: %q", d.Verb, parsed.Warnings)
	}
}

// TestVerbsPage keeps the reference page true. With -update it is written.
func TestVerbsPage(t *testing.T) {
	path := filepath.Join("..", "docs", "verbs.md")
	want := job.Markdown(components())
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/verbs.md is stale (%v): run go test ./cli -run Verbs -update", err)
	}
}
