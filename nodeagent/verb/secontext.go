package verb

import (
	"context"
	"os/exec"

	"quorate/internal/job"
)

func secontextVerb() *Verb {
	d := oneWord("SECONTEXT", "one PATH", "target", "Set the SELinux context of a path.",
		"SECONTEXT: /srv/www --setype httpd_sys_content_t")
	d.HasCheckMode = false
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
	return &Verb{Decl: d, Run: secontextJob, templated: true}
}

func isFileType(c byte) bool {
	switch c {
	case 'a', 'b', 'c', 'd', 'f', 'l', 'p', 's':
		return true
	}
	return false
}

// secontextJob executes SECONTEXT. The text is rendered already. A rule that is
// there is changed; where SELinux is off there is nothing to do.
func secontextJob(ctx context.Context, env *Env, j *job.Job) Result {
	if _, err := exec.LookPath("selinuxenabled"); err == nil {
		exited, err := env.command(ctx, "selinuxenabled", false)
		if err == nil && exited.Code == 1 && exited.Signal == "" {
			res := succeeded(false, "")
			res.Info = "SELinux is disabled on this host"
			return res
		}
	}
	if err := requireTool("SECONTEXT", "semanage"); err != nil {
		return failed("%v", err)
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
