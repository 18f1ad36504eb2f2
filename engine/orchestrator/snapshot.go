package orchestrator

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"quorate/engine"
	"quorate/engine/snapshot"
	"quorate/eventlog"
)

const (
	// StatesEvery is how many records apart snapshots of the state are: as many are
	// folded in a tenth of a second.
	StatesEvery = 100_000
	// statesSpareBytes is what has to be free on the disk, beside what the newest
	// snapshot takes, for another one to be written: the log needs it more.
	statesSpareBytes = 512 << 20
)

// readPage is how many records are read through at once.
const readPage = 1024

// readThrough reads the records up to an index that a snapshot spares the fold: the
// log checks each against its chain, so that damage to old ones is noticed at the
// start, as it is where all are folded.
func (o *Orchestrator) readThrough(to uint64) error {
	for from := uint64(1); from <= to; {
		records, err := o.cfg.Log.Read(context.Background(), from, int(min(readPage, to-from+1)))
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return fmt.Errorf("the log ends before record %d", from)
		}
		from += uint64(len(records))
	}
	return nil
}

// adopt takes the newest snapshot that fits the log for the state, so that the log
// need not be folded from its beginning. One that does not fit is removed: it is of
// a log that was replaced, or damaged.
func (o *Orchestrator) adopt() {
	if o.cfg.States == "" {
		return
	}
	dir := snapshot.At(o.cfg.States)
	if err := dir.Clean(); err != nil {
		o.logger.Warn("what is left of a snapshot was not removed", "error", err)
	}
	fits := o.fits(context.Background())
	drop := func(index uint64, err error) {
		o.logger.Warn("a snapshot of the state is of no use; the log is folded instead", "index", index, "error", err)
		if err := dir.Remove(index); err != nil {
			o.logger.Warn("it was not removed", "index", index, "error", err)
		}
	}
	began := time.Now()
	// Also those behind the log's end are looked at, and dropped.
	found, err := dir.Newest(math.MaxUint64, func(p snapshot.Place) bool { return p.Index <= o.headAtUp && fits(p) }, drop)
	if err != nil {
		o.logger.Warn("snapshots of the state cannot be read; the log is folded instead", "error", err)
	}
	if found == nil {
		return
	}
	s := found.State
	if s.ClusterID != "" && s.ClusterID != o.cfg.CA.ClusterID() {
		return // the log says so as well, and the fold tells what is wrong
	}
	if err := o.readThrough(s.Index); err != nil {
		o.logger.Warn("the records behind a snapshot of the state cannot be read; the log is folded instead", "error", err)
		return
	}
	o.state, o.voids = s, found.Voids
	o.folded.publish(s.Index)
	o.membership.publish(s.Index)
	o.recorded.publish(s.Index)
	o.heedAdopted(s)
	if me := o.self(s); me != nil && me.Removed != "" {
		close(o.dismissed)
	}
	o.logger.Info("took the state from a snapshot", "index", s.Index, "head", o.headAtUp, "took", time.Since(began))
}

// heedAdopted tells the notary what it would know, had it seen the records up to a
// state: those that no checkpoint covers are looked at again.
func (o *Orchestrator) heedAdopted(s *engine.State) {
	n := o.notary
	if s.Index-s.Checkpoint.Size > checkpointRecords {
		n.news, n.ended = s.Index, s.Index // a checkpoint is due, whatever they are
		return
	}
	for next := s.Checkpoint.Size + 1; next <= s.Index; {
		records, err := o.cfg.Log.Read(context.Background(), next, int(s.Index-next)+1)
		if err != nil || len(records) == 0 {
			n.news = s.Index
			return
		}
		for _, r := range records {
			switch r.Kind {
			case eventlog.KindStateHashed, eventlog.KindCheckpointSigned:
				continue
			case eventlog.KindRunEnded:
				n.ended = r.Index
			}
			n.news = r.Index
		}
		next += uint64(len(records))
	}
}

// fits returns whether a snapshot is of this log: the chain's hash at its index says
// so of all records up to there.
func (o *Orchestrator) fits(ctx context.Context) func(snapshot.Place) bool {
	return func(p snapshot.Place) bool {
		if p.Index == 0 {
			return false
		}
		records, err := o.cfg.Log.Read(ctx, p.Index, 1)
		return err == nil && len(records) == 1 && records[0].Index == p.Index && records[0].Hash == p.Head
	}
}

// keepStates writes a snapshot every so many records. It takes none of the state
// that is worked with, which would have to stand still meanwhile, but folds the
// records behind the snapshot before on the side: the log waits for nothing.
func (o *Orchestrator) keepStates(ctx context.Context) error {
	if o.cfg.States == "" {
		return nil
	}
	every := o.cfg.StatesEvery
	if every == 0 {
		every = StatesEvery
	}
	if o.CaughtUp(ctx) != nil {
		return nil
	}
	side := &sideFold{o: o, dir: snapshot.At(o.cfg.States)}
	for {
		due, err := side.last()
		due = due/every*every + every
		if err == nil && o.folded.wait(ctx, due) != nil {
			return nil
		}
		for folded, _ := o.Watch(); err == nil && due <= folded; due += every {
			err = side.save(ctx, due)
		}
		side.now = nil
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			o.logger.Warn("no snapshot of the state was written; the next start may take longer", "index", due, "error", err)
			wait(ctx, statesRetry, nil)
		}
	}
}

// statesRetry is how long nothing is tried again after a snapshot failed.
const statesRetry = time.Minute

// A sideFold folds the log beside the state that is worked with.
type sideFold struct {
	o   *Orchestrator
	dir snapshot.Dir
	now *snapshot.Snapshot // nil between snapshots: it takes as much memory as the state
}

// last returns the index of the newest snapshot.
func (f *sideFold) last() (uint64, error) {
	all, err := f.dir.List()
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1], nil
}

// save folds up to an index and writes a snapshot there.
func (f *sideFold) save(ctx context.Context, index uint64) error {
	if f.now == nil {
		found, err := f.dir.Newest(index, f.o.fits(ctx), nil)
		if err != nil {
			return err
		}
		if found == nil {
			found = &snapshot.Snapshot{State: engine.NewState(), Voids: snapshot.Voids{}}
		}
		f.now = found
	}
	for f.now.State.Index < index {
		began := time.Now()
		if err := f.fold(ctx, index); err != nil {
			return err
		}
		wait(ctx, time.Since(began), nil) // at most half of a processor
	}
	if err := f.room(); err != nil {
		return err
	}
	if err := f.dir.Save(f.now); err != nil {
		return err
	}
	f.o.logger.Info("wrote a snapshot of the state", "index", index)
	return f.dir.Thin()
}

func (f *sideFold) fold(ctx context.Context, index uint64) error {
	s := f.now.State
	records, err := f.o.cfg.Log.Read(ctx, s.Index+1, int(min(followRecordsMax, index-s.Index)))
	if err != nil {
		return err
	}
	for i := range records {
		void, err := s.Fold(records[i])
		if err != nil {
			return err
		}
		if void != "" {
			f.now.Voids.Add(records[i].Index, void)
		}
	}
	return ctx.Err()
}

// room refuses where the disk has little left.
func (f *sideFold) room() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(f.o.cfg.States, &fs); err != nil {
		return nil // it may not be there yet
	}
	if fs.Bavail*uint64(fs.Bsize) < statesSpareBytes {
		return eventlog.ErrFull
	}
	return nil
}

// OpenState opens the newest snapshot of the state at an index or before it, or
// returns nil where there is none. Package engine/snapshot reads it.
func (o *Orchestrator) OpenState(ctx context.Context, at uint64) (*os.File, error) {
	if o.cfg.States == "" {
		return nil, nil
	}
	return snapshot.At(o.cfg.States).Open(at, o.fits(ctx))
}
