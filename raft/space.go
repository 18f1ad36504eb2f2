package raft

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SpaceLimits are bytes free on the file system of the data directory, from which
// on a replica does something about it. Fields that are 0 are taken from the size
// of the file system.
type SpaceLimits struct {
	// Warn is where the alarm low-space begins: 10 % or 2 GiB, whichever is less, and
	// at least one and a half times Refuse.
	Warn uint64
	// Refuse is where appends are refused and leadership is given away: 5 % or
	// 1 GiB, whichever is less, and at least twice Floor, so that there is room in
	// which a replica refuses appends and still reads what others append.
	Refuse uint64
	// Floor is where the replica stops taking part in Raft until there is room: 64
	// MiB. The library ends the process when its own log cannot be written (D11).
	Floor uint64
	// Ballast is the size of a file that is given up at Floor, for what is in
	// flight then: 64 MiB. It exists only while there is plenty of room.
	Ballast uint64
}

const (
	warnShare, warnBytes     = 10, 2 << 30 // percent
	refuseShare, refuseBytes = 5, 1 << 30
	floorBytes               = 64 << 20
	ballastBytes             = 64 << 20
)

// of fills in what is 0, for a file system of a size.
func (l SpaceLimits) of(total uint64) SpaceLimits {
	fill := func(v *uint64, value uint64) {
		if *v == 0 {
			*v = value
		}
	}
	fill(&l.Floor, floorBytes)
	fill(&l.Refuse, max(min(total/100*refuseShare, refuseBytes), 2*l.Floor))
	fill(&l.Warn, max(min(total/100*warnShare, warnBytes), l.Refuse+l.Refuse/2))
	fill(&l.Ballast, ballastBytes)
	return l
}

// room is how much room there is.
type room int

const (
	roomPlenty room = iota
	roomLow         // appends go on
	roomShort       // appends are refused
	roomNone        // nothing is written
)

// resumeFactor is by how much more must be free than what a state began at until
// it ends, in percent, so that it does not flap.
const resumeFactor = 125

// next returns the room there is with so many bytes free, where it was now.
func (l SpaceLimits) next(now room, free uint64) room {
	at := func(free uint64) room {
		switch {
		case free < l.Floor:
			return roomNone
		case free < l.Refuse:
			return roomShort
		case free < l.Warn:
			return roomLow
		}
		return roomPlenty
	}
	if worse := at(free); worse >= now {
		return worse
	}
	return min(now, at(free/resumeFactor*100))
}

// Room returns how many bytes are free on the file system of a directory, and how
// many a replica needs there beside its log: what its start takes, and what has to
// be left for it to take part.
func Room(dir string) (free, need uint64, err error) {
	free, total, err := freeSpace(dir)()
	if err != nil {
		return 0, 0, fmt.Errorf("raft: %w", err)
	}
	return free, startBytes + (SpaceLimits{}).of(total).Floor, nil
}

// A space tells how many bytes are free where the log is, and the size of all.
type space func() (free, total uint64, err error)

func freeSpace(dir string) space {
	return func() (free, total uint64, err error) {
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err != nil {
			return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
		}
		return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
	}
}
