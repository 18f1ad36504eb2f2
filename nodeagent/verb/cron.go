package verb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"quorate/internal/job"
	"quorate/nodeagent/template"
)

func cronVerb() *Verb {
	return deciding(job.Declaration{
		Verb:    "CRON",
		Summary: "Keep an entry of cron: in a file of /etc/cron.d, or in the crontab of a user.",
		Details: "A comment above the entry holds its name; by it the entry is found again. Other entries stay as they are. " +
			"cron reads a percent sign in a command as a line break, unless a backslash stands before it.",
		Example:    "CRON: --name backup --schedule '15 3 * * *' /usr/local/bin/backup --full",
		Text:       "a COMMAND, or nothing with --absent",
		Positional: job.FreeText,
		Late:       []string{},
		Options: []job.OptionDecl{
			{Name: "name", Kind: job.String, Required: true, Help: "the name of the entry, and of the file: letters, digits, - and _"},
			{Name: "schedule", Kind: job.Phrase, Help: "five fields, or @reboot, @hourly and the like"},
			{Name: "user", Kind: job.String, Default: "root", Help: "whom the command runs as"},
			{Name: "crontab", Kind: job.String, Help: "keep the entry in the crontab of this user"},
			{Name: "directory", Kind: job.Phrase, Default: "/etc/cron.d", Help: "where the file of the entry lies"},
			{Name: "absent", Kind: job.Flag, Help: "take the entry out"},
		},
		Exclusive: [][]string{{"crontab", "directory"}, {"crontab", "user"}, {"absent", "schedule"}},
		Check:     checkCron,
	}, decideCron)
}

func checkCron(p *job.Parsed) string {
	j := &p.Job
	schedule, timed := j.Option("schedule")
	switch {
	case isSet(j, "absent") && j.Text != "":
		return "--absent takes no command"
	case !isSet(j, "absent") && (j.Text == "" || !timed):
		return "--schedule and a command are needed"
	case timed && !template.Dynamic(schedule):
		if err := checkSchedule(schedule); err != nil {
			return err.Error()
		}
	}
	return ""
}

var cronName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// cronMark begins the comment above an entry.
const cronMark = "# quorate: "

func decideCron(ctx context.Context, a *asked) ([]step, error) {
	name := a.option("name")
	if !cronName.MatchString(name) {
		return nil, fmt.Errorf("cron reads no file of the name %q: use letters, digits, - and _", name)
	}
	var entry string
	if !a.has("absent") {
		schedule := strings.Join(strings.Fields(a.option("schedule")), " ")
		if err := checkSchedule(schedule); err != nil {
			return nil, err
		}
		command := strings.TrimSpace(a.words[0])
		user := a.option("user")
		switch {
		case command == "" || strings.ContainsAny(command, "\r\n"):
			return nil, errors.New("the command of an entry is one line, and not empty")
		case user == "" || strings.ContainsAny(user, " \t\r\n"):
			return nil, fmt.Errorf("%q is no name of a user", user)
		case a.has("crontab"):
			entry = schedule + " " + command
		default:
			entry = schedule + " " + user + " " + command
		}
	}
	if a.has("crontab") {
		return a.crontab(ctx, name, entry)
	}
	file, err := editOf(filepath.Join(a.path(a.option("directory")), name), owner{uid: -1, gid: -1, mode: 0o644, hasMode: true})
	if err != nil {
		return nil, err
	}
	if !file.there && entry == "" {
		return nil, nil
	}
	after := setCron(string(file.before), name, entry)
	if after == "" {
		return []step{file.removal()}, nil
	}
	return file.steps([]byte(after))
}

// crontab keeps the entry in the crontab of a user, which its own tool reads and
// replaces as a whole.
func (a *asked) crontab(ctx context.Context, name, entry string) ([]step, error) {
	if err := requireTool("CRON", "crontab"); err != nil {
		return nil, err
	}
	user := a.option("crontab")
	before, exited, err := a.ask(ctx, "crontab", "-u", user, "-l")
	switch {
	case err != nil:
		return nil, err
	case exited.Code != 0 && strings.Contains(string(exited.Stderr.Head), "no crontab"):
		before = ""
	case exited.Code != 0:
		return nil, refused("crontab", exited)
	}
	after := setCron(before, name, entry)
	if after == before {
		return nil, nil
	}
	what := "crontab of " + user
	return []step{{what: "write the " + what, diff: unified(what, []byte(before), []byte(after)), do: func(ctx context.Context) Result {
		return a.installCrontab(ctx, user, after)
	}}}, nil
}

func (a *asked) installCrontab(ctx context.Context, user, text string) Result {
	f, err := os.CreateTemp("", "quorate-crontab-")
	if err != nil {
		return failed("%v", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // what is left is in the temporary directory
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return failed("%v", err)
	}
	return a.commandStep("", "crontab", "-u", user, f.Name()).do(ctx)
}

// setCron returns the text of a crontab in which the named entry is the one given,
// or absent where that is empty.
func setCron(text, name, entry string) string {
	lines, ending := splitLines(text)
	var out []string
	placed := entry == ""
	for i := 0; i < len(lines); i++ {
		if lines[i] != cronMark+name {
			out = append(out, lines[i])
			continue
		}
		if !placed {
			out = append(out, lines[i], entry)
			placed = true
		}
		// The entry goes with its mark, but for what is no entry at all.
		if i+1 < len(lines) && lines[i+1] != "" && !strings.HasPrefix(lines[i+1], "#") {
			i++
		}
	}
	if !placed {
		out = append(out, cronMark+name, entry)
	}
	if len(out) == 0 {
		return ""
	}
	if text != "" && strings.Join(out, ending) == strings.Join(lines, ending) {
		return text
	}
	return strings.Join(out, ending) + ending
}

// cronField is a list of values, names, ranges and steps, each of them short.
var cronField = regexp.MustCompile(`^(\*|[0-9]{1,2}|[A-Za-z]{3})(-([0-9]{1,2}|[A-Za-z]{3}))?(/[0-9]{1,2})?(,(\*|[0-9]{1,2}|[A-Za-z]{3})(-([0-9]{1,2}|[A-Za-z]{3}))?(/[0-9]{1,2})?)*$`)

// checkSchedule says what is wrong with a schedule, as far as its form goes.
func checkSchedule(schedule string) error {
	fields := strings.Fields(schedule)
	if len(fields) == 1 && strings.HasPrefix(fields[0], "@") {
		switch fields[0] {
		case "@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly":
			return nil
		}
		return fmt.Errorf("cron knows no schedule %s", fields[0])
	}
	if len(fields) != 5 {
		return fmt.Errorf("a schedule has five fields (minute, hour, day, month, weekday), not %d: %q", len(fields), schedule)
	}
	for _, f := range fields {
		if !cronField.MatchString(f) {
			return fmt.Errorf("%q is no field of a schedule", f)
		}
	}
	return nil
}
