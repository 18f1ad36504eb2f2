package verb

import (
	"context"
	"errors"
	"sync"
	"time"

	"quorate/internal/job"
)

// An allowance is the time that a job has. It stands still while the job waits for
// content: without a link that takes as long as it takes, and is no fault of the job.
type allowance struct {
	timer *time.Timer

	mu    sync.Mutex
	left  time.Duration
	since time.Time // when it last began to run
	waits int
}

// limit bounds the time of a job. The returned function is to be called when it is over.
func (env *Env) limit(ctx context.Context, j *job.Job) (limited context.Context, over func()) {
	if j.TimeoutSeconds <= 0 {
		return ctx, func() {}
	}
	limited, cancel := context.WithCancelCause(ctx)
	a := &allowance{left: time.Duration(j.TimeoutSeconds) * time.Second, since: time.Now()}
	a.timer = time.AfterFunc(a.left, func() { cancel(errTimeout) })
	if fetch := env.Blob; fetch != nil {
		env.Blob = func(ctx context.Context, digest string) (string, error) {
			a.hold()
			defer a.resume()
			return fetch(ctx, digest)
		}
	}
	return limited, func() {
		a.timer.Stop()
		cancel(nil)
	}
}

func (a *allowance) hold() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waits++; a.waits == 1 && a.timer.Stop() {
		a.left -= time.Since(a.since)
	}
}

func (a *allowance) resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waits--; a.waits == 0 {
		a.since = time.Now()
		a.timer.Reset(max(a.left, 0))
	}
}

// timeUp returns what a context's end is for a job: that of a deadline where its time was
// up, and err otherwise.
func timeUp(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), errTimeout) {
		return context.DeadlineExceeded
	}
	return err
}
