package verb

import (
	"context"
	"fmt"
	"strconv"

	"quorate/internal/job"
)

// NameReboot is the verb whose job goes on behind a restart of the host.
const NameReboot = "REBOOT"

func rebootVerb() *Verb {
	d := oneWord(NameReboot, "a number of SECONDS", "time", "Restart the host, and go on when it is back.", "REBOOT: 10")
	d.Idempotent = false
	d.Check = func(p *job.Parsed) string {
		if _, err := strconv.ParseUint(p.Job.Text, 10, 31); err != nil && p.Job.Text != "" && p.Job.Text[0] != '{' {
			return fmt.Sprintf("%q is no number of seconds", p.Job.Text)
		}
		return ""
	}
	return &Verb{Decl: d, Run: rebootJob, Check: rebootCheck}
}

// rebootCheck says what REBOOT would do.
func rebootCheck(ctx context.Context, env *Env, j *job.Job) Checked {
	if err := requireTool("REBOOT", "systemctl"); err != nil {
		return wouldFail("%v", err)
	}
	text, err := env.render(ctx, j.Text)
	if err != nil {
		return wouldFail("%v", err)
	}
	if _, err := strconv.ParseUint(text, 10, 31); err != nil {
		return wouldFail("REBOOT: %q is no number of seconds", text)
	}
	return Checked{Verdict: WouldChange, Info: "restart the host"}
}

// rebootJob executes REBOOT up to where the host goes down with it. What comes of
// that only the next agent can tell, by another boot of the host; while this one is
// still here, the host has not restarted. See [RebootDone].
func rebootJob(ctx context.Context, env *Env, j *job.Job) Result {
	if env.Fleet == nil {
		return failed("REBOOT: %v", errAlone)
	}
	if err := requireTool("REBOOT", "systemctl"); err != nil {
		return failed("%v", err)
	}
	text, err := env.render(ctx, j.Text)
	if err != nil {
		return unrendered(err)
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return failed("REBOOT: %q is no number of seconds", text)
	}
	if !env.Fleet.Restarting() {
		if err := env.Fleet.Restart(); err != nil {
			return failed("REBOOT: %v", err)
		}
		res := env.attempts(ctx, fmt.Sprintf("sleep %d; exec systemctl reboot", seconds), 1, nil)
		if res.Outcome != Succeeded && ctx.Err() == nil {
			res.Info = "systemctl reboot: " + res.Info
			return res
		}
	}
	<-ctx.Done()
	res := failed("the host has not restarted")
	res.waited = true
	return res
}

// RebootDone is the result of a REBOOT whose host is back under another boot.
func RebootDone(before, now string) Result {
	res := succeeded(true, "")
	res.Info = fmt.Sprintf("the host has restarted: its boot was %s and is %s", before, now)
	return res
}
