package verb

import "quorate/internal/job"

func serviceVerb() *Verb {
	return &Verb{Run: serviceJob, Decl: job.Declaration{
		Verb:       "SERVICE",
		Summary:    "Change the state of systemd units.",
		Text:       "one or more UNITS",
		Positional: job.Words,
		WordsMin:   1,
		Options: []job.OptionDecl{
			{Name: "reloaded", Kind: job.Flag, Help: "reload the units"},
			{Name: "restarted", Kind: job.Flag, Help: "restart the units"},
			{Name: "stopped", Kind: job.Flag, Help: "stop the units"},
			{Name: "daemon-reload", Kind: job.Flag, Help: "let systemd read its files first"},
			{Name: "enable", Kind: job.Flag, Help: "start at boot, and now"},
			{Name: "disable", Kind: job.Flag, Help: "do not start at boot"},
			{Name: "mask", Kind: job.Flag, Help: "make the units impossible to start"},
			{Name: "unmask", Kind: job.Flag, Help: "undo --mask"},
			{Name: "retry", Kind: job.Int, Default: "3", Help: "how often to try"},
		},
		Exclusive:  [][]string{{"reloaded", "restarted", "stopped"}, {"enable", "disable", "mask", "unmask"}},
		Cacheable:  true,
		Executable: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			var out []job.Field
			given := func(key string, options ...string) {
				for _, o := range options {
					if isSet(&p.Job, o) {
						out = append(out, textField(key, o))
					}
				}
			}
			given("state", "enable", "disable")
			given("mask", "mask", "unmask")
			return append(out,
				textField("running", runningState(&p.Job)),
				intField("retry", p, "retry", 3),
				wordsField("services", job.SplitWords(p.Job.Text)),
				flagField("daemon_reload", p, "daemon-reload"))
		},
	}}
}

// runningState is the systemctl verb that the options ask for, start by default.
func runningState(j *job.Job) string {
	for option, state := range map[string]string{"reloaded": "reload", "restarted": "restart", "stopped": "stop"} {
		if isSet(j, option) {
			return state
		}
	}
	return "start"
}
