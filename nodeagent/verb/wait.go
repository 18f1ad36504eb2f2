package verb

import (
	"quorate/internal/job"
)

func waitVerb() *Verb {
	return &Verb{Run: waitJob, Decl: job.Declaration{
		Verb:       "WAIT",
		Summary:    "Wait for a time, an address that answers, or a command that succeeds.",
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
		OneOf:      [][]string{{"seconds", "url", "cmd"}},
		Idempotent: true,
		Executable: true,
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
