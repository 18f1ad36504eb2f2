package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/planner"
)

const (
	// fetchTimeout bounds how long something waits for a blob that is not here.
	fetchTimeout = 30 * time.Second
	// holdBytesPerSecond bounds what the background looks through and fetches.
	holdBytesPerSecond = 64 << 20
	holdRetryMin       = time.Second
	holdRetryMax       = time.Minute
)

// OpenBlob opens a blob whose content is sound. One that is missing or damaged
// here is fetched from another orchestrator first. The error wraps
// fs.ErrNotExist where none has it.
func (o *Orchestrator) OpenBlob(ctx context.Context, digest string) (*os.File, error) {
	file, err := o.cfg.Blobs.OpenChecked(digest)
	if err == nil {
		return file, nil
	}
	if err := o.fetch(ctx, digest, err); err != nil {
		return nil, err
	}
	return o.cfg.Blobs.OpenChecked(digest)
}

// fetch gets a blob that could not be used because of the cause, which is the
// error where nobody can be asked.
func (o *Orchestrator) fetch(ctx context.Context, digest string, cause error) error {
	var damaged *eventlog.BlobError
	if o.cfg.Peers == nil || !errors.Is(cause, fs.ErrNotExist) && !errors.As(cause, &damaged) {
		return cause
	}
	if damaged != nil {
		o.logger.Error("a blob is damaged here; fetching it from another orchestrator", "digest", digest, "error", cause)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	return o.cfg.Peers.Fetch(ctx, digest)
}

// hold gets the blobs of the plans on record that this orchestrator lacks, the
// newest plan first, and looks once through those that it has.
func (o *Orchestrator) hold(ctx context.Context) error {
	if o.cfg.Peers == nil {
		return nil
	}
	if err := o.CaughtUp(ctx); err != nil {
		return nil
	}
	held, told := map[string]bool{}, map[string]bool{}
	pause := holdRetryMin
	for {
		_, news := o.recorded.watch()
		failed := false
		for _, id := range o.plansNotIn(held) {
			err := o.holdPlan(ctx, id)
			if ctx.Err() != nil {
				return nil
			}
			if err == nil {
				held[id] = true
				continue
			}
			failed = true
			if !told[id] {
				told[id] = true
				o.logger.Warn("blobs of a plan are missing here; trying again", "plan", id, "error", err)
			}
		}
		if !failed {
			pause = holdRetryMin
			select {
			case <-ctx.Done():
				return nil
			case <-news:
			}
			continue
		}
		if !wait(ctx, pause, news) {
			return nil
		}
		pause = min(2*pause, holdRetryMax)
	}
}

// plansNotIn returns the plans on record that are not held, newest first.
func (o *Orchestrator) plansNotIn(held map[string]bool) (ids []string) {
	o.View(func(s *engine.State) {
		for id := range s.Plans {
			if !held[id] {
				ids = append(ids, id)
			}
		}
		slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(s.Plans[b].Index, s.Plans[a].Index) })
	})
	return ids
}

func (o *Orchestrator) holdPlan(ctx context.Context, id string) error {
	if err := o.holdBlob(ctx, id); err != nil {
		return err
	}
	data, err := o.cfg.Blobs.Get(id)
	if err != nil {
		return err
	}
	plan, err := planner.Decode(data)
	if err != nil {
		return fmt.Errorf("plan %.12s: %w", id, err)
	}
	var failed []error
	for _, b := range blobsOf(plan) {
		if err := o.holdBlob(ctx, b.digest); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func (o *Orchestrator) holdBlob(ctx context.Context, digest string) error {
	file, err := o.OpenBlob(ctx, digest)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	// The next one waits for as long as this one would take at the bounded rate.
	if !wait(ctx, time.Duration(info.Size())*time.Second/holdBytesPerSecond, nil) {
		return ctx.Err()
	}
	return nil
}

// A planBlob is a blob that a plan cannot do without.
type planBlob struct {
	name, digest string
}

// blobsOf returns the inputs and the shipped files of a plan, each blob once.
func blobsOf(plan *planner.Plan) (blobs []planBlob) {
	seen := map[string]bool{}
	add := func(name, digest string) {
		if !seen[digest] {
			blobs = append(blobs, planBlob{name, digest})
		}
		seen[digest] = true
	}
	for i := range plan.Inputs {
		add(plan.Inputs[i].Name, plan.Inputs[i].Digest)
	}
	for t := range plan.Tasks {
		for j := range plan.Tasks[t].Jobs {
			for _, file := range plan.Tasks[t].Jobs[j].Spec.Files {
				add(file.Name, file.Digest)
			}
		}
	}
	return blobs
}
