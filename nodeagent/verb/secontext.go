package verb

import (
	"context"
	"os/exec"
	"strings"

	"quorate/internal/job"
)

func secontextVerb() *Verb {
	d := oneWord("SECONTEXT", "one PATH", "target", "Set the SELinux context of a path.",
		"SECONTEXT: /srv/www --setype httpd_sys_content_t")
	d.Cacheable = true
	d.Options = []job.OptionDecl{
		{Name: "setype", Kind: job.String, Required: true, Help: "the type"},
		{Name: "ftype", Kind: job.String, Help: "the kind of file: a, b, c, d, f, l, p or s"},
		{Name: "selevel", Kind: job.String, Help: "the level"},
		{Name: "seuser", Kind: job.String, Help: "the user"},
		{Name: "reload", Kind: job.Flag, Help: "load the policy anew"},
	}
	d.FingerprintKeys = func(p *job.Parsed) []job.Field {
		return []job.Field{field("ftype", optional(p, "ftype")), field("setype", optional(p, "setype")),
			field("seuser", optional(p, "seuser")), field("selevel", optional(p, "selevel")),
			textField("target", p.Job.Text), flagField("reload", p, "reload")}
	}
	d.Check = func(p *job.Parsed) string {
		if kind, ok := p.Job.Option("ftype"); ok && (len(kind) != 1 || kind[0] == ' ' || !isFileType(kind[0])) {
			return "--ftype is one of a, b, c, d, f, l, p and s"
		}
		return ""
	}
	return &Verb{Decl: d, Run: secontextJob, Check: secontextCheck, templated: true}
}

func isFileType(c byte) bool {
	switch c {
	case 'a', 'b', 'c', 'd', 'f', 'l', 'p', 's':
		return true
	}
	return false
}

// secontextJob executes SECONTEXT. The text is rendered already. A rule that is
// there is changed, or left alone where it is right; where SELinux is off there is
// nothing to do.
func secontextJob(ctx context.Context, env *Env, j *job.Job) Result {
	if env.withoutSELinux(ctx) {
		res := succeeded(false, "")
		res.Info = withoutSELinux
		return res
	}
	if err := requireTool("SECONTEXT", "semanage"); err != nil {
		return failed("%v", err)
	}
	if now, err := env.localContext(ctx, j); err == nil && fits(j, now) && !isSet(j, "reload") {
		return succeeded(false, "")
	}
	words := []string{"fcontext", "--type"}
	setype, _ := j.Option("setype")
	words = append(words, setype)
	words = append(words, given(j, "ftype", "--ftype")...)
	words = append(words, given(j, "selevel", "--range")...)
	words = append(words, given(j, "seuser", "--seuser")...)
	if !isSet(j, "reload") {
		words = append(words, "--noreload")
	}
	words = append(words, j.Text)
	run := func(action string) Result {
		return env.attempts(ctx, quoteWords(append([]string{"semanage", words[0], action}, words[1:]...)), 1, nil)
	}
	res := run("--add")
	if res.Outcome != Succeeded && ctx.Err() == nil {
		added := res
		if res = run("--modify"); res.Outcome != Succeeded {
			res.Stderr = joinOutputs(added.Stderr, res.Stderr)
			res.Info = "semanage fcontext: " + res.Info
		}
	}
	return res
}

// secontextCheck asks for the rules that were made on this host.
func secontextCheck(ctx context.Context, env *Env, j *job.Job) Checked {
	if env.withoutSELinux(ctx) {
		return Checked{Verdict: Unchanged, Info: withoutSELinux}
	}
	if err := requireTool("SECONTEXT", "semanage"); err != nil {
		return wouldFail("%v", err)
	}
	now, err := env.localContext(ctx, j)
	setype, _ := j.Option("setype")
	var lines []string
	switch {
	case err != nil:
		return Checked{Verdict: CannotTell, Info: err.Error()}
	case now == "":
		lines = append(lines, "add the type "+setype+" for "+j.Text)
	case !fits(j, now):
		lines = append(lines, "change the context of "+j.Text+", which is "+now)
	}
	if isSet(j, "reload") {
		lines = append(lines, "load the policy anew")
	}
	return changes(lines, "")
}

const withoutSELinux = "SELinux is disabled on this host"

func (env *Env) withoutSELinux(ctx context.Context) bool {
	if _, err := exec.LookPath("selinuxenabled"); err != nil {
		return false
	}
	exited, err := env.command(ctx, "selinuxenabled", false)
	return err == nil && exited.Code == 1 && exited.Signal == ""
}

// fileType is what semanage calls a kind of file in its lists.
func fileType(kind string) string {
	return map[string]string{
		"a": "all files", "b": "block device", "c": "character device", "d": "directory",
		"f": "regular file", "l": "symbolic link", "p": "named pipe", "s": "socket",
	}[kind]
}

// localContext is the context of the job's rule among those made on this host, or
// empty where there is none.
func (env *Env) localContext(ctx context.Context, j *job.Job) (string, error) {
	text, exited, err := env.ask(ctx, "semanage", "fcontext", "--list", "--locallist", "--noheading")
	if err == nil && exited.Code != 0 {
		err = refused("semanage", exited)
	}
	if err != nil {
		return "", err
	}
	kind, ok := j.Option("ftype")
	if !ok {
		kind = "a"
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if n := len(words); n > 2 && words[0] == j.Text && strings.Join(words[1:n-1], " ") == fileType(kind) {
			return words[n-1], nil
		}
	}
	return "", nil
}

// fits reports whether a context, USER:ROLE:TYPE[:LEVEL], is what the job asks for.
func fits(j *job.Job, context string) bool {
	parts := strings.SplitN(context, ":", 4)
	if len(parts) < 3 {
		return false
	}
	for i, option := range [...]string{0: "seuser", 2: "setype", 3: "selevel"} {
		if want, ok := j.Option(option); ok && option != "" && (i >= len(parts) || parts[i] != want) {
			return false
		}
	}
	return true
}
