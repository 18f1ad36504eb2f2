package verb

import (
	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

// contributedVerbs are those that Directord shipped as user components.
func contributedVerbs() []*Verb {
	return []*Verb{facterVerb(), queryWaitVerb(), jobWaitVerb(), rebootVerb(),
		podVerb(), containerImageVerb(), containerConfigDataVerb(), secontextVerb()}
}

// optional is the option's text, or None.
func optional(p *job.Parsed, option string) pyvalue.Value {
	if text, ok := p.Job.Option(option); ok {
		return pyvalue.Str(text)
	}
	return pyvalue.None
}

// given are the words of a tool's option where the job has its own.
func given(j *job.Job, option, tools string) []string {
	if text, ok := j.Option(option); ok {
		return []string{tools, text}
	}
	return nil
}
