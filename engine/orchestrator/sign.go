package orchestrator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/checkpoint"
)

const (
	// checkpointRecords is how many records are signed at the latest, and
	// checkpointEvery how long after something new.
	checkpointRecords = 4096
	checkpointEvery   = time.Minute
	// checkpointPause is between the ends of runs that are signed: those of many short
	// ones are signed together.
	checkpointPause = time.Second
	// signTries bounds how often a checkpoint is asked for once more where another one
	// came first.
	signTries = 4
)

// keepSigning puts checkpoints on record while this replica leads.
func (o *Orchestrator) keepSigning(ctx context.Context) {
	var last, noticed time.Time
	for {
		_, news := o.notary.tidings.watch()
		want := o.unsigned()
		now := time.Now()
		pause := checkpointEvery
		switch {
		case want == nothingNew:
			noticed = time.Time{}
		case noticed.IsZero():
			noticed = now
		}
		switch want {
		case someNews:
			pause = noticed.Add(checkpointEvery).Sub(now)
		case runsEnded:
			pause = last.Add(checkpointPause).Sub(now)
		case dueNow:
			pause = 0
		}
		if want == nothingNew || pause > 0 {
			if !wait(ctx, pause, news) {
				return
			}
			continue
		}
		last, noticed = now, time.Time{}
		if err := o.sign(ctx); err != nil && !o.pause(ctx, "signing the log", err) {
			return
		}
	}
}

// How much there is to sign.
type unsigned uint8

const (
	nothingNew unsigned = iota
	someNews
	runsEnded
	dueNow
)

// unsigned says how much there is to sign. A log that grew by nothing but
// checkpoints has nothing new, or an idle cluster's would grow for ever.
func (o *Orchestrator) unsigned() (want unsigned) {
	o.View(func(s *engine.State) {
		size := s.Checkpoint.Size
		switch {
		case s.ClusterID == "" || o.notary.news <= size:
		case s.Index-size >= checkpointRecords || s.RecoveredAt > size:
			want = dueNow
		case o.notary.ended > size:
			want = runsEnded
		default:
			want = someNews
		}
	})
	return want
}

// sign puts a checkpoint of what is folded here on record. Another one may be as
// new by then: that is as good.
func (o *Orchestrator) sign(ctx context.Context) error {
	c := &checkpoint.Checkpoint{Time: o.cfg.Now().UTC()}
	o.View(func(s *engine.State) {
		c.ClusterID, c.Size, c.Generation = s.ClusterID, s.Index, s.Generation
		recent := s.Recoveries[max(0, len(s.Recoveries)-checkpoint.RecoveriesMax):]
		for _, r := range slices.Clone(recent) {
			c.Recoveries = append(c.Recoveries, checkpoint.Recovery{Index: r.Index, Generation: r.Generation})
		}
	})
	own, err := o.survey(ctx, c.Size)
	if err != nil {
		return err
	}
	c.Root, c.Head = own.Root, own.Head
	signed, err := c.Sign(o.notary.signer)
	if err != nil {
		return err
	}
	_, _, err = o.Propose(ctx, &eventlog.CheckpointSigned{Size: c.Size, Note: signed})
	return err
}

// SignCheckpoint returns a checkpoint that covers everything that was committed
// before the call, and puts one on record where there is none. Errors are of code
// [Unavailable].
func (o *Orchestrator) SignCheckpoint(ctx context.Context) (*Signed, error) {
	if err := o.Barrier(ctx); err != nil {
		return nil, err
	}
	var upTo uint64
	o.View(func(*engine.State) { upTo = o.notary.news })
	for range signTries {
		now, err := o.CheckpointFolded(ctx)
		if err != nil {
			return nil, proposeError(err)
		}
		if now != nil && now.Size >= upTo {
			return now, nil
		}
		if err := o.sign(ctx); err != nil {
			return nil, err
		}
	}
	return nil, &Error{Code: Unavailable, Message: fmt.Sprintf("no checkpoint covers record %d: others came first", upTo), Hint: "try again"}
}
