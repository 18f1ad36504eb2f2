package verb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quorate/internal/job"
)

func userVerb() *Verb {
	return deciding(job.Declaration{
		Verb:    "USER",
		Summary: "Keep a user on the host.",
		Details: "What no option names stays as it is. A user that is made gets a home, unless it is one of the system's; " +
			"the home of one that is there is neither made nor moved. Passwords are none of its business: one that is made has none.",
		Example:    "USER: --uid 850 --group shop --groups docker,adm --shell /bin/bash --comment 'The shop' shop",
		Text:       "one NAME",
		Positional: job.Words,
		WordsMin:   1,
		WordsMax:   1,
		Options: []job.OptionDecl{
			{Name: "uid", Kind: job.Int, Help: "its number"},
			{Name: "group", Kind: job.String, Help: "its first group, by name or number"},
			{Name: "groups", Kind: job.String, Help: "its other groups, separated by commas"},
			{Name: "append", Kind: job.Flag, Help: "keep the groups that --groups does not name"},
			{Name: "home", Kind: job.Phrase, Help: "the path of its home"},
			{Name: "shell", Kind: job.Phrase, Help: "its shell"},
			{Name: "comment", Kind: job.Phrase, Help: "its full name"},
			{Name: "system", Kind: job.Flag, Help: "where it is made, give it a number of the system's and no home"},
			{Name: "no-home", Kind: job.Flag, Help: "where it is made, make no home"},
			{Name: "absent", Kind: job.Flag, Help: "remove the user"},
			{Name: "remove-home", Kind: job.Flag, Help: "with --absent remove its home and mail too"},
			rootOption(),
		},
		Check: checkUser,
	}, decideUser)
}

func checkUser(p *job.Parsed) string {
	j := &p.Job
	for _, o := range j.Options {
		if isSet(j, "absent") && !slices.Contains([]string{"absent", "remove-home", "root", "stdout-arg", "stderr-arg"}, o.Name) {
			return "--absent and --" + o.Name + " exclude each other"
		}
	}
	switch {
	case isSet(j, "remove-home") && !isSet(j, "absent"):
		return "--remove-home needs --absent"
	case isSet(j, "append") && !isSet(j, "groups"):
		return "--append needs --groups"
	}
	return checkAccount(p, "uid")
}

func decideUser(ctx context.Context, a *asked) ([]step, error) {
	name := a.words[0]
	if !accountName.MatchString(name) {
		return nil, fmt.Errorf("%q is no name of a user", name)
	}
	for _, option := range [...]string{"home", "shell", "comment"} {
		if strings.ContainsAny(a.option(option), ":\r\n") {
			return nil, fmt.Errorf("--%s holds neither colons nor line breaks", option)
		}
	}
	there, fields, err := a.account(ctx, "passwd", name)
	switch {
	case err != nil:
		return nil, err
	case a.has("absent") && !there:
		return nil, nil
	case a.has("absent"):
		var words []string
		if a.has("remove-home") {
			words = []string{"-r"}
		}
		return a.accountStep("remove the user "+name, "userdel", words, name)
	case there:
		return a.changeUser(ctx, name, fields)
	}
	var words []string
	for _, o := range userFields {
		if value, ok := a.job.Option(o.option); ok {
			words = append(words, o.flag, value)
		}
	}
	if groups := a.option("groups"); groups != "" {
		words = append(words, "-G", groups)
	}
	if a.has("system") {
		words = append(words, "-r")
	}
	if a.has("system") || a.has("no-home") {
		words = append(words, "-M")
	} else {
		words = append(words, "-m")
	}
	return a.accountStep("make the user "+name, "useradd", words, name)
}

// userFields are the options that are fields of an entry of passwd, with the flags
// that useradd and usermod have for them.
var userFields = [...]struct {
	option, flag string
	field        int
}{{"uid", "-u", 2}, {"group", "-g", 3}, {"comment", "-c", 4}, {"home", "-d", 5}, {"shell", "-s", 6}}

// changeUser changes what differs of a user that is there, in one step.
func (a *asked) changeUser(ctx context.Context, name string, fields []string) ([]step, error) {
	var words, what []string
	for _, o := range userFields {
		value, ok := a.job.Option(o.option)
		if !ok {
			continue
		}
		is := fields[o.field]
		if o.option == "group" {
			there, group, err := a.account(ctx, "group", value)
			if err != nil {
				return nil, err
			}
			if there && group[2] == is {
				continue
			}
		}
		if value != is {
			words = append(words, o.flag, value)
			what = append(what, fmt.Sprintf("%s %q becomes %q", o.option, is, value))
		}
	}
	if groups, ok := a.job.Option("groups"); ok {
		now, err := a.groupsOf(ctx, name)
		if err != nil {
			return nil, err
		}
		want := listed(groups)
		if a.has("append") {
			want = append(want, now...)
		}
		slices.Sort(want)
		if want = slices.Compact(want); !slices.Equal(want, now) {
			words = append(words, "-G", strings.Join(want, ","))
			what = append(what, fmt.Sprintf("groups %q become %q", strings.Join(now, ","), strings.Join(want, ",")))
		}
	}
	if len(words) == 0 {
		return nil, nil
	}
	return a.accountStep("change the user "+name+": "+strings.Join(what, ", "), "usermod", words, name)
}

// listed splits a list at its commas; empty parts are none.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// groupsOf returns the groups that name a user as their member, sorted. They are
// those of the local file, which is what usermod changes.
func (a *asked) groupsOf(ctx context.Context, name string) ([]string, error) {
	path := "/etc/group"
	if root := a.option("root"); root != "" {
		path = filepath.Join(a.path(root), "etc", "group")
	} else if requireTool("", "getent") == nil {
		text, exited, err := a.ask(ctx, "getent", "group")
		if err == nil && exited.Code != 0 {
			err = refused("getent", exited)
		}
		return memberships(text, name), err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return memberships(string(data), name), err
}

// memberships finds the groups with a member in the text of a group database.
func memberships(text, name string) []string {
	var out []string
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(fields) == 4 && slices.Contains(strings.Split(fields[3], ","), name) {
			out = append(out, fields[0])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
