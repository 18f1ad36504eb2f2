package nodeagent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is wrapped by the error about a data directory that another agent or relay uses.
var ErrLocked = errors.New("another agent or relay uses the data directory")

// lockTries and lockPause are how often, and after what, a lock that is taken is tried
// again.
const (
	lockTries = 10
	lockPause = 20 * time.Millisecond
)

// lockDir makes sure that one agent uses the data directory. Closing the file
// gives the lock back, and so does the end of the process.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	// Without close-on-exec, which os sets, jobs would keep the lock.
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	// A process that was about to be started when the agent before this one ended has
	// a copy of its file until it runs its own program.
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for tries := 0; errors.Is(err, unix.EWOULDBLOCK) && tries < lockTries; tries++ {
		time.Sleep(lockPause)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return f, nil
}

// bootID tells one boot of the machine from the next.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("boot id of the machine: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// workDir returns the directory that jobs start in, and makes it.
func workDir(cfg *Config) (string, error) {
	dir := cfg.WorkDir
	if dir == "" {
		if os.Geteuid() == 0 {
			return "/", nil
		}
		dir = filepath.Join(cfg.DataDir, "root")
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("working directory: %w", err)
	}
	return dir, nil
}
