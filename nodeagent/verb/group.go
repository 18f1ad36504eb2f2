package verb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"quorate/internal/job"
	"quorate/nodeagent/template"
)

func groupVerb() *Verb {
	return deciding(job.Declaration{
		Verb:       "GROUP",
		Summary:    "Keep a group on the host.",
		Details:    "What no option names stays as it is. Members are the business of USER.",
		Example:    "GROUP: --system --gid 850 shop",
		Text:       "one NAME",
		Positional: job.Words,
		WordsMin:   1,
		WordsMax:   1,
		Options: []job.OptionDecl{
			{Name: "gid", Kind: job.Int, Help: "its number"},
			{Name: "system", Kind: job.Flag, Help: "where it is made, give it a number of the system's"},
			{Name: "absent", Kind: job.Flag, Help: "remove the group"},
			rootOption(),
		},
		Exclusive: [][]string{{"absent", "gid"}, {"absent", "system"}},
		Check:     func(p *job.Parsed) string { return checkAccount(p, "gid") },
	}, decideGroup)
}

func rootOption() job.OptionDecl {
	return job.OptionDecl{Name: "root", Kind: job.Phrase, Help: "directory of another system, whose etc is changed instead of the host's"}
}

// accountName is what the tools of all distributions take for a user or a group.
var accountName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$`)

func checkAccount(p *job.Parsed, number string) string {
	if n, ok := p.Job.Option(number); ok {
		if _, err := strconv.ParseUint(n, 10, 31); err != nil {
			return "--" + number + " is a number from 0"
		}
	}
	if !template.Dynamic(p.Job.Text) && !accountName.MatchString(p.Job.Text) {
		return fmt.Sprintf("%q is no name", p.Job.Text)
	}
	return ""
}

func decideGroup(ctx context.Context, a *asked) ([]step, error) {
	name := a.words[0]
	if !accountName.MatchString(name) {
		return nil, fmt.Errorf("%q is no name of a group", name)
	}
	there, fields, err := a.account(ctx, "group", name)
	if err != nil {
		return nil, err
	}
	var words []string
	gid, numbered := a.job.Option("gid")
	switch {
	case a.has("absent"):
		if there {
			return a.accountStep("remove the group "+name, "groupdel", nil, name)
		}
		return nil, nil
	case numbered && (!there || fields[2] != gid):
		words = append(words, "-g", gid)
	}
	if there {
		if len(words) == 0 {
			return nil, nil
		}
		return a.accountStep(fmt.Sprintf("change the group %s: gid %s becomes %s", name, fields[2], gid), "groupmod", words, name)
	}
	if a.has("system") {
		words = append(words, "-r")
	}
	return a.accountStep("make the group "+name, "groupadd", words, name)
}

// accountStep is the step that runs one of the tools for users and groups. Each of
// them does all of its work or nothing.
func (a *asked) accountStep(what, tool string, words []string, name string) ([]step, error) {
	if err := requireTool(a.job.Verb, tool); err != nil {
		return nil, fmt.Errorf("%w: its package is called shadow, shadow-utils or passwd, and busybox's adduser takes its place in too little", err)
	}
	if root := a.option("root"); root != "" {
		words = append([]string{"-P", a.path(root)}, words...)
	}
	return []step{a.commandStep(what, append(append([]string{tool}, words...), name)...)}, nil
}

// getentAbsent is the exit code with which getent says that there is no such entry.
const getentAbsent = 2

// account returns the fields of a user (passwd) or a group as its database has them:
// that of another system's files, or the one that the host looks names up in.
func (a *asked) account(ctx context.Context, database, name string) (there bool, fields []string, err error) {
	var text string
	if root := a.option("root"); root != "" || requireTool("", "getent") != nil {
		etc := "/etc"
		if root != "" {
			etc = filepath.Join(a.path(root), "etc")
		}
		data, err := os.ReadFile(filepath.Join(etc, database))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, nil, err
		}
		text = string(data)
	} else {
		var exited Exited
		text, exited, err = a.ask(ctx, "getent", database, name)
		if err == nil && exited.Code != 0 && exited.Code != getentAbsent {
			err = refused("getent", exited)
		}
		if err != nil {
			return false, nil, err
		}
	}
	fields = accountFields(text, database, name)
	return fields != nil, fields, nil
}

// accountFields finds the entry of a name in the text of a database, or nil.
func accountFields(text, database, name string) []string {
	want := map[string]int{"passwd": 7, "group": 4}[database]
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(fields) == want && fields[0] == name {
			return fields
		}
	}
	return nil
}
