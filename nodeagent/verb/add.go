package verb

import (
	"strconv"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
)

// addVerb is ADD, and COPY, which is the same.
func addVerb(name string) *Verb {
	return &Verb{Run: addJob, Decl: job.Declaration{
		Verb:       name,
		Summary:    "Put files of the operator's machine on the host.",
		Text:       "SOURCE DESTINATION",
		Positional: job.TwoPaths,
		Options: append(ownership(),
			job.OptionDecl{Name: "blueprint", Kind: job.Flag, Help: "render the files as templates"}),
		ShipsFiles: true,
		Cacheable:  true,
		Idempotent: true,
		Executable: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			out := ownershipFields(&p.Job)
			paths, _ := job.SplitPaths(p.Job.Text)
			from := p.Paths
			if len(from) == 0 {
				from = []string{p.Source}
			}
			if len(paths) == 2 {
				out = append(out, textField("to", paths[1]))
			}
			return append(out, wordsField("from", from), flagField("blueprint", p, "blueprint"))
		},
		Check: checkOwnership,
	}}
}

func ownership() []job.OptionDecl {
	return []job.OptionDecl{
		{Name: "chown", Kind: job.String, Help: "USER[:GROUP], by name or number"},
		{Name: "chmod", Kind: job.Mode, Help: "permission bits"},
	}
}

func ownershipFields(j *job.Job) []job.Field {
	var out []job.Field
	if owner, ok := j.Option("chown"); ok {
		if user, group := splitOwner(owner); user != "" {
			out = append(out, textField("user", user))
			if group != "" {
				out = append(out, textField("group", group))
			}
		}
	}
	if mode, ok := j.Option("chmod"); ok {
		if n, err := strconv.ParseUint(mode, 8, 32); err == nil {
			out = append(out, field("mode", pyvalue.Int(n)))
		}
	}
	return out
}

func checkOwnership(p *job.Parsed) string {
	owner, ok := p.Job.Option("chown")
	if !ok {
		return ""
	}
	if user, group := splitOwner(owner); user == "" && group == "" {
		return "--chown needs USER[:GROUP]"
	}
	return ""
}
