package verb

import (
	"strings"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

// contributedVerbs are those that Directord shipped as user components. They are
// planned, not executable.
func contributedVerbs() []*Verb {
	return []*Verb{facterVerb(), queryWaitVerb(), jobWaitVerb(), rebootVerb(),
		podVerb(), containerImageVerb(), containerConfigDataVerb(), secontextVerb()}
}

// optional is the option's text, or None.
func optional(p *job.Parsed, option string) pyvalue.Value {
	if text, ok := p.Job.Option(option); ok {
		return pyvalue.Str(text)
	}
	return pyvalue.None
}

func facterVerb() *Verb {
	return &Verb{Decl: job.Declaration{
		Verb: "FACTER", Summary: "Store what facter finds out about the host.", Example: "FACTER: --custom-dir /etc/facts",
		Positional: job.NoWords,
		Options: []job.OptionDecl{
			{Name: "custom-dir", Kind: job.String, Help: "directory of custom facts"},
			{Name: "external-dir", Kind: job.String, Help: "directory of external facts"},
		},
		Cacheable: true, Idempotent: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			return []job.Field{
				field("custom_dir", optional(p, "custom-dir")),
				field("external_dir", optional(p, "external-dir")),
			}
		},
	}}
}

func identity(required bool) job.OptionDecl {
	return job.OptionDecl{Name: "identity", Kind: job.List, Required: required, Help: "the hosts to wait for"}
}

func identityField(p *job.Parsed) job.Field {
	text, ok := p.Job.Option("identity")
	if !ok {
		return field("identity", pyvalue.None)
	}
	return wordsField("identity", strings.Fields(text))
}

func queryWaitVerb() *Verb {
	d := oneWord("QUERY_WAIT", "one KEY", "item", "Wait until a gathered argument is there.",
		"QUERY_WAIT: address --identity web-1 web-2")
	d.Executable, d.HasCheckMode = false, false
	d.Options = []job.OptionDecl{
		{Name: "query-timeout", Kind: job.Int, Default: "600", Help: "seconds to wait"}, identity(false)}
	d.FingerprintKeys = func(p *job.Parsed) []job.Field {
		return []job.Field{textField("item", p.Job.Text), intField("query_timeout", p, "query-timeout", 600), identityField(p)}
	}
	return &Verb{Decl: d}
}

func jobWaitVerb() *Verb {
	d := oneWord("JOB_WAIT", "one FINGERPRINT", "job_sha", "Wait until hosts have done a job.",
		"JOB_WAIT: 420796fea893c71e --identity web-1")
	d.Executable, d.HasCheckMode = false, false
	d.Options = []job.OptionDecl{identity(true)}
	d.FingerprintKeys = func(p *job.Parsed) []job.Field {
		return []job.Field{textField("job_sha", p.Job.Text), identityField(p)}
	}
	return &Verb{Decl: d}
}

func rebootVerb() *Verb {
	d := oneWord("REBOOT", "a number of SECONDS", "time", "Restart the host.", "REBOOT: 10")
	d.Executable, d.Idempotent, d.HasCheckMode = false, false, false
	return &Verb{Decl: d}
}

func podVerb() *Verb {
	actions := []string{"start", "stop", "rm", "kill", "inspect", "play", "exec-run"}
	var options []job.OptionDecl
	for _, a := range actions {
		options = append(options, job.OptionDecl{Name: a, Kind: job.String, Help: a + " the pod of this name"})
	}
	options = append(options,
		job.OptionDecl{Name: "env", Kind: job.String, Help: "K=V,... for --exec-run"},
		job.OptionDecl{Name: "command", Kind: job.List, Help: "what --exec-run runs"},
		job.OptionDecl{Name: "privileged", Kind: job.Flag, Help: "run with all rights"},
		job.OptionDecl{Name: "no-tlsverify", Kind: job.Flag, Help: "do not verify the registry's certificate"},
		job.OptionDecl{Name: "force", Kind: job.Flag, Help: "remove the pod even where it runs"},
		job.OptionDecl{Name: "kill-signal", Kind: job.String, Default: "SIGKILL", Help: "the signal of --kill"},
		socketPath())
	return &Verb{Decl: job.Declaration{
		Verb: "POD", Summary: "Manage pods with podman.", Example: "POD: --start web", Positional: job.NoWords, Options: options,
		OneOf: [][]string{actions}, Cacheable: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			action, kwargs := "", pyvalue.NewDict()
			for _, o := range p.Job.Options {
				switch {
				case o.Name == "socket-path":
				case strings.Contains(" "+strings.Join(actions, " ")+" ", " "+o.Name+" "):
					action = o.Name
					kwargs.SetStr("name", pyvalue.Str(o.Value))
				default:
					kwargs.SetStr(strings.ReplaceAll(o.Name, "-", "_"), pyvalue.Str(o.Value))
				}
			}
			return []job.Field{textField("pod_action", action), field("kwargs", kwargs), socketField(p)}
		},
	}}
}

func socketPath() job.OptionDecl {
	return job.OptionDecl{Name: "socket-path", Kind: job.String, Default: "/var/run/podman/podman.sock", Help: "podman's socket"}
}

func socketField(p *job.Parsed) job.Field {
	if path, ok := p.Job.Option("socket-path"); ok {
		return textField("socket_path", path)
	}
	return textField("socket_path", socketPath().Default)
}

func containerImageVerb() *Verb {
	actions := []string{"pull", "push", "tag", "list", "inspect"}
	var options []job.OptionDecl
	for _, a := range actions {
		options = append(options, job.OptionDecl{Name: a, Kind: job.Flag, Help: a + " images"})
	}
	options = append(options,
		job.OptionDecl{Name: "no-tlsverify", Kind: job.Flag, Help: "do not verify the registry's certificate"}, socketPath())
	return &Verb{Decl: job.Declaration{
		Verb: "CONTAINER_IMAGE", Summary: "Manage container images with podman.", Text: "IMAGES",
		Example:    "CONTAINER_IMAGE: --pull registry.example/web",
		Positional: job.Words, Options: options, OneOf: [][]string{actions}, Cacheable: true, Idempotent: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			action := ""
			for _, a := range actions {
				if isSet(&p.Job, a) {
					action = a
				}
			}
			return []job.Field{wordsField("images", job.SplitWords(p.Job.Text)), socketField(p),
				field("tlsverify", pyvalue.Bool(!isSet(&p.Job, "no-tlsverify"))), textField("action", action)}
		},
		Check: checkImages,
	}}
}

func checkImages(p *job.Parsed) string {
	n := len(job.SplitWords(p.Job.Text))
	switch {
	case isSet(&p.Job, "list") && n > 0:
		return "--list takes no images"
	case isSet(&p.Job, "tag") && n != 2:
		return "--tag takes a source and a destination"
	case !isSet(&p.Job, "list") && n == 0:
		return "images are missing"
	}
	return ""
}

func containerConfigDataVerb() *Verb {
	return &Verb{Decl: job.Declaration{
		Verb: "CONTAINER_CONFIG_DATA", Summary: "Store the JSON files of a directory as container configuration.",
		Example:    "CONTAINER_CONFIG_DATA: --config-path /etc/containers",
		Positional: job.NoWords,
		Options: []job.OptionDecl{
			{Name: "config-path", Kind: job.String, Required: true, Help: "the directory"},
			{Name: "config-pattern", Kind: job.String, Default: "*.json", Help: "the files in it"},
			{Name: "config-overrides", Kind: job.String, Help: "a mapping to merge, in vars"},
			{Name: "debug", Kind: job.Flag, Help: "report more"},
		},
		Cacheable: true, Idempotent: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			pattern := "*.json"
			if text, ok := p.Job.Option("config-pattern"); ok {
				pattern = text
			}
			return []job.Field{field("config_path", optional(p, "config-path")), textField("config_pattern", pattern),
				field("config_overrides", optional(p, "config-overrides")), flagField("debug", p, "debug")}
		},
	}}
}

func secontextVerb() *Verb {
	d := oneWord("SECONTEXT", "one PATH", "target", "Set the SELinux context of a path.",
		"SECONTEXT: /srv/www --setype httpd_sys_content_t")
	d.Executable, d.HasCheckMode, d.Cacheable = false, false, true
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
	return &Verb{Decl: d}
}
