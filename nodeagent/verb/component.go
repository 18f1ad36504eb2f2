package verb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quorate/internal/component"
	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

// An ownVerb is a user-defined component that came with a job.
type ownVerb struct {
	desc       *component.Description
	executable string // its path on this host
}

// IsComponent reports whether a job is one of a user-defined component.
func IsComponent(j *job.Job) bool {
	if _, builtIn := shared()[j.Verb]; builtIn {
		return false
	}
	_, _, ok := j.Component()
	return ok
}

// Declared returns the declaration of a job's verb. It waits for a component's
// description to reach the host.
func Declared(ctx context.Context, env *Env, j *job.Job) (*job.Declaration, error) {
	if v, ok := shared()[j.Verb]; ok {
		return &v.Decl, nil
	}
	desc, err := env.description(ctx, j)
	if err != nil {
		return nil, err
	}
	return desc.Declaration(), nil
}

// findComponent makes a verb of the component that a job brings, and renders the
// job: its text and the values of its options.
func findComponent(ctx context.Context, env *Env, j *job.Job) (*Verb, *job.Job, *Result) {
	refuse := func(res Result) (*Verb, *job.Job, *Result) { return nil, nil, &res }
	if _, _, ok := j.Component(); !ok {
		return refuse(failed("unknown verb %s", j.Verb))
	}
	desc, err := env.description(ctx, j)
	if err != nil {
		return refuse(failed("component %s: %v", j.Verb, err))
	}
	u := &ownVerb{desc: desc}
	if u.executable, err = env.brought(ctx, j); err != nil {
		return refuse(failed("component %s: %v", j.Verb, err))
	}
	rendered := *j
	if rendered.Text, err = env.render(ctx, j.Text); err != nil {
		return refuse(unrendered(err))
	}
	rendered.Options = slices.Clone(j.Options)
	for i := range rendered.Options {
		if rendered.Options[i].Value, err = env.render(ctx, j.Options[i].Value); err != nil {
			return refuse(unrendered(err))
		}
	}
	v := &Verb{Decl: *desc.Declaration(), Run: u.run, rendered: true}
	if desc.Check {
		v.Check = u.check
	}
	// One that can look at the host itself needs no memory.
	v.Decl.Cacheable = desc.Cacheable && !desc.Check
	return v, &rendered, nil
}

// description reads what the component said of itself when the plan was made.
func (env *Env) description(ctx context.Context, j *job.Job) (*component.Description, error) {
	_, file, ok := j.Component()
	if !ok {
		return nil, fmt.Errorf("unknown verb %s", j.Verb)
	}
	path, err := env.Blob(ctx, file.Digest)
	if err != nil {
		return nil, fmt.Errorf("description: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, component.DescriptionBytesMax+1))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != file.Digest {
		return nil, errDigest
	}
	desc, err := component.DecodeDescription(data)
	if err == nil && desc.Verb() != j.Verb {
		err = fmt.Errorf("it is the component %s", desc.Verb())
	}
	return desc, err
}

// brought returns the path of the component's executable on this host, which is
// what the plan names, to the last bit.
func (env *Env) brought(ctx context.Context, j *job.Job) (string, error) {
	file, _, _ := j.Component()
	path, err := env.Blob(ctx, file.Digest)
	if err != nil {
		return "", fmt.Errorf("executable: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	got, err := copyContent(ctx, io.Discard, f)
	if err != nil {
		return "", err
	}
	if got != file.Digest {
		return "", errDigest
	}
	info, err := f.Stat()
	if err == nil && info.Mode()&0o100 == 0 {
		err = f.Chmod(0o700)
	}
	return path, err
}

// run executes a job of the component. One that can tell is asked first whether
// there is anything to do.
func (u *ownVerb) run(ctx context.Context, env *Env, j *job.Job) Result {
	action := component.Run
	if u.desc.Check && !j.SkipCache && !env.IgnoreCache {
		action = component.Check
	}
	for range 2 {
		// The reply tells which action it is to: the process may be one that an
		// earlier agent started, and that has outlived it.
		res, answered := u.ask(ctx, env, j, action)
		switch {
		case res.Outcome != Succeeded || answered == component.Run:
			return res
		case !u.desc.Check:
			return failed("component %s: it replied to a check, which it does not describe", j.Verb).with(res)
		case !res.Changed:
			return res
		}
		action = component.Run
	}
	return failed("component %s: asked to run, it replied to a check", j.Verb)
}

// check asks the component what it would do.
func (u *ownVerb) check(ctx context.Context, env *Env, j *job.Job) Checked {
	res, answered := u.ask(ctx, env, j, component.Check)
	switch {
	case res.Outcome != Succeeded:
		return wouldFail("%s", ended(ctx, res).Info)
	case answered != component.Check:
		return Checked{Verdict: CannotTell, Info: "the component was asked to check, and replied that it ran"}
	case res.Changed:
		return Checked{Verdict: WouldChange, Info: res.Info}
	}
	return Checked{Verdict: Unchanged, Info: res.Info}
}

// ask runs the component once.
func (u *ownVerb) ask(ctx context.Context, env *Env, j *job.Job, action component.Action) (Result, component.Action) {
	request, err := u.request(env, j, action)
	if err != nil {
		return failed("component %s: %v", j.Verb, err), ""
	}
	file, err := requestFile(request)
	if err != nil {
		return failed("component %s: %v", j.Verb, err), ""
	}
	e := *env
	e.JobEnv = slices.Concat(env.JobEnv, []string{"QUORATE_VERB=" + j.Verb, "QUORATE_ACTION=" + string(action)}, u.plainEnv(j))
	// The file is gone before the component starts: nobody else is left to remove
	// it where the agent dies meanwhile.
	script := "{ rm -f " + quoteWords([]string{file}) + "; " + quoteWords([]string{u.executable, string(action)}) + "; } <" + quoteWords([]string{file})
	exited, err := e.command(ctx, script, false)
	// A command that outlives the agent may still read its request.
	if ctx.Err() == nil || errors.Is(context.Cause(ctx), errTimeout) {
		_ = os.Remove(file) // there is one only where the script did not start
	}
	if err != nil {
		return commandResult(exited, err, nil), ""
	}
	return u.result(env, j, exited)
}

// requestFile writes a request where only this user can read it: it holds the
// host's arguments.
func requestFile(request []byte) (string, error) {
	f, err := os.CreateTemp("", "quorate-request-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(request)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// result makes the job's result of a process that has ended.
func (u *ownVerb) result(env *Env, j *job.Job, exited Exited) (Result, component.Action) {
	res := commandResult(exited, nil, nil)
	broken := func(format string, args ...any) (Result, component.Action) {
		ended := ""
		if res.Outcome != Succeeded {
			ended = "; it " + strings.Replace(res.Info, "exit status", "ended with the exit status", 1)
		}
		return failed("component %s: %s%s", j.Verb, fmt.Sprintf(format, args...), ended).with(res), ""
	}
	data := slices.Concat(exited.Stdout.Head, exited.Stdout.Tail)
	if exited.Stdout.Size > int64(len(data)) || len(data) > component.ReplyBytesMax {
		return broken("the component's reply of %d bytes is too long: %d are the most", exited.Stdout.Size, component.ReplyBytesMax)
	}
	reply, err := component.DecodeReply(data)
	if err != nil {
		return broken("%v", err)
	}
	if reply.Outcome == component.Succeeded && res.Outcome != Succeeded {
		return broken("the component replied that it succeeded")
	}
	if reply.Outcome == component.Failed {
		res.Outcome = Failed
		if res.Exit == 0 {
			res.Exit = -1
		}
	}
	res.Info, res.Changed, res.Stdout = reply.Info, reply.Changed, output(reply.Stdout)
	res.Stderr = exited.Stderr
	if reply.Stderr != "" {
		res.Stderr = joinOutputs(output(reply.Stderr), exited.Stderr)
	}
	if reply.Action == component.Check && res.Outcome == Succeeded {
		return res, reply.Action // what would change is not yet; it is asked again
	}
	if err := u.store(env, reply, &res); err != nil {
		return broken("%v", err)
	}
	return res, reply.Action
}

// store makes arguments of the facts that a job replied.
func (u *ownVerb) store(env *Env, reply *component.Reply, res *Result) error {
	if res.Outcome != Succeeded {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(reply.Facts)) {
		value, err := fromJSON(reply.Facts[name])
		if err != nil {
			return fmt.Errorf("the fact %s: %w", name, err)
		}
		_, changed, err := env.Facts.SetArg(name, value, false, env.Provenance)
		if err != nil {
			return fmt.Errorf("the fact %s: %w", name, err)
		}
		res.Changed = res.Changed || changed
		res.volatile = true
	}
	return nil
}

// request writes what the component reads.
func (u *ownVerb) request(env *Env, j *job.Job, action component.Action) ([]byte, error) {
	scope, err := env.scope("query")
	if err != nil {
		return nil, err
	}
	args := map[string]json.RawMessage{}
	for name, v := range scope.All() {
		// An infinite number has no JSON; what names it can still be asked for by template.
		if text := []byte(pyvalue.JSON(v)); json.Valid(text) {
			args[pyvalue.Key(name)] = text
		}
	}
	envs, err := env.Facts.Envs()
	if err != nil {
		return nil, err
	}
	environment := map[string]string{}
	for _, fact := range envs {
		environment[fact.Name] = pyvalue.String(fact.Value)
	}
	for _, entry := range env.JobEnv {
		name, value, _ := strings.Cut(entry, "=")
		environment[name] = value
	}
	return json.Marshal(component.Request{Protocol: component.Version, Action: action, Job: &component.Job{
		Verb: j.Verb, Text: j.Text, Options: u.desc.Values(j.Option), Args: args, Environment: environment,
		WorkDir: env.WorkDir, TimeoutSeconds: j.TimeoutSeconds,
		Run: env.Provenance.Run, Task: env.Provenance.Task, Attempt: env.Attempt, Index: j.Index,
	}})
}

// plainBytesMax bounds what is in a component's environment beside the request.
const plainBytesMax = 32 << 10

// plainEnv is text and options for components that would rather not read JSON.
func (u *ownVerb) plainEnv(j *job.Job) []string {
	var out []string
	add := func(name, value string) {
		if len(value) <= plainBytesMax && !strings.ContainsRune(value, 0) {
			out = append(out, name+"="+value)
		}
	}
	add("QUORATE_TEXT", j.Text)
	for _, o := range u.desc.Options {
		value, given := j.Option(o.Name)
		if !given {
			value = o.Default
		}
		if given || value != "" {
			add("QUORATE_OPTION_"+strings.ToUpper(strings.ReplaceAll(o.Name, "-", "_")), value)
		}
	}
	return out
}
