package verb

import (
	"context"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

func argVerb() *Verb {
	return &Verb{Run: argJob, memory: true, Check: rehearsed(argJob), Decl: keyValue("ARG", "args", "Store an argument for templates on the host.",
		"ARG: colours ['teal', 'grey']",
		func(text string) pyvalue.Value { return pyvalue.Argument(text) })}
}

func envVerb() *Verb {
	return &Verb{Run: argJob, memory: true, Check: rehearsed(argJob), Decl: keyValue("ENV", "envs", "Store an environment variable for commands on the host.",
		"ENV: https_proxy http://proxy.example:3128",
		func(text string) pyvalue.Value { return pyvalue.Str(pyvalue.String(pyvalue.Argument(text))) })}
}

func keyValue(verb, key, summary, example string, typed func(string) pyvalue.Value) job.Declaration {
	return job.Declaration{
		Verb:    verb,
		Summary: summary,
		Details: "A value that cannot be rendered yet is stored as it is written, with a warning. " +
			"Values are typed as Python writes them: numbers, True, lists and mappings.",
		Example:    example,
		Text:       "KEY VALUE",
		Positional: job.KeyValue,
		Options: []job.OptionDecl{
			{Name: "extend-args", Kind: job.Flag, Help: "merge mappings and append lists instead of replacing the value"},
		},
		Memory:       true,
		Idempotent:   true,
		HasCheckMode: true,
		Executable:   true,
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

// argJob executes ARG and ENV. A value that cannot be rendered is stored as it
// is, because it may be set before what it names: files rely on that.
func argJob(ctx context.Context, env *Env, j *job.Job) Result {
	name, text := job.SplitKeyValue(j.Text)
	value := pyvalue.Argument(text)
	if j.Verb == "ENV" {
		value = pyvalue.Str(pyvalue.String(value))
	}
	warning := ""
	renderedName, nameErr := env.render(ctx, name)
	rendered, err := env.renderLeaves(ctx, value)
	if nameErr != nil {
		err = nameErr
	}
	if ctx.Err() != nil {
		return failed("%v", ctx.Err())
	}
	if err != nil {
		warning = "stored as it is: " + err.Error()
	} else {
		name, value = renderedName, rendered
	}
	store, kind := env.Facts.SetArg, "args"
	if j.Verb == "ENV" {
		store, kind = env.Facts.SetEnv, "envs"
	}
	_, changed, err := store(name, value, isSet(j, "extend-args"), env.Provenance)
	if err != nil {
		return failed("%v", err)
	}
	res := succeeded(changed, kind+" added to cache")
	res.Info = warning
	return res
}

// renderLeaves renders every text in a value, keys included.
func (env *Env) renderLeaves(ctx context.Context, v pyvalue.Value) (pyvalue.Value, error) {
	switch v := v.(type) {
	case pyvalue.Str:
		text, err := env.render(ctx, string(v))
		return pyvalue.Str(text), err
	case *pyvalue.List:
		out := pyvalue.NewList()
		for _, item := range v.Items {
			rendered, err := env.renderLeaves(ctx, item)
			if err != nil {
				return nil, err
			}
			out.Items = append(out.Items, rendered)
		}
		return out, nil
	case *pyvalue.Dict:
		out := pyvalue.NewDict()
		for k, item := range v.All() {
			key, err := env.renderLeaves(ctx, k)
			if err != nil {
				return nil, err
			}
			rendered, err := env.renderLeaves(ctx, item)
			if err != nil {
				return nil, err
			}
			out.Set(key, rendered)
		}
		return out, nil
	}
	return v, nil
}
