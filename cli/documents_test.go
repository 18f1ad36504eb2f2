package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	cli "github.com/urfave/cli/v2"
)

// quiet is a program that prints nothing.
func quiet() *program {
	return &program{con: &console{out: &bytes.Buffer{}, err: &bytes.Buffer{}, getenv: func(string) string { return "" }}}
}

// commandPaths are all commands, each as it is typed, beginning with the program itself.
func commandPaths() [][]string {
	var paths [][]string
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		paths = append(paths, path)
		for _, c := range commands {
			walk(append(slices.Clone(path), c.Name), c.Subcommands)
		}
	}
	walk([]string{"quorate"}, quiet().app().Commands)
	return paths
}

// commandsPage is docs/commands.md: what --help says, of all commands.
func commandsPage(t *testing.T) string {
	t.Helper()
	var page strings.Builder
	page.WriteString("# Commands\n\nWhat `--help` says, of every command. `go test ./cli -run Documents -update` writes this page.\n")
	for _, path := range commandPaths() {
		var out bytes.Buffer
		app := quiet().app()
		app.Writer = &helpWriter{out: &out}
		if err := app.Run(append(slices.Clone(path), "--help")); err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		text, _, _ := strings.Cut(out.String(), "\nGlobal flags: --server")
		if len(path) > 1 { // the heading has the name
			_, text, _ = strings.Cut(text, " - ")
		}
		page.WriteString("\n## " + strings.Join(path, " ") + "\n\n```text\n" + strings.TrimSpace(text) + "\n```\n")
	}
	return page.String()
}

// TestDocumentsHaveAllCommands keeps the page of the commands true. With -update it is
// written.
func TestDocumentsHaveAllCommands(t *testing.T) {
	path := filepath.Join("..", "docs", "commands.md")
	want := commandsPage(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/commands.md is stale (%v): run go test ./cli -run Documents -update", err)
	}
}

var (
	// inProse is a command in the middle of a text, onLine one in an example, behind the
	// prompt and what is given to it in its environment.
	inProse = regexp.MustCompile("`(quorate [^`]+)`")
	onLine  = regexp.MustCompile(`(?m)^(?:\w*[$#]|    )\s+(?:sudo )?(?:\w+=(?:\$\([^)]*\)|\S)+ )*(quorate .+)$`)
	// substituted is another command inside of one.
	substituted = regexp.MustCompile(`\$\((quorate [^)]*)\)`)
	// shells is what the shell takes for itself: comments, pipes, redirections.
	shells = regexp.MustCompile(`\s+(#|\||&&|&$|;|\d?>|<).*$|;.*$`)
)

// TestDocumentsCanBeTyped: each command in the documents is one that exists, with flags
// and as many words as it takes.
func TestDocumentsCanBeTyped(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join("..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, path := range append(documents, filepath.Join("..", "README.md"), filepath.Join("..", "testdata", "README.md")) {
		if filepath.Base(path) == "commands.md" {
			continue // its usage lines are forms, and not commands
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "\\\n", " ")
		var lines []string
		for _, m := range slices.Concat(inProse.FindAllStringSubmatch(text, -1), onLine.FindAllStringSubmatch(text, -1), substituted.FindAllStringSubmatch(text, -1)) {
			lines = append(lines, substituted.ReplaceAllString(m[1], "VALUE"))
		}
		for _, line := range lines {
			words := shellWords(shells.ReplaceAllString(strings.ReplaceAll(line, "\n", " "), ""))
			_, err := arrange(quiet().app(), words)
			if err != nil && strings.HasPrefix(words[len(words)-1], "--") { // the text is about the flag
				_, err = arrange(quiet().app(), append(words, "VALUE"))
			}
			if err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(path), line, err)
			}
			checked++
		}
	}
	if checked < 80 {
		t.Errorf("only %d commands were found", checked)
	}
}

// shellWords takes a command line apart at its spaces, but for those in quotes.
func shellWords(line string) (words []string) {
	for _, m := range regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`).FindAllString(line, -1) {
		words = append(words, strings.NewReplacer("'", "", `"`, "").Replace(m))
	}
	return words
}
