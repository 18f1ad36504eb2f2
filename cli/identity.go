package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/raft"
)

// memberFile says, in an orchestrator's data directory, which member of the
// cluster it is; joinFile holds the id of its request to join until it is one.
const (
	memberFile = "member.json"
	joinFile   = "join.json"
	lockFile   = "lock"
)

// A membership is what an orchestrator knows of itself before it can read its log.
type membership struct {
	Replica uint64 `json:"replica"`
	// Joined: it came to a cluster that was there, and did not found it.
	Joined bool `json:"joined,omitempty"`
	// Started: its part of the log was begun. One that has lost it since must not
	// begin it again: it would vote as if it had never acknowledged anything.
	Started bool `json:"started,omitempty"`
	// Recovered is what the first leader of a recovered cluster puts on record
	// before anything else; nil for all others, and when that is done.
	Recovered *recovery `json:"recovered,omitempty"`
	// At is where it was started last: it is there again unless it is told otherwise,
	// since the others look for it there.
	At *addresses `json:"at,omitempty"`
}

// addresses are where an orchestrator serves, as its flags say.
type addresses struct {
	// Listen is the agents' (UDP), HTTP the operators' (TLS over TCP, may be empty),
	// Raft other orchestrators' (TLS over TCP, with logRaft).
	Listen string `json:"listen"`
	HTTP   string `json:"http,omitempty"`
	Raft   string `json:"raft"`
	// ListenTCP is for agents that UDP does not reach; empty is the port of Listen, and
	// "off" is nowhere.
	ListenTCP string `json:"listen_tcp,omitempty"`
	// Advertise is the host under which others reach this one; empty is as the
	// addresses say.
	Advertise string `json:"advertise,omitempty"`
}

// A recovery is from what a cluster was built anew.
type recovery struct {
	At     uint64 `json:"at"`     // index of the newest record that was kept
	Source string `json:"source"` // "member" or "backup"
	By     string `json:"by"`
	// Lost says what may be lost, as far as is known.
	Lost string `json:"lost,omitempty"`
}

// A membershipError is a directory whose member file is gone or damaged.
type membershipError struct {
	path string
	// replica is whose directory it is by Raft's files, or 0.
	replica uint64
	cause   error
}

// Error implements error.
func (e *membershipError) Error() string {
	what := e.cause.Error() // it has the path
	if errors.Is(e.cause, fs.ErrNotExist) {
		what = e.path + " is missing"
	}
	whose := "and raft's files do not tell either"
	if e.replica != 0 {
		whose = fmt.Sprintf("by raft's files it is %d", e.replica)
	}
	return fmt.Sprintf("%s: it says which orchestrator this directory is of; %s", what, whose)
}

// Unwrap returns the cause.
func (e *membershipError) Unwrap() error { return e.cause }

// lostMembership says what to do about a member file that cannot be read.
func lostMembership(dir string, cause error) error {
	replica, err := raft.ReplicaOf(dir)
	if err != nil {
		replica = 0 // the directory's other files say as little
	}
	lost := &membershipError{path: filepath.Join(dir, memberFile), replica: replica, cause: cause}
	if replica == 0 {
		return fail(exitError, lost, `put the file back from a copy of the directory, or replace this orchestrator: "quorate cluster members" on another one tells its number, "quorate cluster add --replace NUMBER" prints the command`)
	}
	return fail(exitError, lost,
		fmt.Sprintf(`put the file back from a copy of the directory, or replace this orchestrator: "quorate cluster add --replace %d" on another one prints the command`, replica),
		fmt.Sprintf(`if it was the only one, take its log over with "quorate cluster recover --data-dir %s"`, dir))
}

// memberDocument reads the member file; it returns nil where there is none.
func memberDocument(dir string) (*membership, error) {
	m := &membership{}
	found, err := readDocument(filepath.Join(dir, memberFile), m)
	if err == nil && found && m.Replica == 0 {
		err = fmt.Errorf("%s lacks the number of the member", filepath.Join(dir, memberFile))
	}
	switch {
	case errors.As(err, new(*fs.PathError)):
		return nil, err // it may be whole
	case err != nil:
		return nil, lostMembership(dir, err)
	case !found:
		return nil, nil
	}
	return m, nil
}

// readMembership returns what a data directory says, or nil where it says nothing.
func readMembership(dir string) (*membership, error) {
	m, err := memberDocument(dir)
	if err != nil || m != nil {
		return m, err
	}
	if missing(filepath.Join(dir, eventlog.StoreFile)) {
		return nil, nil
	}
	// Before there were several orchestrators neither this file was written nor
	// the addresses of others, and the only one was the first.
	replica, err := raft.ReplicaOf(dir)
	if err == nil && replica == 1 && missing(filepath.Join(dir, raftDir, bookFile)) {
		return &membership{Replica: 1, Started: true}, nil
	}
	return nil, lostMembership(dir, fs.ErrNotExist)
}

// founding reports whether nothing in a directory was used yet: it is nobody's, or its
// founder's, who has not begun the log.
func founding(dir string, m *membership) bool {
	return missing(filepath.Join(dir, eventlog.StoreFile)) && (m == nil || !m.Started && !m.Joined)
}

func (m *membership) write(dir string) error {
	return writeDocument(filepath.Join(dir, memberFile), m)
}

// readDocument decodes a file; found is false where there is none.
func readDocument(path string, into any) (found bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return false, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return true, nil
}

// writeDocument replaces a file durably: half of one is never seen.
func writeDocument(path string, document any) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	return pki.WriteFile(path, append(text, '\n'), 0o600)
}

// lockDir takes the data directory for this process until the file is closed.
// The log has a lock of its own, which is taken after others of the directory's
// files were read and written.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("data directory %s is %w", dir, eventlog.ErrInUse)
	}
	if err == nil && !inPlace(f, path) { // its holder has just tidied up
		err = fmt.Errorf("data directory %s was %w a moment ago: try again", dir, eventlog.ErrInUse)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// inPlace reports whether the file is the one at the path.
func inPlace(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// tidy takes away what a start that failed has left in a directory that it holds
// the lock of, where there is nothing else: the lock, an empty directory of Raft,
// and the directory itself where it was not there before.
func tidy(dir string, made bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Name() != lockFile && e.Name() != raftDir {
			return
		}
	}
	// What cannot be removed is not empty, and stays.
	if err := os.Remove(filepath.Join(dir, raftDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	_ = os.Remove(filepath.Join(dir, lockFile))
	if made {
		_ = os.Remove(dir)
	}
}

// missing reports whether nothing is at the path.
func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}
