package verb

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"quorate/internal/job"
	"quorate/nodeagent/wire"
)

func waitVerb() *Verb {
	return &Verb{Run: waitJob, memory: true, Check: checkedWait, Decl: job.Declaration{
		Verb:       "WAIT",
		Summary:    "Wait for a time, an address that answers, or a command that succeeds.",
		Example:    "WAIT: --url --retry 60 http://localhost:8080/health",
		Text:       "an address or a command",
		Positional: job.FreeText,
		Options: []job.OptionDecl{
			{Name: "seconds", Kind: job.Int, Help: "wait so long"},
			{Name: "url", Kind: job.Flag, Help: "the text is an address, wait until it answers"},
			{Name: "cmd", Kind: job.Flag, Help: "the text is a command, wait until it succeeds"},
			{Name: "retry", Kind: job.Int, Default: "30", Help: "how often to try again"},
			{Name: "retry-wait", Kind: job.Int, Default: "1", Help: "seconds between tries"},
			{Name: "insecure", Kind: job.Flag, Help: "do not verify the certificate of the address"},
		},
		OneOf:        [][]string{{"seconds", "url", "cmd"}},
		Idempotent:   true,
		Executable:   true,
		HasCheckMode: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			first := textField("command", collapsed(p.Job.Text))
			switch {
			case isSet(&p.Job, "seconds"):
				first = intField("seconds", p, "seconds", 0)
			case isSet(&p.Job, "url"):
				first = textField("url", collapsed(p.Job.Text))
			}
			return []job.Field{first,
				intField("retry", p, "retry", 30),
				intField("retry_wait", p, "retry-wait", 1),
				flagField("insecure", p, "insecure")}
		},
		Check: checkWait,
	}}
}

// checkedWait is what WAIT would do: nothing but wait, or run a command that it
// knows nothing of.
func checkedWait(_ context.Context, _ *Env, j *job.Job) Checked {
	if isSet(j, "cmd") {
		return Checked{Verdict: CannotTell, Info: "what the command does shows only when it is done"}
	}
	return Checked{Verdict: Unchanged, Info: "it would only wait"}
}

func checkWait(p *job.Parsed) string {
	j := &p.Job
	switch {
	case isSet(j, "seconds") && j.Text != "":
		return "--seconds takes no text beside it"
	case isSet(j, "seconds") && intOption(j, "seconds", 0) < 1:
		return "--seconds is a number from 1"
	case !isSet(j, "seconds") && j.Text == "":
		return "an address or a command is missing"
	case intOption(j, "retry", 30) < 0 || intOption(j, "retry-wait", 1) < 0:
		return "--retry and --retry-wait are not negative"
	}
	return ""
}

// waitJob executes WAIT. Every option but --seconds is a probe that is repeated.
func waitJob(ctx context.Context, env *Env, j *job.Job) Result {
	if isSet(j, "seconds") {
		if err := pause(ctx, intOption(j, "seconds", 0)); err != nil {
			return failed("%v", err)
		}
		return succeeded(false, "")
	}
	text, err := env.render(ctx, j.Text)
	if err != nil {
		return unrendered(err)
	}
	if text == "" {
		return failed("the address or command is empty")
	}
	probe := func() Result { return env.attempts(ctx, text, 1, nil) }
	if isSet(j, "url") {
		client := httpClient(isSet(j, "insecure"))
		defer client.CloseIdleConnections()
		probe = func() Result { return fetch(ctx, client, text) }
	}
	tries := intOption(j, "retry", 30) + 1
	var stdout, stderr []wire.Output
	var res Result
	for n := 1; n <= tries; n++ {
		res = probe()
		stdout, stderr = lastOutputs(stdout, res.Stdout), lastOutputs(stderr, res.Stderr)
		if res.Outcome == Succeeded || ctx.Err() != nil {
			break
		}
		res.Info = fmt.Sprintf("%s, after %d tries", res.Info, n)
		if err := pause(ctx, intOption(j, "retry-wait", 1)); err != nil {
			break
		}
	}
	res.Changed = false
	if isSet(j, "cmd") {
		res.Stdout, res.Stderr = joinOutputs(stdout...), joinOutputs(stderr...)
	}
	return res
}

// outputsMax is how many of the last tries' outputs are reported.
const outputsMax = 50

func lastOutputs(all []wire.Output, out wire.Output) []wire.Output {
	if len(all) == outputsMax {
		all = all[1:]
	}
	return append(all, out)
}

// secondsMax is the longest pause, some thirty years: more does not fit a duration.
const secondsMax = 1_000_000_000

// pause waits, unless the job's time ends before.
func pause(ctx context.Context, seconds int) error {
	timer := time.NewTimer(time.Duration(min(seconds, secondsMax)) * time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func httpClient(insecure bool) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: insecure} // only where the file says --insecure
	return &http.Client{Transport: transport}
}

// fetch asks an address once.
func fetch(ctx context.Context, client *http.Client, address string) Result {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return failed("%v", err)
	}
	response, err := client.Do(request)
	if err != nil {
		res := failed("%v", err)
		res.ran = true
		return res
	}
	defer response.Body.Close()
	text := fmt.Sprintf("Response code was %d", response.StatusCode)
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		res := failed("%s", text)
		res.Stdout, res.ran = output(text), true
		return res
	}
	return succeeded(false, text)
}
