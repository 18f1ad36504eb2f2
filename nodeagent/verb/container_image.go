package verb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"quorate/internal/job"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/wire"
)

// imageActions returns the options of CONTAINER_IMAGE of which each is an action.
func imageActions() []string { return []string{"pull", "push", "tag", "list", "inspect"} }

func containerImageVerb() *Verb {
	actions := imageActions()
	var options []job.OptionDecl
	for _, a := range actions {
		options = append(options, job.OptionDecl{Name: a, Kind: job.Flag, Help: imageHelp(a)})
	}
	options = append(options,
		job.OptionDecl{Name: "no-tlsverify", Kind: job.Flag, Help: "do not verify the registry's certificate"}, socketPath())
	return &Verb{Run: containerImageJob, Check: containerImageCheck, templated: true, Decl: job.Declaration{
		Verb: "CONTAINER_IMAGE", Summary: "Manage container images with podman.", Text: "IMAGES", Example: "CONTAINER_IMAGE: --pull registry.example/web",
		Positional: job.Words, Options: options, OneOf: [][]string{actions}, Cacheable: true, Idempotent: true, Executable: true, HasCheckMode: true,
		FingerprintKeys: func(p *job.Parsed) []job.Field {
			return []job.Field{wordsField("images", job.SplitWords(p.Job.Text)), socketField(p),
				field("tlsverify", pyvalue.Bool(!isSet(&p.Job, "no-tlsverify"))), textField("action", imageAction(&p.Job))}
		},
		Check: checkImages,
	}}
}

func imageHelp(action string) string {
	return map[string]string{
		"pull": "fetch the images from their registry", "push": "send the images to their registry",
		"tag": "give the first image the second name too", "list": "list the images of the host",
		"inspect": "describe the images",
	}[action]
}

func imageAction(j *job.Job) string {
	for _, a := range imageActions() {
		if isSet(j, a) {
			return a
		}
	}
	return ""
}

func checkImages(p *job.Parsed) string {
	n := len(job.SplitWords(p.Job.Text))
	switch {
	case isSet(&p.Job, "list") && n > 0:
		return "--list takes no images"
	case isSet(&p.Job, "tag") && n != 2:
		return "--tag takes a source and a destination"
	case !isSet(&p.Job, "list") && n == 0:
		return "images are missing"
	}
	return ""
}

// containerImageJob executes CONTAINER_IMAGE: image by image, up to the first that
// fails. The text is rendered already.
func containerImageJob(ctx context.Context, env *Env, j *job.Job) Result {
	if err := requireTool("CONTAINER_IMAGE", "podman"); err != nil {
		return failed("%v", err)
	}
	images, action := strings.Fields(j.Text), imageAction(j)
	var stdout, stderr []wire.Output
	var res Result
	before := env.imageIDs(ctx, j, action, images)
	for _, words := range imageCommands(j, action, images) {
		res = env.attempts(ctx, quoteWords(append(podman(j), words...)), 1, nil)
		stdout, stderr = append(stdout, res.Stdout), append(stderr, res.Stderr)
		if res.Outcome != Succeeded {
			res.Info = fmt.Sprintf("podman image %s %s: %s", action, words[len(words)-1], res.Info)
			break
		}
	}
	switch {
	case action == "list" || action == "inspect":
		res.Changed = false
	case before != nil && res.Outcome == Succeeded:
		res.Changed = !slices.Equal(before, env.imageIDs(ctx, j, action, images))
	}
	res.Stdout, res.Stderr = joinOutputs(stdout...), joinOutputs(stderr...)
	return res
}

// imageIDs are the ids of the images that an action may change on this host, or nil
// where one of them is not there or podman cannot tell.
func (env *Env) imageIDs(ctx context.Context, j *job.Job, action string, images []string) []string {
	if action != "pull" && action != "tag" {
		return nil
	}
	words := append(podman(j), "image", "inspect", "--format", "{{.Id}}")
	text, exited, err := env.ask(ctx, append(words, images...)...)
	ids := strings.Fields(text)
	switch {
	case err != nil || exited.Code != 0 || len(ids) != len(images):
		return nil
	case action == "tag" && ids[0] != ids[1]:
		return nil
	}
	return ids
}

// imageCommands are what podman is to do, one after the other.
func imageCommands(j *job.Job, action string, images []string) [][]string {
	words := []string{"image", action}
	switch action {
	case "list":
		return [][]string{append(words, "--format", "json")}
	case "inspect", "tag":
		return [][]string{append(words, images...)}
	}
	if isSet(j, "no-tlsverify") {
		words = append(words, "--tls-verify=false")
	}
	var out [][]string
	for _, image := range images {
		out = append(out, append(words[:len(words):len(words)], image))
	}
	return out
}

// containerImageCheck asks podman which of the images are on the host. Whether a
// registry has newer ones of those shows only when they are pulled.
func containerImageCheck(ctx context.Context, env *Env, j *job.Job) Checked {
	if err := requireTool("CONTAINER_IMAGE", "podman"); err != nil {
		return wouldFail("%v", err)
	}
	images, action := strings.Fields(j.Text), imageAction(j)
	ids := make([]string, len(images))
	for i, image := range images {
		var err error
		if ids[i], err = env.imageID(ctx, j, image); err != nil {
			return Checked{Verdict: CannotTell, Info: err.Error()}
		}
	}
	missing := slices.Index(ids, "")
	switch {
	case action == "list" || action == "inspect" && missing < 0:
		return Checked{Verdict: Unchanged}
	case action == "pull":
		var lines []string
		for i, image := range images {
			if ids[i] == "" {
				lines = append(lines, "pull "+image)
			}
		}
		if len(lines) == 0 {
			return Checked{Verdict: CannotTell, Info: "whether a registry has newer images shows only when they are pulled"}
		}
		return changes(lines, "")
	case action == "tag" && ids[0] != "":
		if ids[0] == ids[1] {
			return Checked{Verdict: Unchanged}
		}
		return changes([]string{"tag " + images[0] + " as " + images[1]}, "")
	case missing >= 0:
		return wouldFail("there is no image %s on this host", images[missing])
	}
	return changes([]string{action + " " + strings.Join(images, " ")}, "")
}

// imageID is the id of an image, or empty where it is not on the host.
func (env *Env) imageID(ctx context.Context, j *job.Job, image string) (string, error) {
	_, exited, err := env.ask(ctx, append(podman(j), "image", "exists", image)...)
	if err == nil && exited.Code == 1 {
		return "", nil
	}
	text := ""
	if err == nil && exited.Code == 0 {
		text, exited, err = env.ask(ctx, append(podman(j), "image", "inspect", "--format", "{{.Id}}", image)...)
	}
	if err == nil && exited.Code != 0 {
		err = refused("podman", exited)
	}
	return strings.TrimSpace(text), err
}
