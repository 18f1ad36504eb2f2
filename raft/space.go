package raft

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"quorate/eventlog"
)

// The library panics when Raft's own log cannot be written (D11), so appends are
// refused while there is still room for what is in flight.
const (
	spaceRefuseBytes = 64 << 20
	spaceResumeBytes = 96 << 20 // more, so that it does not flap
	spaceInterval    = time.Second
)

// A space tells how many bytes are free where the log is.
type space func() (uint64, error)

func freeSpace(dir string) space {
	return func() (uint64, error) {
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			return 0, fmt.Errorf("free space of %s: %w", dir, err)
		}
		return s.Bavail * uint64(s.Bsize), nil
	}
}

// checkSpace refuses appends while there is little room. Where it cannot be told
// how much there is, nothing changes.
func (m *machine) checkSpace() {
	free, err := m.space()
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case free < spaceRefuseBytes && m.noRoom == nil:
		m.noRoom = fmt.Errorf("%w: %d MiB are free, appends go on at %d", eventlog.ErrFull, free>>20, spaceResumeBytes>>20)
		m.log.Error("appends are refused", "error", m.noRoom)
	case free >= spaceResumeBytes && m.noRoom != nil:
		m.noRoom = nil
		m.log.Info("there is room again; appends go on")
	}
}
