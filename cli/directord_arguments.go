package cli

import (
	"fmt"
	"slices"
	"strings"
)

// arity says how many words an option of Directord takes.
type arity uint8

const (
	none arity = iota
	one
	several // all words up to the next option
)

// An oldCommand is one of Directord's commands: its options, and those of which at
// most one may be given.
type oldCommand struct {
	options   map[string]arity
	exclusive []string
	// words names what is neither an option nor its value, or is empty.
	words string
}

// oldCommands are those of Directord that are answered here.
func oldCommands() map[string]oldCommand {
	manage := oldCommand{options: map[string]arity{"filter": one}}
	for name, n := range map[string]arity{
		"list-jobs": none, "list-nodes": none, "purge-jobs": none, "purge-nodes": none, "dump-cache": none, "analyze-all": none,
		"job-info": one, "export-jobs": one, "export-nodes": one, "analyze-parent": one, "analyze-job": one,
	} {
		manage.options[name] = n
		manage.exclusive = append(manage.exclusive, name)
	}
	slices.Sort(manage.exclusive)
	return map[string]oldCommand{
		"orchestrate": {
			options: map[string]arity{"restrict": several, "target": several, "ignore-cache": none, "force-async": none,
				"poll": none, "wait": none, "stream": none, "finger-print": none, "check": none},
			exclusive: []string{"poll", "wait", "stream", "finger-print"}, words: "FILE...",
		},
		"exec": {
			options: map[string]arity{"verb": one, "target": several, "force-async": none, "exec-help": none,
				"poll": none, "wait": none, "stream": none, "check": none},
			exclusive: []string{"poll", "wait", "stream"}, words: "TEXT...",
		},
		"manage": manage,
	}
}

// oldGlobals are Directord's options in front of the command. What they set has no
// meaning here but for the socket.
func oldGlobals() map[string]arity {
	return map[string]arity{
		"version": none, "debug": none, "config-file": one, "driver": one, "identity": one, "job-port": one, "backend-port": one,
		"datastore": one, "heartbeat-interval": one, "socket-path": one, "socket-group": one, "cache-path": one,
	}
}

// An oldLine is a command line of Directord, taken apart.
type oldLine struct {
	globals map[string]string
	command string
	options map[string][]string
	words   []string
}

func (l *oldLine) has(name string) bool { return l.options[name] != nil }

// first is the value of an option that takes one.
func (l *oldLine) first(name string) string {
	if values := l.options[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// readOldLine takes a command line apart by the rules of Directord: long options,
// which may be shortened as long as they are unique, and lists of words up to the
// next option.
func readOldLine(args []string) (*oldLine, error) {
	l := &oldLine{globals: map[string]string{}, options: map[string][]string{}}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		if name := strings.TrimPrefix(args[0], "--"); name == "help" || args[0] == "-h" {
			l.globals["help"] = ""
			return l, nil
		}
		name, values, rest, err := readOldOption(args, oldGlobals())
		if err != nil {
			return nil, err
		}
		l.globals[name], args = strings.Join(values, " "), rest
	}
	if len(args) == 0 {
		return l, nil
	}
	l.command, args = args[0], args[1:]
	known, ok := oldCommands()[l.command]
	if !ok {
		return l, nil
	}
	for len(args) > 0 {
		switch {
		case args[0] == "--":
			l.words, args = append(l.words, args[1:]...), nil
		case args[0] == "--help" || args[0] == "-h":
			l.globals["help"] = ""
			return l, nil
		case strings.HasPrefix(args[0], "--") && !strings.ContainsRune(args[0], ' '):
			name, values, rest, err := readOldOption(args, known.options)
			if err != nil {
				return nil, err
			}
			l.options[name], args = append(l.options[name], values...), rest
			if l.options[name] == nil {
				l.options[name] = []string{}
			}
		default:
			l.words, args = append(l.words, args[0]), args[1:]
		}
	}
	if err := l.targets(); err != nil || l.has("exec-help") {
		return l, err
	}
	return l, l.check(known)
}

// targets takes apart the list of hosts, which may be separated by commas too. A text
// with blanks is no host: it and what is behind it are the command's, where a list
// without an end would swallow them.
func (l *oldLine) targets() error {
	if !l.has("target") {
		return nil
	}
	var hosts []string
	for i, word := range l.options["target"] {
		if strings.ContainsAny(word, " \t\n") {
			l.words = append(l.words, l.options["target"][i:]...)
			break
		}
		hosts = append(hosts, strings.FieldsFunc(word, func(r rune) bool { return r == ',' })...)
	}
	if len(hosts) == 0 { // which would be every host
		return oldUsage("the value of --target is missing")
	}
	l.options["target"] = hosts
	return nil
}

func (l *oldLine) check(known oldCommand) error {
	var given []string
	for _, name := range known.exclusive {
		if l.has(name) {
			given = append(given, "--"+name)
		}
	}
	switch {
	case len(given) > 1:
		return oldUsage("%s: %s exclude each other", l.command, strings.Join(given, " and "))
	case known.words == "" && len(l.words) > 0:
		return oldUsage("%s: unexpected argument %q", l.command, l.words[0])
	case known.words != "" && len(l.words) == 0:
		return oldUsage("%s: missing %s: a list such as --target takes all words up to the next option or --", l.command, known.words)
	}
	return nil
}

// readOldOption reads the option that args begin with, and its values.
func readOldOption(args []string, known map[string]arity) (name string, values, rest []string, err error) {
	typed, inline, hasInline := strings.Cut(strings.TrimPrefix(args[0], "--"), "=")
	name, err = fullName(typed, known)
	if err != nil {
		return "", nil, nil, err
	}
	rest = args[1:]
	n, declared := known[name]
	if !declared { // of a transport
		n = none
		if !hasInline && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && !isOldCommand(rest[0]) {
			n = one
		}
	}
	switch {
	case hasInline:
		return name, []string{inline}, rest, nil
	case n == one && len(rest) == 0:
		return "", nil, nil, oldUsage("the value of --%s is missing", name)
	case n == one:
		return name, rest[:1], rest[1:], nil
	case n == several:
		k := 0
		for k < len(rest) && (!strings.HasPrefix(rest[k], "-") || strings.ContainsRune(rest[k], ' ')) {
			k++
		}
		if k == 0 {
			return "", nil, nil, oldUsage("the value of --%s is missing", name)
		}
		return name, rest[:k], rest[k:], nil
	}
	return name, nil, rest, nil
}

// fullName is the option that a name, or its beginning, stands for.
func fullName(typed string, known map[string]arity) (string, error) {
	if _, ok := known[typed]; ok {
		return typed, nil
	}
	_, atFront := known["socket-path"]
	for _, transport := range []string{"grpc-", "zmq-", "messaging-"} {
		if atFront && strings.HasPrefix(typed, transport) {
			return typed, nil
		}
	}
	var found []string
	for name := range known {
		if typed != "" && strings.HasPrefix(name, typed) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return "", oldUsage("there is no option --%s", typed)
	case 1:
		return found[0], nil
	}
	return "", oldUsage("--%s may be --%s", typed, strings.Join(found, " or --"))
}

// isOldCommand reports whether a word is a command of Directord.
func isOldCommand(word string) bool {
	_, ok := oldCommands()[word]
	return ok || word == "server" || word == "client" || word == "bootstrap"
}

func oldUsage(format string, args ...any) error {
	return usage("quorate directord --help", "%s", fmt.Sprintf(format, args...))
}
