package verb

import (
	"context"
	"fmt"
	"path/filepath"

	"quorate/internal/pyvalue"
	"quorate/nodeagent/template"
)

// scope returns the variables of templates: the host's arguments, overridden by
// the run's. Every call makes new values, because a template may change them.
func (env *Env) scope() (*pyvalue.Dict, error) {
	scope := pyvalue.NewDict()
	args, err := env.Facts.Args()
	if err != nil {
		return nil, err
	}
	for _, fact := range args {
		scope.SetStr(fact.Name, fact.Value)
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
	scope, err := env.scope()
	if err != nil {
		return "", err
	}
	out, err := template.Render(ctx, text, scope)
	if err != nil {
		return "", fmt.Errorf("template: %w", err)
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
