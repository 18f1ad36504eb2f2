package raft

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
)

const (
	// readThroughBytes is how much of the log is read at a time.
	readThroughBytes = 16 << 20
	// guardMark says in the store that Raft's log has a sidecar, so that one that
	// went missing is not taken for one that never was.
	guardMark = "raft-guard"
)

// marks are notes that last as long as the store.
type marks interface {
	Mark(name string) error
	Marked(name string) bool
}

// guard creates Raft's log and refuses one that lacks, or changed, anything that
// it held. The library takes a zeroed chunk header for the end of the log (D1)
// and silently skips what a replica is ahead by (D2): without this check a
// damaged log loses acknowledged entries, and nobody is told.
type guard struct {
	replica   uint64
	bootstrap bool
	// applied and head are what the store says.
	applied, head uint64
	// marks are the store's; nil is none.
	marks marks
	// saves gets how long each save takes; nil is nobody.
	saves *syncTimes
	// signs are repeated while a large save is under way; nil is none.
	signs *signs
	// witness is told where the log ends; nil is nobody.
	witness *witness
	// unwritable is told where the log cannot be written, and need not return; nil
	// is nobody.
	unwritable func(error)
	// logger is told of what was healed; nil discards it.
	logger *slog.Logger
	// dir is where the library keeps its files; nothing is nowhere.
	dir string
	// known is set when the directory holds a replica.
	known bool
	// joined is set when that replica was added to a cluster of others.
	joined bool
}

// Name implements config.LogDBFactory.
func (g *guard) Name() string { return tan.Factory.Name() }

// Create implements config.LogDBFactory.
func (g *guard) Create(cfg config.NodeHostConfig, cb config.LogDBCallback, dirs, wals []string) (raftio.ILogDB, error) {
	g.dir = cfg.NodeHostDir
	if _, err := trimLogs(g.dir); err != nil {
		return nil, err
	}
	db, err := tan.Factory.Create(cfg, cb, dirs, wals)
	if err != nil {
		return nil, g.damaged(err)
	}
	guarded, err := g.open(db, sidecarPath(g.dir))
	if err != nil {
		return nil, errors.Join(err, recovered(db.Close))
	}
	return guarded, nil
}

// open checks the log against the store and the sidecar at path.
func (g *guard) open(db raftio.ILogDB, path string) (log *guardedLog, err error) {
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	side, newest, whole, err := openSidecar(path, g.replica)
	switch {
	case errors.Is(err, errSidecarDamaged):
		return nil, fmt.Errorf("%w: %w; %s", ErrDamaged, err, replaceHint(g.replica))
	case err != nil && !isMissing(err):
		return nil, fmt.Errorf("raft guard: %w", err)
	}
	defer func() {
		if err != nil && side != nil {
			err = errors.Join(err, side.close())
		}
	}()
	log = &guardedLog{ILogDB: db, guard: g, sidecar: side, mirror: make(chan error, 1), recent: &recent{}}
	if err := recovered(func() error { return g.check(log, newest, whole) }); err != nil {
		return nil, err
	}
	if side = log.sidecar; side == nil {
		if side, err = createSidecar(path, g.replica); err != nil {
			return nil, fmt.Errorf("raft guard: %w", err)
		}
		log.sidecar = side
	}
	if err := side.write(log.claim, log.claim, nil); err != nil {
		return nil, err
	}
	if g.known {
		return log, log.mark()
	}
	return log, nil
}

// check fills in what the log holds, and refuses what it should not.
func (g *guard) check(log *guardedLog, newest slot, whole bool) error {
	info, err := log.GetBootstrapInfo(controlShard, g.replica)
	switch {
	case errors.Is(err, raftio.ErrNoBootstrapInfo):
		return g.checkNew(newest)
	case err != nil:
		return g.damaged(err)
	}
	g.known, g.joined = true, info.Join
	if log.sidecar == nil && g.marked() {
		return fmt.Errorf("%w: the file %q beside raft's log is missing; %s", ErrDamaged, sidecarFile, replaceHint(g.replica))
	}
	if log.sidecar != nil {
		if err := g.compare(log, newest); err != nil {
			return err
		}
	}
	held, err := readHeld(log.ILogDB, g.replica, newest.after)
	if err != nil {
		return g.damaged(err)
	}
	arrived := false
	if g.dir != "" && g.applied < held.onDisk {
		if arrived, err = snapshotArrived(g.dir, held.snapshot); err != nil {
			return fmt.Errorf("raft guard: %w", err)
		}
	}
	switch last := held.chain.last(); {
	case g.applied < held.onDisk && !arrived:
		return fmt.Errorf("%w: it applied %d, and the log begins behind %d; %s", ErrStoreBehind, g.applied, held.onDisk, replaceHint(g.replica))
	case last < g.applied:
		return fmt.Errorf("%w: it ends at %d, and %d was applied; %s", ErrBehind, last, g.applied, replaceHint(g.replica))
	case log.sidecar != nil && whole && g.applied > newest.after.last:
		return fmt.Errorf("%w: the file %q knows the log up to %d, and %d was applied: it is an old copy; %s",
			ErrDamaged, sidecarFile, newest.after.last, g.applied, replaceHint(g.replica))
	}
	log.chain, log.recent = held.chain, held.recent
	log.claim = claim{snapshot: held.snapshot, term: held.state.Term, vote: held.state.Vote}
	log.follow()
	return nil
}

// checkNew is for a directory in which the library finds no replica.
func (g *guard) checkNew(newest slot) error {
	switch {
	case g.applied > 0 || g.head > 0:
		return fmt.Errorf("%w: the store holds %d records and raft's directory no replica %d: it was lost, or the store is of another one; %s",
			ErrBehind, g.head, g.replica, replaceHint(g.replica))
	case newest.after != claim{} || g.marked():
		return fmt.Errorf("%w: raft's directory lost the record of replica %d; %s", ErrBehind, g.replica, replaceHint(g.replica))
	case !g.bootstrap:
		return ErrNotBootstrapped
	}
	return nil
}

// compare refuses a log that is not what the sidecar claims. The last save may be
// in the sidecar only, where a crash came between, or the log lost it since: then
// it is saved again. To hold what nobody was told of harms nothing.
func (g *guard) compare(log *guardedLog, newest slot) error {
	err := matches(log.ILogDB, g.replica, newest.after)
	if err == nil || len(newest.update) == 0 || matches(log.ILogDB, g.replica, newest.before) != nil {
		return g.located(err)
	}
	var u raftpb.Update
	if decoding := u.Unmarshal(newest.update); decoding != nil || !log.ours(u.ShardID, u.ReplicaID) {
		return g.located(err)
	}
	if err := log.ILogDB.SaveRaftState([]raftpb.Update{u}, 1); err != nil {
		return fmt.Errorf("raft guard: %w", err)
	}
	if err := matches(log.ILogDB, g.replica, newest.after); err != nil {
		return g.located(err)
	}
	g.logger.Warn("raft's log lacked its last save; it was put back from the guard's copy", "last", newest.after.last, "error", err)
	return nil
}

// located says what is to be done about damage.
func (g *guard) located(err error) error {
	if !errors.Is(err, ErrBehind) && !errors.Is(err, ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w; %s", err, replaceHint(g.replica))
}

func (g *guard) marked() bool { return g.marks != nil && g.marks.Marked(guardMark) }

// damaged says that Raft's files cannot be read for this reason. On a full disk
// nothing is wrong with them: they open when there is space again.
func (g *guard) damaged(err error) error {
	if err := damaged(err); !errors.Is(err, ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w; %s", damaged(err), replaceHint(g.replica))
}

func damaged(err error) error {
	if err == nil || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// recovered runs f, of which a panic is the library's way to report damaged files
// (D3, D14).
func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			cause, ok := p.(error)
			if !ok {
				cause = fmt.Errorf("%v", p)
			}
			err = damaged(cause)
		}
	}()
	return f()
}
