package verb

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

// podActions returns the options of POD of which each is an action on a pod.
func podActions() []string {
	return []string{"start", "stop", "rm", "kill", "inspect", "play", "exec-run"}
}

func podVerb() *Verb {
	actions := podActions()
	var options []job.OptionDecl
	for _, a := range actions {
		options = append(options, job.OptionDecl{Name: a, Kind: job.String, Help: podHelp(a)})
	}
	options = append(options,
		job.OptionDecl{Name: "env", Kind: job.String, Help: "K=V,... for --exec-run"},
		job.OptionDecl{Name: "command", Kind: job.List, Help: "what --exec-run runs"},
		job.OptionDecl{Name: "privileged", Kind: job.Flag, Help: "run with all rights"},
		job.OptionDecl{Name: "no-tlsverify", Kind: job.Flag, Help: "do not verify the registry's certificate"},
		job.OptionDecl{Name: "force", Kind: job.Flag, Help: "remove the pod even where it runs"},
		job.OptionDecl{Name: "kill-signal", Kind: job.String, Default: "SIGKILL", Help: "the signal of --kill"},
		socketPath())
	return &Verb{Run: podJob, Check: podCheck, templated: true, Decl: job.Declaration{
		Verb: "POD", Summary: "Manage pods with podman.", Example: "POD: --start web", Positional: job.NoWords, Options: options,
		OneOf: [][]string{actions}, Cacheable: true, Executable: true, HasCheckMode: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			action, kwargs := "", pyvalue.NewDict()
			for _, o := range p.Job.Options {
				switch {
				case o.Name == "socket-path":
				case slices.Contains(actions, o.Name):
					action = o.Name
					kwargs.SetStr("name", pyvalue.Str(o.Value))
				default:
					kwargs.SetStr(strings.ReplaceAll(o.Name, "-", "_"), pyvalue.Str(o.Value))
				}
			}
			return []job.Field{textField("pod_action", action), field("kwargs", kwargs), socketField(p)}
		},
		Check: func(p *job.Parsed) string {
			if isSet(&p.Job, "exec-run") && !isSet(&p.Job, "command") {
				return "--exec-run needs --command"
			}
			return ""
		},
	}}
}

func podHelp(action string) string {
	return map[string]string{
		"start": "start the pod of this name", "stop": "stop the pod of this name, for as long as --timeout",
		"rm": "remove the pod of this name", "kill": "send the pod of this name a signal",
		"inspect": "describe the pod of this name", "play": "make what this file of Kubernetes describes, which lies on the host",
		"exec-run": "run a command in the container of this name",
	}[action]
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

// podman are the first words of a command. It goes by a socket only where the job
// names one: podman needs none.
func podman(j *job.Job) []string {
	words := []string{"podman"}
	if path, ok := j.Option("socket-path"); ok {
		words = append(words, "--remote", "--url", "unix://"+path)
	}
	return words
}

// podJob executes POD. The options are rendered already.
func podJob(ctx context.Context, env *Env, j *job.Job) Result {
	if err := requireTool("POD", "podman"); err != nil {
		return failed("%v", err)
	}
	words, changes := podCommand(j)
	if question, name := podQuestion(j); question != "" && changes {
		state, _ := env.podState(ctx, j, name)
		changes = !podRests(question, state)
	}
	res := env.attempts(ctx, quoteWords(append(podman(j), words...)), 1, nil)
	res.Changed = changes
	if res.Outcome != Succeeded {
		res.Info = fmt.Sprintf("podman %s: %s", strings.Join(words[:2], " "), res.Info)
	}
	return res
}

// podCommand is what podman is to do, and whether that changes anything.
func podCommand(j *job.Job) (words []string, changes bool) {
	for _, action := range podActions() {
		name, ok := j.Option(action)
		if !ok {
			continue
		}
		switch action {
		case "inspect":
			return []string{"pod", "inspect", name}, false
		case "stop":
			return []string{"pod", "stop", "--time", strconv.FormatUint(uint64(j.TimeoutSeconds), 10), name}, true
		case "rm":
			words = []string{"pod", "rm"}
			if isSet(j, "force") {
				words = append(words, "--force")
			}
		case "kill":
			signal, ok := j.Option("kill-signal")
			if !ok {
				signal = "SIGKILL"
			}
			words = []string{"pod", "kill", "--signal", signal}
		case "play":
			words = []string{"play", "kube"}
			if isSet(j, "no-tlsverify") {
				words = append(words, "--tls-verify=false")
			}
		case "exec-run":
			return execRun(j, name), true
		default:
			words = []string{"pod", action}
		}
		return append(words, name), true
	}
	return nil, false
}

// execRun is the command that runs something in a container.
func execRun(j *job.Job, name string) []string {
	words := []string{"container", "exec"}
	if isSet(j, "privileged") {
		words = append(words, "--privileged")
	}
	if text, ok := j.Option("env"); ok {
		for _, assignment := range strings.Split(text, ",") {
			if assignment = strings.TrimSpace(assignment); assignment != "" {
				words = append(words, "--env", assignment)
			}
		}
	}
	command, _ := j.Option("command")
	return append(append(words, name), strings.Fields(command)...)
}

// podQuestion returns the action of a job whose effect depends on the state of a pod,
// and the pod.
func podQuestion(j *job.Job) (action, pod string) {
	for _, action := range [...]string{"start", "stop", "rm", "kill", "inspect"} {
		if name, ok := j.Option(action); ok {
			return action, name
		}
	}
	return "", ""
}

// podRests reports whether the action leaves a pod in the state as it is.
func podRests(action, state string) bool {
	switch action {
	case "start":
		return state == "Running"
	case "stop":
		return state == "Exited" || state == "Created" || state == "Stopped"
	}
	return action == "inspect"
}

// podState is the word that podman has for the state of a pod.
func (env *Env) podState(ctx context.Context, j *job.Job, name string) (string, error) {
	text, exited, err := env.ask(ctx, append(podman(j), "pod", "inspect", "--format", "{{.State}}", name)...)
	if err == nil && exited.Code != 0 {
		err = refused("podman", exited)
	}
	return strings.TrimSpace(text), err
}

// podCheck asks podman how the pod is.
func podCheck(ctx context.Context, env *Env, j *job.Job) Checked {
	if err := requireTool("POD", "podman"); err != nil {
		return wouldFail("%v", err)
	}
	action, name := podQuestion(j)
	if action == "" {
		words, _ := podCommand(j)
		return Checked{Verdict: CannotTell, Info: "what podman " + strings.Join(words[:2], " ") + " does shows only when it is done"}
	}
	state, err := env.podState(ctx, j, name)
	switch {
	case err != nil:
		return wouldFail("%v", err)
	case podRests(action, state):
		return Checked{Verdict: Unchanged, Info: name + " is " + state}
	}
	return changes([]string{fmt.Sprintf("%s %s, which is %s", action, name, state)}, "")
}
