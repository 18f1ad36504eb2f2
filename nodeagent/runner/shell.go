package runner

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// shells are the shells of this machine. Existing files use bash's language
// where sh happens to be bash, so that scripts get bash where there is one. dash
// starts in two thirds of the time, and gets the scripts that mean the same to both.
type shells struct {
	full string
	fast string // dash, or ""
}

func findShells(env []string) (shells, error) {
	sh, err := exec.LookPath("sh")
	bash, errBash := exec.LookPath("bash")
	switch {
	case errBash != nil:
		return shells{full: sh}, err
	case err != nil || slices.ContainsFunc(env, changesBash):
		return shells{full: bash}, nil
	}
	if real, err := filepath.EvalSymlinks(sh); err == nil && filepath.Base(real) == "dash" {
		return shells{full: bash, fast: sh}, nil
	}
	return shells{full: bash}, nil
}

// pick returns the shell for a script and whether it is the fast one.
func (s shells) pick(script string, env []string) (path string, fast bool) {
	if s.fast != "" && plain(script) && !slices.ContainsFunc(env, changesBash) {
		return s.fast, true
	}
	return s.full, false
}

// changesBash reports whether an entry of the environment gives commands another
// meaning under bash alone.
func changesBash(entry string) bool {
	return strings.HasPrefix(entry, "BASH_") || strings.HasPrefix(entry, "POSIXLY_CORRECT=") || strings.HasPrefix(entry, "SHELLOPTS=")
}

// plainWords is one simple command of words that no shell expands or gives a meaning to.
var plainWords = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,-]+( +[A-Za-z0-9_./:@%+,=-]+)*$`)

// ownWords are the builtins and keywords of bash (5.2) that dash lacks or does
// otherwise, and those that end or replace the shell.
var ownWords = func() map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.Fields(`. : alias bg bind break builtin caller case cd command compgen complete compopt
		continue coproc declare dirs disown do done elif else enable esac eval exec exit export fc fg fi for function
		getopts hash help history if in jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly
		return select set shift shopt source suspend test then time times trap type typeset ulimit umask unalias unset
		until wait while`) {
		words[w] = true
	}
	return words
}()

// plain reports whether a script means the same to every shell: one command, of
// plain words, that is not a builtin over which they differ. It may say no too often.
func plain(script string) bool {
	if !plainWords.MatchString(script) {
		return false
	}
	name, rest, _ := strings.Cut(script, " ")
	if name == "echo" {
		return !strings.HasPrefix(strings.TrimLeft(rest, " "), "-")
	}
	return !ownWords[name]
}
