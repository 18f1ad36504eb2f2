package verb

import (
	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

// queryVerb gathers an argument of all hosts. It is planned, not executable.
func queryVerb() *Verb {
	d := oneWord("QUERY", "one KEY", "query", "Gather an argument of all hosts.", "QUERY: address")
	d.Executable, d.HasCheckMode = false, false
	d.Options = []job.OptionDecl{{Name: "no-wait", Kind: job.Flag, Help: "do not wait for the data"}}
	d.FingerprintKeys = func(p *job.Parsed) []job.Field {
		return []job.Field{textField("query", p.Job.Text), flagField("no_wait", p, "no-wait")}
	}
	return &Verb{Decl: d}
}

// queuesentinelVerb empties the queues of an agent. It is planned, not executable.
func queuesentinelVerb() *Verb {
	d := oneWord("QUEUESENTINEL", "one WORD", "", "Drop the jobs that wait on the host.", "QUEUESENTINEL: now")
	d.Executable, d.HasCheckMode = false, false
	d.FingerprintKeys = func(*job.Parsed) []job.Field {
		return []job.Field{field("parent_async_bypass", pyvalue.Bool(true))}
	}
	return &Verb{Decl: d}
}
