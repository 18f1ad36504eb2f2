package verb

import (
	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

func argVerb() *Verb {
	return &Verb{Run: argJob, Decl: keyValue("ARG", "args", "Store an argument for templates on the host.",
		func(text string) pyvalue.Value { return pyvalue.Argument(text) })}
}

func envVerb() *Verb {
	return &Verb{Run: argJob, Decl: keyValue("ENV", "envs", "Store an environment variable for commands on the host.",
		func(text string) pyvalue.Value { return pyvalue.Str(pyvalue.String(pyvalue.Argument(text))) })}
}

func keyValue(verb, key, summary string, typed func(string) pyvalue.Value) job.Declaration {
	return job.Declaration{
		Verb:       verb,
		Summary:    summary,
		Text:       "KEY VALUE",
		Positional: job.KeyValue,
		Options: []job.OptionDecl{
			{Name: "extend-args", Kind: job.Flag, Help: "merge mappings and append lists instead of replacing the value"},
		},
		Idempotent: true,
		Executable: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			var out []job.Field
			if isSet(&p.Job, "extend-args") {
				out = append(out, field("extend_args", pyvalue.Bool(true)))
			}
			name, value := job.SplitKeyValue(p.Job.Text)
			d := pyvalue.NewDict()
			d.SetStr(name, typed(collapsed(value)))
			return append(out, field(key, d))
		},
	}
}
