package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"quorate/engine"
	"quorate/eventlog"
)

// A Retention says what the log's live file keeps, in this orchestrator's directory.
// What is more moves to segment files: the oldest first, and only what is signed and of
// no run under way. Each bound counts by itself; one that is 0 is none.
type Retention struct {
	// Records is how many records stay.
	Records uint64
	// Bytes is what the file may use.
	Bytes int64
	// Age is how old a record becomes there.
	Age time.Duration
}

// An Archive is a [engine.Log] that can move old records to segment files.
type Archive interface {
	// Seal moves records up to an index, see [eventlog.Store.Seal].
	Seal(ctx context.Context, to uint64) (last uint64, err error)
	Sizes() (eventlog.Sizes, error)
}

// retainEvery is how often the bounds are looked at while nothing is signed.
const retainEvery = time.Minute

// Sizes returns what the log takes on this orchestrator's disk, and the run under way
// that keeps records in the live file which would have to leave it, or 0. The error
// wraps errors.ErrUnsupported where the log is none in files.
func (o *Orchestrator) Sizes() (z eventlog.Sizes, heldBy uint64, err error) {
	archive, ok := o.cfg.Log.(Archive)
	if !ok {
		return z, 0, fmt.Errorf("sizes of the log: %w", errors.ErrUnsupported)
	}
	if z, err = archive.Sizes(); err != nil {
		return z, 0, err
	}
	allowed, run := o.retired()
	if run == 0 || o.cfg.Retention == (Retention{}) {
		return z, 0, nil
	}
	wanted, err := o.surplus(context.Background(), z)
	if err != nil || wanted < allowed+eventlog.SegmentRecords {
		return z, 0, nil
	}
	return z, run, nil
}

// retired is engine.State.Retired, of what this replica compared with its own log.
func (o *Orchestrator) retired() (index, run uint64) {
	o.View(func(s *engine.State) { index, run = s.Retired() })
	signed := o.Checkpoint()
	if signed == nil {
		return 0, run
	}
	return min(index, signed.Size), run
}

// retain keeps the live file within its bounds. It is each replica's own affair: the
// log is the same wherever it lies.
func (o *Orchestrator) retain(ctx context.Context) error {
	archive, ok := o.cfg.Log.(Archive)
	if !ok || o.cfg.Retention == (Retention{}) || o.CaughtUp(ctx) != nil {
		return nil
	}
	for {
		news := o.CheckpointNews()
		err := o.sealSurplus(ctx, archive)
		switch {
		case ctx.Err() != nil || errors.Is(err, eventlog.ErrClosed):
			return nil
		case err != nil:
			o.logger.Warn("old records were not moved to segment files; trying again", "error", err)
			news = nil
		}
		if !wait(ctx, retainEvery, news) {
			return nil
		}
	}
}

// sealSurplus moves what is more than the bounds, a segment at a time and in at most
// half of the time.
func (o *Orchestrator) sealSurplus(ctx context.Context, archive Archive) error {
	for {
		z, err := archive.Sizes()
		if err != nil {
			return err
		}
		to, err := o.surplus(ctx, z)
		if err != nil {
			return err
		}
		allowed, _ := o.retired()
		to = min(to, allowed, z.Sealed+eventlog.SegmentRecords)
		if to <= z.Sealed {
			return nil
		}
		began := time.Now()
		last, err := archive.Seal(ctx, to)
		if last > z.Sealed {
			o.logger.Info("old records moved to a segment file", "from", z.Sealed+1, "to", last, "took", time.Since(began))
		}
		if err != nil || last == z.Sealed {
			return err
		}
		if !wait(ctx, time.Since(began), nil) {
			return ctx.Err()
		}
	}
}

// surplus returns the last record that is more than the bounds allow.
func (o *Orchestrator) surplus(ctx context.Context, z eventlog.Sizes) (to uint64, err error) {
	r, head := &o.cfg.Retention, z.Sealed+z.Live
	keep := func(records uint64) { to = max(to, head-min(head, records)) }
	if r.Records > 0 {
		keep(r.Records)
	}
	if used := z.LiveBytes - z.FreeBytes; r.Bytes > 0 && used > r.Bytes {
		keep(uint64(float64(z.Live) * float64(r.Bytes) / float64(used)))
	}
	if r.Age > 0 {
		old, err := o.recordedBefore(ctx, o.Now().Add(-r.Age).UnixNano(), z.Sealed, head)
		if err != nil {
			return 0, err
		}
		to = max(to, old)
	}
	return to, nil
}

// recordedBefore returns the last record from before a time, of those between two.
func (o *Orchestrator) recordedBefore(ctx context.Context, nanos int64, from, to uint64) (uint64, error) {
	var failed error
	n := sort.Search(int(to-from), func(i int) bool {
		page, err := o.cfg.Log.Read(ctx, from+uint64(i)+1, 1)
		if err != nil || len(page) == 0 {
			failed = errors.Join(failed, err)
			return true
		}
		return page[0].Time >= nanos
	})
	return from + uint64(n), failed
}
