package verb

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/template"
)

// scope returns the variables of templates: the host's arguments, overridden by
// the run's. Every call makes new values, because a template may change them.
// What other hosts have published is there for a text that speaks of it.
func (env *Env) scope(text string) (*pyvalue.Dict, error) {
	scope := pyvalue.NewDict()
	args, err := env.Facts.Args()
	if err != nil {
		return nil, err
	}
	for _, fact := range args {
		scope.SetStr(fact.Name, fact.Value)
	}
	if strings.Contains(text, "query") {
		query, some, err := env.Facts.Query()
		if err != nil {
			return nil, err
		}
		if some {
			scope.SetStr("query", query)
		}
	}
	for _, v := range env.Vars {
		scope.SetStr(v.Name, pyvalue.Argument(v.Value))
	}
	return scope, nil
}

// render expands a text where there is something to expand.
func (env *Env) render(ctx context.Context, text string) (string, error) {
	if !template.Dynamic(text) {
		return text, nil
	}
	scope, err := env.scope(text)
	if err != nil {
		return "", err
	}
	out, err := template.Render(ctx, text, scope)
	if err != nil {
		return "", fmt.Errorf("template: %w", err)
	}
	return out, nil
}

// renderOptions expands the values of options.
func (env *Env) renderOptions(ctx context.Context, options []job.Option) ([]job.Option, error) {
	out := slices.Clone(options)
	for i := range out {
		text, err := env.render(ctx, out[i].Value)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", out[i].Name, err)
		}
		out[i].Value = text
	}
	return out, nil
}

// path resolves a path against the working directory. It keeps a slash at the end.
func (env *Env) path(p string) string {
	if filepath.IsAbs(p) || env.WorkDir == "" {
		return p
	}
	joined := filepath.Join(env.WorkDir, p)
	if p != "" && p[len(p)-1] == '/' {
		joined += "/"
	}
	return joined
}
