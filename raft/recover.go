package raft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lni/dragonboat/v4"

	"quorate/eventlog"
	"quorate/raft/proposal"
)

// Recovered is what [Recover] and [Restore] found.
type Recovered struct {
	// Index and Hash are the end of the log, with which it goes on.
	Index uint64
	Hash  eventlog.Hash
	// ClusterID is the id in the log's ClusterCreated.
	ClusterID string
	// Replaced is the number that the directory had before; 0 after Restore.
	Replaced uint64
	// Applied is the index in the old Raft log that the store had applied, and Last
	// where that log ended: what is between was taken over too, whether a majority
	// had it or not. Both are 0 after Restore, and after a Recover that goes on
	// where one before it was interrupted.
	Applied, Last uint64
	// Unread is why the old Raft log could not be read to its end, or nil. Records
	// that only this part held are lost.
	Unread error
	// Aside is where Raft's old files are; nothing reads them any more.
	Aside string
}

// Errors of [Recover] and [Restore].
var (
	// ErrUnfinished is wrapped by Start where a recovery was interrupted: run it
	// again, and it goes on.
	ErrUnfinished = errors.New("a recovery of this data directory was interrupted")
	// ErrReplicaUsed is wrapped where a number had been used before.
	ErrReplicaUsed = errors.New("this replica number was used before")
	// ErrNotEmpty is wrapped where a log would be restored over another.
	ErrNotEmpty = errors.New("data directory is not empty")
	// ErrExport is wrapped by Restore where what it reads is not what Export wrote.
	ErrExport = errors.New("this is not what was exported")
)

const (
	unfinishedFile  = "recovering"
	bootstrapPrefix = "BOOTSTRAP-1-" // of the files that name a directory's replica
	rebuildTime     = time.Minute
)

// Recover makes a cluster of one from a surviving member's data directory, in
// place and while nothing else uses it: newReplica, which no member had, is the
// only one, and the log goes on behind the last record that the survivor had in
// its store or in its Raft log. What only others had is lost. Whoever joins later
// gets all records. Raft's old files are kept aside. One that was interrupted
// goes on when it is called again.
func Recover(cfg Config, newReplica uint64) (Recovered, error) {
	if err := cfg.normalize(); err != nil {
		return Recovered{}, err
	}
	useLogger(cfg.Logger)
	cfg.Replica = newReplica
	got, err := recoverMember(&cfg)
	if err != nil {
		return Recovered{}, fmt.Errorf("recover %s: %w", cfg.DataDir, err)
	}
	return got, nil
}

func recoverMember(cfg *Config) (got Recovered, err error) {
	dir := filepath.Join(cfg.DataDir, raftDir)
	got.Aside = fmt.Sprintf("%s.before-%d", dir, cfg.Replica)
	again, err := unfinished(cfg.DataDir, "recover", cfg.Replica)
	if err != nil {
		return got, err
	}
	store, err := eventlog.OpenStore(cfg.storePath(), eventlog.StoreOptions{})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if !again {
		if got.Replaced, err = replicaIn(dir); err != nil {
			return got, err
		}
		if cfg.Replica <= got.Replaced {
			return got, fmt.Errorf("%w: the directory is of replica %d", ErrReplicaUsed, got.Replaced)
		}
		if err := takeOver(cfg, store, &got); err != nil {
			return got, err
		}
		if err := mark(cfg.DataDir, "recover", cfg.Replica); err != nil {
			return got, err
		}
	}
	if err := moveAside(dir, got.Aside); err != nil {
		return got, err
	}
	err = rebuild(cfg, store, &got)
	return got, err
}

// Restore makes a cluster of one, cfg.Replica, from what Export wrote, in a data
// directory that holds no log. One that was interrupted is begun again.
func Restore(cfg Config, r io.Reader) (Recovered, error) {
	if err := cfg.normalize(); err != nil {
		return Recovered{}, err
	}
	useLogger(cfg.Logger)
	got, err := restore(&cfg, r)
	if err != nil {
		return Recovered{}, fmt.Errorf("restore %s: %w", cfg.DataDir, err)
	}
	return got, nil
}

func restore(cfg *Config, r io.Reader) (got Recovered, err error) {
	dir := filepath.Join(cfg.DataDir, raftDir)
	if err := os.MkdirAll(cfg.DataDir, dirMode); err != nil {
		return got, err
	}
	again, err := unfinished(cfg.DataDir, "restore", cfg.Replica)
	if err != nil {
		return got, err
	}
	if !again {
		if _, err := replicaIn(dir); !errors.Is(err, ErrNotBootstrapped) {
			return got, errors.Join(fmt.Errorf("%w: %s", ErrNotEmpty, dir), err)
		}
		if _, err := os.Lstat(cfg.storePath()); !errors.Is(err, fs.ErrNotExist) {
			return got, errors.Join(fmt.Errorf("%w: %s", ErrNotEmpty, cfg.storePath()), err)
		}
		if err := mark(cfg.DataDir, "restore", cfg.Replica); err != nil {
			return got, err
		}
	}
	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(cfg.storePath())); err != nil {
		return got, err
	}
	store, err := eventlog.OpenStore(cfg.storePath(), eventlog.StoreOptions{})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if _, err := receive(r, store, nil); errors.Is(err, errSnapshot) {
		return got, fmt.Errorf("%w: %w", ErrExport, err)
	} else if err != nil {
		return got, err
	}
	err = rebuild(cfg, store, &got)
	return got, err
}

// rebuild makes a Raft log of one replica behind the store's records. Its first
// proposal has none of its own but stands behind all there are, and its snapshot
// lets Raft's log begin behind that: who joins later gets a snapshot with all
// records, and could not apply anything without them.
func rebuild(cfg *Config, store *eventlog.Store, got *Recovered) error {
	if err := store.Rebase(); err != nil {
		return err
	}
	head := store.Head()
	if err := store.Close(); err != nil {
		return err
	}
	alone := Config{DataDir: cfg.DataDir, Replica: cfg.Replica, Bootstrap: true, Logger: cfg.Logger, rebased: true}
	if err := alone.prepareDirectory(); err != nil {
		return err
	}
	n, err := open(alone)
	if err != nil {
		return err
	}
	if err := errors.Join(n.begin(head), n.Close()); err != nil {
		return fmt.Errorf("new raft log: %w", err)
	}
	got.Index, got.Hash, got.ClusterID = head.Index, head.Hash, n.ClusterID()
	return unmark(cfg.DataDir)
}

// begin makes the first proposal and the first snapshot behind it.
func (n *Node) begin(head eventlog.Head) error {
	ctx, cancel := context.WithTimeout(context.Background(), rebuildTime)
	defer cancel()
	if err := n.ready(ctx); err != nil {
		return err
	}
	first := proposal.Proposal{Proposer: n.appends.proposer, Sequence: 1, Behind: proposal.Link{Index: head.Index, Hash: head.Hash}}
	for {
		_, next, err := n.try(first.Encode())
		if err != nil {
			return err
		}
		if next == never {
			break
		}
		if err := n.rest(ctx, proposeBackoff); err != nil {
			return err
		}
	}
	_, err := n.host.SyncRequestSnapshot(ctx, controlShard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true})
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// ReplicaOf returns which replica Raft's files in a data directory are of, also where
// some of them are gone. Errors wrap [ErrNotBootstrapped] where none of them tells.
func ReplicaOf(dataDir string) (uint64, error) {
	dir := filepath.Join(dataDir, raftDir)
	replica, err := replicaIn(dir)
	if !errors.Is(err, ErrNotBootstrapped) {
		return replica, err
	}
	if guarded, e := sidecarReplica(sidecarPath(dir)); e == nil && guarded != 0 {
		return guarded, nil
	}
	return 0, err
}

// replicaIn returns whose a directory of Raft is.
func replicaIn(dir string) (replica uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if number, ok := strings.CutPrefix(d.Name(), bootstrapPrefix); ok {
			if n, err := strconv.ParseUint(number, 10, 64); err == nil {
				replica = max(replica, n)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if replica == 0 {
		return 0, fmt.Errorf("%w: %s", ErrNotBootstrapped, dir)
	}
	return replica, nil
}

// moveAside renames Raft's directory; what is there once that is done was made by
// a recovery that was interrupted.
func moveAside(dir, aside string) error {
	if _, err := os.Lstat(aside); err == nil {
		return os.RemoveAll(dir)
	}
	if err := os.Rename(dir, aside); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(dir))
}

func mark(dataDir, what string, replica uint64) error {
	return writeDurably(filepath.Join(dataDir, unfinishedFile), fmt.Appendf(nil, "%s %d\n", what, replica))
}

func unmark(dataDir string) error {
	if err := os.Remove(filepath.Join(dataDir, unfinishedFile)); err != nil {
		return err
	}
	return syncDirectory(dataDir)
}

// unfinished reports whether the same recovery was interrupted; another one is an
// error that wraps [ErrUnfinished].
func unfinished(dataDir, what string, replica uint64) (bool, error) {
	b, err := os.ReadFile(filepath.Join(dataDir, unfinishedFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case string(b) != fmt.Sprintf("%s %d\n", what, replica):
		return false, fmt.Errorf("%w: it was %q", ErrUnfinished, strings.TrimSpace(string(b)))
	}
	return true, nil
}
