package verb

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"quorate/internal/job"
)

// TestContentTakesNoTime: a job has all of its time for itself, however long it waits
// for content, and no more than that.
func TestContentTakesNoTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		env := &Env{Blob: func(ctx context.Context, _ string) (string, error) {
			select {
			case <-time.After(24 * time.Hour):
				return "path", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}}
		ctx, over := env.limit(t.Context(), &job.Job{TimeoutSeconds: 10})
		defer over()
		for range 2 {
			time.Sleep(4 * time.Second)
			if path, err := env.Blob(ctx, "digest"); path != "path" || err != nil {
				t.Fatalf("content %q, %v", path, err)
			}
		}
		time.Sleep(time.Second)
		if err := ctx.Err(); err != nil {
			t.Fatalf("after 9 of its 10 s: %v", err)
		}
		time.Sleep(2 * time.Second)
		if err := timeUp(ctx, ctx.Err()); !errors.Is(context.Cause(ctx), errTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after 11 of its 10 s: %v", err)
		}
	})
}
