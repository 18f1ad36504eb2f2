package verb

import (
	"context"
	"strings"

	"quorate/internal/job"
)

func splitOwner(owner string) (user, group string) {
	user, group, _ = strings.Cut(owner, ":")
	return user, group
}

func failed(info string) Result { return Result{Outcome: Failed, Info: info} }

// Execute runs a job on this host.
func Execute(ctx context.Context, env *Env, j *job.Job) Result { return failed("not yet") }

func runJob(ctx context.Context, env *Env, j *job.Job) Result        { return failed("") }
func argJob(ctx context.Context, env *Env, j *job.Job) Result        { return failed("") }
func addJob(ctx context.Context, env *Env, j *job.Job) Result        { return failed("") }
func workdirJob(ctx context.Context, env *Env, j *job.Job) Result    { return failed("") }
func cachefileJob(ctx context.Context, env *Env, j *job.Job) Result  { return failed("") }
func cacheevictJob(ctx context.Context, env *Env, j *job.Job) Result { return failed("") }
func dnfJob(ctx context.Context, env *Env, j *job.Job) Result        { return failed("") }
func serviceJob(ctx context.Context, env *Env, j *job.Job) Result    { return failed("") }
func waitJob(ctx context.Context, env *Env, j *job.Job) Result       { return failed("") }
func echoJob(ctx context.Context, env *Env, j *job.Job) Result       { return failed("") }
