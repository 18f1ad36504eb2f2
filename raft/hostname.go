package raft

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// libraryFile is where the Raft library notes whose its directory is. It makes the
// file where there is none.
const libraryFile = "dragonboat.ds"

// adopt gives Raft's files the host's name. The library keeps them below it, so
// that under another one it would see an empty directory and start anew. A host
// that was renamed finds its files under the old name, and they are this replica's.
func (c *Config) adopt() error {
	dir := filepath.Join(c.DataDir, raftDir)
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("raft directory: %w", err)
	}
	var hosts []string
	for _, e := range entries {
		if e.IsDir() {
			hosts = append(hosts, e.Name())
		}
	}
	if len(hosts) == 0 || slices.Contains(hosts, host) {
		return nil
	}
	old := filepath.Join(dir, hosts[0])
	refused := fmt.Errorf("%w: %s is of %s and this host is %s", ErrHostname, dir, strings.Join(hosts, ", "), host)
	if len(hosts) > 1 {
		return refused
	}
	if replica, err := replicaIn(old); err != nil || replica != c.Replica {
		return errors.Join(refused, err)
	}
	// What the library noted of the host goes first: a crash between it and the
	// renaming leaves files that either host takes.
	if err := os.Remove(filepath.Join(dir, libraryFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("raft directory: %w", err)
	}
	err = syncDirectory(dir)
	if err == nil {
		err = os.Rename(old, filepath.Join(dir, host))
	}
	if err == nil {
		err = syncDirectory(dir)
	}
	if err != nil {
		return fmt.Errorf("raft directory of %s, which is %s now: %w", hosts[0], host, err)
	}
	c.Logger.Info("raft's files are of this host, which had another name", "was", hosts[0], "is", host)
	return nil
}
