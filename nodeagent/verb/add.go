package verb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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

// addJob executes ADD and COPY. It looks at the files themselves, so that a
// changed source, a deleted destination and a changed mode are all put right.
func addJob(ctx context.Context, env *Env, j *job.Job) Result {
	paths, err := job.SplitPaths(j.Text)
	if err != nil || len(paths) != 2 {
		return failed("%s needs a source and a destination", j.Verb)
	}
	to, err := env.render(ctx, paths[1])
	if err != nil {
		return unrendered(err)
	}
	switch {
	case to == "":
		return failed("the destination is empty")
	case len(j.Files) == 0:
		return failed("the plan holds no file for %s", paths[0])
	case len(j.Files) > 1 && !strings.HasSuffix(to, "/"):
		return failed("%d files do not fit into %s: end the destination with a slash", len(j.Files), to)
	}
	want, err := ownershipOf(j)
	if err != nil {
		return failed("%v", err)
	}
	var lines strings.Builder
	changed := false
	for _, f := range j.Files {
		destination := env.path(to)
		if strings.HasSuffix(to, "/") {
			destination = filepath.Join(destination, filepath.Base(f.Name))
		}
		digest, different, err := env.place(ctx, f, destination, want, isSet(j, "blueprint"))
		changed = changed || different
		if err != nil {
			res := failed("%s: %v", destination, err)
			res.Changed, res.Stdout, res.Stderr, res.ran = changed, output(lines.String()), output(err.Error()), true
			return res
		}
		fmt.Fprintf(&lines, "%s  %s\n", digest, destination)
	}
	return succeeded(changed, lines.String())
}

// place puts one file on the host.
func (env *Env) place(ctx context.Context, f job.File, destination string, want owner, blueprint bool) (digest string, changed bool, err error) {
	target, err := followed(destination)
	if err != nil {
		return "", false, err
	}
	source, err := env.Blob(ctx, f.Digest)
	if err != nil {
		return "", false, fmt.Errorf("content %s: %w", f.Digest, err)
	}
	content := content{path: source, digest: f.Digest, size: f.Size}
	if blueprint {
		if content, err = env.blueprint(ctx, content); err != nil {
			return "", false, err
		}
	}
	same, err := content.isIn(ctx, target)
	if err != nil {
		return "", false, err
	}
	if same {
		changed, err = want.apply(target)
		return content.digest, changed, err
	}
	err = content.write(ctx, target, want)
	return content.digest, err == nil, err
}

// followed resolves the destination where it is a link, so that the file it leads
// to is replaced and not the link. It must not be a directory.
func followed(path string) (string, error) {
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&os.ModeSymlink != 0 {
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return "", fmt.Errorf("the destination is a link that leads nowhere: %w", err)
		}
		info, err = os.Stat(path)
	}
	switch {
	case err == nil && info.IsDir():
		return "", fmt.Errorf("the destination is a directory: end it with a slash to put the file inside")
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("the destination is not a regular file")
	case err == nil || os.IsNotExist(err):
		return path, nil
	}
	return "", err
}
