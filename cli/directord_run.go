package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	cli "github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v4"

	"quorate/engine/api"
	"quorate/planner"
)

// oldOrchestrate is directord orchestrate.
func (p *program) oldOrchestrate(c *cli.Context, line *oldLine) error {
	src := planner.Sources{Orchestrations: line.words}
	if !line.has("finger-print") {
		return p.oldRun(c, line, src)
	}
	opt, err := p.oldOptions(c, line)
	if err != nil {
		return err
	}
	jobs, err := p.prints(opt, src)
	if err != nil {
		return err
	}
	t := &oldTable{header: []string{"COUNT", "PARENT", "VERB", "EXEC", "JOB"}}
	for i, j := range jobs {
		name := j.Name
		if name == "" {
			name = j.Fingerprint
		}
		t.rows = append(t.rows, []string{strconv.Itoa(i), j.Parent, j.Verb, clipped(j.Exec), name})
	}
	if err := p.printOld(t); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.con.out, "\nTotal Items: %d\n", len(jobs))
	return err
}

// oldExec is directord exec.
func (p *program) oldExec(c *cli.Context, line *oldLine) error {
	if line.first("verb") == "" {
		return oldUsage("exec: --verb is missing")
	}
	if line.has("exec-help") {
		return p.verbHelp(c, line.first("verb"))
	}
	content, err := yaml.Marshal([]map[string]any{{"jobs": []map[string]string{{line.first("verb"): strings.Join(line.words, " ")}}}})
	if err != nil {
		return err
	}
	return p.oldRun(c, line, planner.Sources{Texts: []planner.Text{{Name: "exec.yaml", Content: content}}})
}

func (p *program) oldOptions(c *cli.Context, line *oldLine) (planner.Options, error) {
	opt, err := p.options(c)
	opt.Targets, opt.Restrict = line.options["target"], line.options["restrict"]
	opt.ForceAsync = line.has("force-async")
	return opt, err
}

// oldRun starts a run, prints what its jobs are called, and follows it where it is
// told to.
func (p *program) oldRun(c *cli.Context, line *oldLine, src planner.Sources) error {
	opt, err := p.oldOptions(c, line)
	if err != nil {
		return err
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := p.knownHosts(c, client, src, &opt); err != nil {
		return err
	}
	made := compile(src, opt)
	p.printDiagnostics(made.diagnostics)
	if made.plan == nil {
		return made.refusal()
	}
	run, err := submit(c.Context, client, made, api.RunSubmit{
		PlanID: made.plan.ID(), RequestID: requestID(), IgnoreCache: line.has("ignore-cache"),
	})
	if err != nil {
		return err
	}
	follows := line.has("poll") || line.has("wait") || line.has("stream") || line.has("check")
	if !line.has("wait") {
		for _, j := range oldJobs(run, made.plan) {
			fmt.Fprintln(p.con.out, "Job received. Task ID:", j.id())
		}
	}
	if !follows {
		return nil
	}
	return p.oldPoll(c.Context, client, line, run.ID, made.plan)
}

// oldPoll waits for the end of a run and says of each job what became of it.
func (p *program) oldPoll(ctx context.Context, client *api.Client, line *oldLine, id uint64, plan *planner.Plan) error {
	f := following{client: client, run: id}
	show := p.reporter(true)
	err := f.events(ctx, show)
	show.close()
	switch {
	case ctx.Err() != nil:
		return p.detached(f)
	case err != nil && !errors.Is(err, errWaiting):
		return hinted(err, "%s", comeBack(f))
	}
	run, err := f.show(ctx)
	if err != nil {
		return err
	}
	var failed []string
	for _, j := range oldJobs(run, plan) {
		if line.has("stream") {
			if err := p.oldStream(ctx, client, j); err != nil {
				return err
			}
		}
		text, ok := j.verdict()
		if !ok {
			failed = append(failed, j.id())
		}
		if !line.has("wait") {
			fmt.Fprintln(p.con.out, text, j.id())
		}
	}
	if line.has("check") && len(failed) > 0 {
		fmt.Fprintln(p.con.out, "\nFAILED JOBS")
		fmt.Fprintln(p.con.out, strings.Join(failed, "\n"))
	}
	if len(failed) > 0 {
		p.con.note(`hint: see "quorate directord manage --job-info %s"`, failed[0])
	}
	if len(failed) > 0 || run.Status != "succeeded" {
		return ended(exitError)
	}
	return nil
}

// verdict is how Directord speaks of a job that has ended, spelling included, and
// whether it is all right.
func (j *oldJob) verdict() (text string, ok bool) {
	switch state := j.state(); {
	case state == oldFailed && len(j.nodes(oldSuccess)) > 0:
		return "Job Degrated:", false
	case state == oldFailed:
		return "Job Failed:", false
	case state == oldSkipped:
		return "Job Skipped:", false
	case state == oldSuccess && len(j.nodes(oldSkipped)) == 0:
		return "Job Success:", true
	case state == oldSuccess:
		return "Job Degrated:", false
	}
	return "Job in an unknown state:", false
}

// oldStream prints what a job wrote on each node.
func (p *program) oldStream(ctx context.Context, client *api.Client, j *oldJob) error {
	for out, err := range client.Output(ctx, strconv.FormatUint(j.run.ID, 10), j.task, "") {
		if err != nil {
			return err
		}
		if out.Job != j.spec.Index {
			continue
		}
		for _, s := range []struct{ name, text string }{{"STDOUT", out.Stdout}, {"STDERR", out.Stderr}} {
			fmt.Fprintf(p.con.out, "%s -- %s\n", out.Host, s.name)
			lines := lastLines(s.text, len(s.text))
			if len(lines) == 0 {
				lines = []string{"None"}
			}
			for _, l := range lines {
				fmt.Fprintln(p.con.out, printable(l))
			}
		}
	}
	return nil
}
