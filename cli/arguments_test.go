package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestArrange(t *testing.T) {
	tests := []struct {
		name, line, want string
	}{
		{"flags behind arguments", "run resolve 3 web@h1 --as retry --reason why", "run resolve --as=retry --reason=why -- 3 web@h1"},
		{"global flag at the end", "run ls -o json", "--o=json run ls"},
		{"global flag at the start", "--server unix:///s run ls", "--server=unix:///s run ls"},
		{"inline value", "run show --output=json 1", "--output=json run show -- 1"},
		{"the agent's own server flag", "agent --server h:1 --name n", "agent --server=h:1 --name=n"},
		{"the client's server flag below agent", "agent ls --server unix:///s", "--server=unix:///s agent ls"},
		{"boolean takes no value", "exec RUN true --embedded --yes", "exec --embedded --yes -- RUN true"},
		{"a job's options are one word", "exec RUN|--stdout-arg x echo hi", "exec -- RUN|--stdout-arg x echo hi"},
		{"negative number is no flag", "exec ECHO -1", "exec -- ECHO -1"},
		{"nothing is a flag behind two dashes", "exec -- RUN --help", "exec -- RUN --help"},
		{"help as a command", "help run show", "run show --help"},
		{"version as a flag", "--version -o json", "--o=json version"},
		{"help with words that the command does not take", "run ls all --help", "run ls --help"},
		{"value with a dash", "run cancel 1 --reason -x", "run cancel --reason=-x -- 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := arrange((&program{con: &console{}}).app(), append([]string{"quorate"}, words(tt.line)...))
			if err != nil {
				t.Fatal(err)
			}
			if want := append([]string{"quorate"}, words(tt.want)...); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// words splits at bars where there is one for the last word, else at blanks.
func words(line string) []string {
	head, last, barred := strings.Cut(line, "|")
	out := strings.Fields(head)
	if barred {
		out = append(out, last)
	}
	return out
}

func TestArrangeRefuses(t *testing.T) {
	tests := []struct {
		line, message, hint string
	}{
		{"aply", `quorate: unknown command "aply"`, `did you mean "apply"?`},
		{"run lst", `quorate run: unknown command "lst"`, `did you mean "ls"?`},
		{"plan --inventry x", `quorate plan: unknown flag "--inventry"`, `did you mean "--inventory"?`},
		{"run ls --limit", `the value of --limit is missing`, `see "quorate run ls --help"`},
		{"run ls all", `quorate run ls: unexpected argument "all"`, `see "quorate run ls --help"`},
		{"agent --server h:1 -- ls", `quorate agent: unexpected argument "ls"`, `see "quorate agent --help"`},
		{"apply -s a.yaml b.yaml -i i -r r", `quorate apply: unexpected argument "b.yaml"`, `name the directory`},
		{"zzzzzzzz", `unknown command "zzzzzzzz"`, `see "quorate --help"`},
	}
	for _, tt := range tests {
		_, err := arrange((&program{con: &console{}}).app(), append([]string{"quorate"}, strings.Fields(tt.line)...))
		if err == nil {
			t.Errorf("%s: accepted", tt.line)
			continue
		}
		f := classify(err)
		if f.code != exitUsage || !strings.Contains(f.Error(), tt.message) || !strings.Contains(strings.Join(f.hints, " "), tt.hint) {
			t.Errorf("%s: code %d, %q, hints %q", tt.line, f.code, f, f.hints)
		}
	}
}

func TestEdits(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"plan", "plna", 2}, {"apply", "aply", 1}, {"same", "same", 0}} {
		if got := edits(tt.a, tt.b); got != tt.want {
			t.Errorf("edits(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
