package verb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/wire"
)

// A Fleet is what a job can do beyond its host. Everything that it does may be done
// again: the agent may be interrupted at any moment.
type Fleet interface {
	// Publish makes values of this host known to the others. waits says that the job
	// does nothing from here on but wait for other hosts.
	Publish(values []wire.Value, waits bool) error
	// Await returns when the question is answered, over as many connections as that
	// takes, and a note on the answer. The values that it asks for are stored. Where
	// ctx ends before, the error says what was still waited for.
	Await(ctx context.Context, ask wire.Ask) (note string, err error)
	// Omit lets no job start of the other attempts that the host has, and returns how
	// many those are.
	Omit() (int, error)
	// Restart notes that the host is about to be restarted by the job, which does
	// nothing else from here on.
	Restart() error
	// Restarting reports whether the job has asked for a restart before.
	Restarting() bool
}

var errAlone = errors.New("it needs an orchestrator, and there is none")

// queryVerb gathers an argument of all hosts.
func queryVerb() *Verb {
	d := oneWord("QUERY", "one KEY", "query", "Gather an argument of all hosts.", "QUERY: address")
	d.Memory = true
	d.Options = []job.OptionDecl{{Name: "no-wait", Kind: job.Flag, Help: "do not wait for the data"}}
	d.FingerprintKeys = func(p *job.Parsed) []job.Field {
		return []job.Field{textField("query", p.Job.Text), flagField("no_wait", p, "no-wait")}
	}
	d.Check = checkKey
	return &Verb{Decl: d, memory: true, Run: queryJob, Check: asking("it would only ask other hosts")}
}

// checkKey wants a name that is known when the plan is made: the hosts that have it
// publish it from then on.
func checkKey(p *job.Parsed) string {
	switch {
	case len(p.Job.Text) > wire.KeyBytesMax:
		return fmt.Sprintf("the key has more than %d bytes", wire.KeyBytesMax)
	case strings.Contains(p.Job.Text, "{{") || strings.Contains(p.Job.Text, "{%"):
		return "the key is no template: which arguments hosts tell of is known when the plan is made"
	}
	return ""
}

// queryJob executes QUERY: it tells what this host has, and waits until the other
// hosts of the job have done so or have come to their end.
func queryJob(ctx context.Context, env *Env, j *job.Job) Result {
	if env.Fleet == nil {
		return failed("QUERY: %v", errAlone)
	}
	value, own, err := env.ownValue(j.Text)
	if err != nil {
		return failed("%v", err)
	}
	wait := !isSet(j, "no-wait")
	if err := env.Fleet.Publish([]wire.Value{value}, wait); err != nil {
		return failed("QUERY %s: %v", j.Text, err)
	}
	var note string
	if wait {
		note, err = env.Fleet.Await(ctx, wire.Ask{Want: wire.WantQuery, Attempt: env.Attempt, Job: j.Index, Key: j.Text})
		if err != nil {
			return awaitFailed(ctx, "QUERY "+j.Text, err)
		}
	}
	answer := pyvalue.NewDict()
	answer.SetStr(j.Text, own)
	res := succeeded(false, pyvalue.JSON(answer))
	if res.Info = j.Text; note != "" {
		res.Info += ": " + note
	}
	return res
}

// ownValue is an argument of this host as others are told of it, and as it is.
func (env *Env) ownValue(key string) (wire.Value, pyvalue.Value, error) {
	encoded, ok, err := env.Facts.Arg(key)
	secret := false
	if err == nil {
		secret, err = env.Facts.IsSecret(key)
	}
	switch {
	case err != nil:
		return wire.Value{}, nil, err
	case secret:
		return wire.Value{}, nil, &SecretError{key}
	case !ok:
		return wire.Value{Key: key, Absent: true}, pyvalue.None, nil
	case len(encoded) > wire.ValueBytesMax:
		return wire.Value{}, nil, &TooLargeError{key, len(encoded)}
	}
	own, err := pyvalue.Decode(encoded)
	return wire.Value{Key: key, Value: encoded}, own, err
}

// A TooLargeError is of an argument that other hosts ask for and cannot get.
type TooLargeError struct {
	Key   string
	Bytes int
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the argument %s has %d bytes, and other hosts, which the plan has ask for it, get no more than %d", e.Key, e.Bytes, wire.ValueBytesMax)
}

// awaitFailed is the result of a job that waited in vain. Unlike other timeouts its
// own says what for.
func awaitFailed(ctx context.Context, what string, err error) Result {
	res := failed("%s: %v", what, err)
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), errTimeout) {
		res.waited = true
	}
	return res
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

func identities(j *job.Job) []string {
	text, _ := j.Option("identity")
	return strings.Fields(text)
}

func checkIdentities(p *job.Parsed) string {
	if len(identities(&p.Job)) > wire.AskHostsMax {
		return fmt.Sprintf("--identity names more than %d hosts", wire.AskHostsMax)
	}
	return ""
}

// queryWaitVerb waits for an argument of other hosts.
func queryWaitVerb() *Verb {
	d := oneWord("QUERY_WAIT", "one KEY", "item", "Wait until a gathered argument is there.",
		"QUERY_WAIT: address --identity web-1 web-2")
	d.Options = []job.OptionDecl{
		{Name: "query-timeout", Kind: job.Int, Default: "600", Help: "seconds to wait"}, identity(false)}
	d.FingerprintKeys = func(p *job.Parsed) []job.Field {
		return []job.Field{textField("item", p.Job.Text), intField("query_timeout", p, "query-timeout", 600), identityField(p)}
	}
	d.Check = func(p *job.Parsed) string {
		if problem := checkKey(p); problem != "" {
			return problem
		}
		return checkIdentities(p)
	}
	return &Verb{Decl: d, memory: true, Check: asking("it would only wait for other hosts"), Run: func(ctx context.Context, env *Env, j *job.Job) Result {
		seconds := min(max(intOption(j, "query-timeout", 600), 0), secondsMax)
		ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(seconds)*time.Second, errTimeout)
		defer cancel()
		return env.await(ctx, j, wire.WantValue)
	}}
}

// jobWaitVerb waits for a job of other hosts.
func jobWaitVerb() *Verb {
	d := oneWord("JOB_WAIT", "one FINGERPRINT", "job_sha", "Wait until hosts have done a job.",
		"JOB_WAIT: 420796fea893c71e --identity web-1")
	d.Options = []job.OptionDecl{identity(true)}
	d.FingerprintKeys = func(p *job.Parsed) []job.Field {
		return []job.Field{textField("job_sha", p.Job.Text), identityField(p)}
	}
	d.Check = func(p *job.Parsed) string {
		if len(p.Job.Text) > wire.KeyBytesMax {
			return "that is no fingerprint"
		}
		return checkIdentities(p)
	}
	return &Verb{Decl: d, memory: true, Check: asking("it would only wait for other hosts"), Run: func(ctx context.Context, env *Env, j *job.Job) Result {
		return env.await(ctx, j, wire.WantJob)
	}}
}

// await waits for what a job names.
func (env *Env) await(ctx context.Context, j *job.Job, want wire.Want) Result {
	if env.Fleet == nil {
		return failed("%s: %v", j.Verb, errAlone)
	}
	text, err := env.render(ctx, j.Text)
	if err != nil {
		return unrendered(err)
	}
	if err := env.Fleet.Publish(nil, true); err != nil {
		return failed("%s %s: %v", j.Verb, text, err)
	}
	note, err := env.Fleet.Await(ctx, wire.Ask{Want: want, Attempt: env.Attempt, Job: j.Index, Key: text, Hosts: identities(j)})
	if err != nil {
		return awaitFailed(ctx, j.Verb+" "+text, err)
	}
	res := succeeded(false, "")
	res.Info = strings.TrimSpace(text + " " + note)
	return res
}

// queuesentinelVerb drops what waits on the host.
func queuesentinelVerb() *Verb {
	d := oneWord("QUEUESENTINEL", "one WORD", "", "Drop the jobs that wait on the host.", "QUEUESENTINEL: now")
	d.FingerprintKeys = func(*job.Parsed) []job.Field {
		return []job.Field{field("parent_async_bypass", pyvalue.Bool(true))}
	}
	return &Verb{Decl: d, memory: true, Check: sentinelCheck, Run: func(_ context.Context, env *Env, _ *job.Job) Result {
		if env.Fleet == nil {
			return failed("QUEUESENTINEL: %v", errAlone)
		}
		n, err := env.Fleet.Omit()
		if err != nil {
			return failed("QUEUESENTINEL: %v", err)
		}
		return succeeded(n > 0, fmt.Sprintf("omitted what was left of %d other steps", n))
	}}
}

// sentinelCheck says what QUEUESENTINEL would do, whatever waits by then.
func sentinelCheck(context.Context, *Env, *job.Job) Checked {
	return Checked{Verdict: WouldChange, Info: "omit the jobs that wait on the host by then"}
}
