package raft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"quorate/eventlog"
)

// ErrHalted is wrapped by [Start] where this replica was halted: what it holds is
// not to be trusted, so it neither serves nor votes until it is replaced.
var ErrHalted = errors.New("replica is halted")

const (
	haltFile        = "HALTED"
	haltReasonBytes = 4 << 10
)

// replaceHint tells how a replica that cannot be trusted is healed. Its number is
// never used again, since it may have acknowledged what it no longer has.
func replaceHint(replica uint64) string {
	return fmt.Sprintf("replace it: start another orchestrator in a new directory with \"quorate server --join ADDRESS --token TOKEN --replace %d\" and keep this one aside", replica)
}

// markHalted keeps Start from starting the replica in a data directory, durably.
// The first reason stays.
func markHalted(dataDir, reason string) error {
	dir := filepath.Join(dataDir, raftDir)
	path := filepath.Join(dir, haltFile)
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	if len(reason) > haltReasonBytes {
		reason = reason[:haltReasonBytes]
	}
	if err := writeDurably(path, []byte(strings.TrimSpace(reason)+"\n")); err != nil {
		return fmt.Errorf("halt marker: %w", err)
	}
	return nil
}

// checkHalted returns an error that wraps [ErrHalted] and tells the reason where
// the data directory is marked.
func checkHalted(dataDir string, replica uint64) error {
	path := filepath.Join(dataDir, raftDir, haltFile)
	reason, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %s cannot be read: %w", ErrHalted, path, err)
	}
	return fmt.Errorf("%w: %s; %s", ErrHalted, strings.TrimSpace(string(reason)), replaceHint(replica))
}

// hinted adds to damage of the store what is to be done about it.
func (c *Config) hinted(err error) error {
	var corrupt *eventlog.CorruptError
	if errors.As(err, &corrupt) {
		return fmt.Errorf("%w; %s", err, replaceHint(c.Replica))
	}
	return err
}

// Halt stops this replica for a reason, and for good: [Start] refuses it from now
// on, with an error that wraps [ErrHalted]. What is here can still be read. The
// error says that the mark could not be written; the replica is stopped anyway.
func (n *Node) Halt(reason string) error {
	err := markHalted(n.cfg.DataDir, reason)
	n.cfg.Logger.Error("replica is halted", "reason", reason, "marked", err == nil)
	n.abandon(fmt.Errorf("%w: %s; %s", ErrHalted, reason, replaceHint(n.cfg.Replica)))
	return err
}

// compareHint is for a replica whose history is not that of the others: a majority
// whose disks were set back has the votes, and perhaps not what was acknowledged.
const compareHint = "compare both histories before you replace it, since which of them holds more acknowledged work is not known here"

// diverged halts the replica for what it found wrong itself.
func (n *Node) diverged(reason error) {
	_ = n.Halt(reason.Error() + "; " + compareHint) // it is stopped in any case, and says so
}

// writeDurably puts a whole file in its place: after a crash it has its old
// content or its new one.
func writeDurably(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // best effort: the error says what happened
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes a creation or rename in a directory durable.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
