package runner

import (
	"os/exec"
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	same := []string{
		"true", "echo hello world", "echo  two   blanks", "echo", "/usr/bin/env A=b", "systemctl restart nginx.service",
		"uname -r", "mkdir -p /tmp/a/b,c", "user@host:x", "date +%s",
	}
	for _, script := range same {
		if !plain(script) {
			t.Errorf("plain(%q) = false, want true", script)
		}
	}
	differ := []string{
		"", " echo a", "echo -n a", "echo -e a", "echo a\\tb", "echo $HOME", "echo 'a'", "echo a; echo b", "echo a\necho b", "echo {1..3}",
		"echo ~", "echo *", "A=b env", "source x", "[[ a == a ]]", "time sleep 1", "printf %s a", "exit 3", "exec true", "cd /", "test -e /",
		"read x", "kill -l", "! true", "echo a &", "a|b", "a>b", "a<b", "echo #", "let x=1", "declare x", "type ls", "ulimit -n", "trap",
	}
	for _, script := range differ {
		if plain(script) {
			t.Errorf("plain(%q) = true, want false", script)
		}
	}
}

// TestPlainWordsAreBuiltins holds the table of builtins against the bash that is here.
func TestPlainWordsAreBuiltins(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash on this machine")
	}
	out, err := exec.Command(bash, "-c", "compgen -b; compgen -k").Output()
	if err != nil {
		t.Fatal(err)
	}
	same := map[string]bool{"echo": true, "true": true, "false": true}
	for word := range strings.Lines(string(out)) {
		word = strings.TrimSpace(word)
		if plain(word) && !same[word] {
			t.Errorf("%q has a meaning to bash and is taken for a plain command", word)
		}
	}
}

func TestBashOnlyEnvironment(t *testing.T) {
	s := shells{full: "bash", fast: "sh"}
	for _, tt := range []struct {
		script string
		env    []string
		want   string
	}{
		{"echo a", nil, "sh"},
		{"echo $a", nil, "bash"},
		{"echo a", []string{"BASH_ENV=/x"}, "bash"},
		{"echo a", []string{"A=b", "BASH_FUNC_echo%%=() { :; }"}, "bash"},
	} {
		if got, fast := s.pick(tt.script, tt.env); got != tt.want || fast != (tt.want == "sh") {
			t.Errorf("pick(%q, %q) = %s, %v, want %s", tt.script, tt.env, got, fast, tt.want)
		}
	}
}
