package verb

import (
	"context"
	"fmt"

	"quorate/internal/job"
)

func cacheevictVerb() *Verb {
	d := oneWord("CACHEEVICT", "one TAG", "cacheevict",
		"Forget remembered results and values: all, jobs, parents, query, args, envs or a fingerprint.",
		"CACHEEVICT: jobs")
	d.Memory = true
	return &Verb{Run: cacheevictJob, memory: true, Check: rehearsed(cacheevictJob), Decl: d}
}

func cacheevictJob(ctx context.Context, env *Env, j *job.Job) Result {
	tag, err := env.render(ctx, j.Text)
	if err != nil {
		return unrendered(err)
	}
	n, err := env.Facts.Evict(tag)
	if err != nil {
		return failed("%v", err)
	}
	if tag == "all" {
		return succeeded(n > 0, "All cache has been cleared")
	}
	return succeeded(n > 0, fmt.Sprintf("Evicted %d items, tagged %s", n, tag))
}
