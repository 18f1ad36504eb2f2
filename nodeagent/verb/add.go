package verb

import (
	"context"
	"errors"
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
	return &Verb{Run: addJob, Check: addCheck, Decl: job.Declaration{
		Verb:    name,
		Summary: "Put files of the operator's machine on the host.",
		Details: "The source is a path or a glob, beside the file that names it or in the folder of the command. " +
			"A destination that ends in a slash is a directory, which has to be there. " +
			"A file is replaced in one step, keeps its owner and mode where no others are asked for, and is left alone where it is right.",
		Example:    name + ": --chmod 0640 --chown root:www nginx.conf /etc/nginx/nginx.conf",
		Text:       "SOURCE DESTINATION",
		Positional: job.TwoPaths,
		Options: append(ownership(),
			job.OptionDecl{Name: "blueprint", Kind: job.Flag, Help: "render the files as templates"}),
		ShipsFiles:   true,
		Idempotent:   true,
		Executable:   true,
		HasCheckMode: true,
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
	placements, want, err := env.placements(ctx, j)
	if err != nil {
		return unrendered(err)
	}
	var lines strings.Builder
	changed := false
	for _, p := range placements {
		destination := p.destination
		digest, different, err := env.place(ctx, p.file, destination, want, isSet(j, "blueprint"))
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

// A placement is a shipped file and the path it goes to.
type placement struct {
	file        job.File
	destination string
}

// placements resolves where the files of a job go.
func (env *Env) placements(ctx context.Context, j *job.Job) ([]placement, owner, error) {
	paths, err := job.SplitPaths(j.Text)
	if err != nil || len(paths) != 2 {
		return nil, owner{}, fmt.Errorf("%s needs a source and a destination", j.Verb)
	}
	to, err := env.render(ctx, paths[1])
	switch {
	case err != nil:
		return nil, owner{}, err
	case to == "":
		return nil, owner{}, errors.New("the destination is empty")
	case len(j.Files) == 0:
		return nil, owner{}, fmt.Errorf("the plan holds no file for %s", paths[0])
	case len(j.Files) > 1 && !strings.HasSuffix(to, "/"):
		return nil, owner{}, fmt.Errorf("%d files do not fit into %s: end the destination with a slash", len(j.Files), to)
	}
	want, err := env.ownership(ctx, j)
	var out []placement
	for _, f := range j.Files {
		destination := env.path(to)
		if strings.HasSuffix(to, "/") {
			destination = filepath.Join(destination, filepath.Base(f.Name))
		}
		out = append(out, placement{f, destination})
	}
	return out, want, err
}

// addCheck says which files ADD and COPY would write.
func addCheck(ctx context.Context, env *Env, j *job.Job) Checked {
	placements, want, err := env.placements(ctx, j)
	if err != nil {
		return wouldFail("%v", err)
	}
	var lines []string
	var diffs strings.Builder
	for _, p := range placements {
		c, err := env.content(ctx, p.file, isSet(j, "blueprint"))
		if err != nil {
			return wouldFail("%s: %v", p.destination, err)
		}
		line, diff, err := c.compared(ctx, p.destination, want)
		if err != nil {
			return wouldFail("%s: %v", p.destination, err)
		}
		if line != "" {
			lines = append(lines, line)
		}
		diffs.WriteString(diff)
	}
	return changes(lines, diffs.String())
}

// content is that of a shipped file, rendered where it is a template.
func (env *Env) content(ctx context.Context, f job.File, blueprint bool) (content, error) {
	source, err := env.Blob(ctx, f.Digest)
	if err != nil {
		return content{}, err // it names the content
	}
	c := content{path: source, digest: f.Digest, size: f.Size}
	if blueprint {
		return env.blueprint(ctx, c)
	}
	return c, nil
}

// place puts one file on the host.
func (env *Env) place(ctx context.Context, f job.File, destination string, want owner, blueprint bool) (digest string, changed bool, err error) {
	target, err := followed(destination)
	if err != nil {
		return "", false, err
	}
	content, err := env.content(ctx, f, blueprint)
	if err != nil {
		return "", false, err
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
