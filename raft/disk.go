package raft

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"quorate/eventlog"
)

const (
	spaceInterval = time.Second
	// tightInterval is between looks while room is low: others fill a disk fast.
	tightInterval = 100 * time.Millisecond
	// startBytes is what the library allocates when it starts, and a little more.
	startBytes = 66 << 20
	// yieldInterval is between attempts to give leadership away.
	yieldInterval = 10 * time.Second
)

// A diskUser is what has to give way when the disk fills up.
type diskUser interface {
	// refuse makes appends fail with a reason, or go on where it is nil.
	refuse(reason error)
	// full reports that something could not be written for want of room.
	full() bool
	// yield gives leadership away, where this replica has it.
	yield()
	// suspend stops the replica's part in Raft and resume goes on with it. Both are
	// repeated until they return nil.
	suspend() error
	resume() error
}

// A disk watches how much room there is, and how fast the disk is.
type disk struct {
	limits  SpaceLimits // as configured
	space   space
	user    diskUser
	saves   *syncTimes
	log     *slog.Logger
	raftDir string

	mu      sync.Mutex // guards what follows
	room    room
	free    uint64
	at      SpaceLimits // for this file system
	paused  bool
	yielded time.Time
}

func newDisk(cfg *Config, user diskUser, saves *syncTimes) *disk {
	d := &disk{
		limits: cfg.Space, space: cfg.space, user: user, saves: saves, log: cfg.Logger,
		raftDir: filepath.Join(cfg.DataDir, raftDir),
	}
	if d.space == nil {
		d.space = freeSpace(d.raftDir)
	}
	return d
}

// makeRoom gives the ballast up where a start needs its room, and says so where
// that is not enough. The library copies a log that a crash tore, puts the copy in
// its place even where it could not be finished, and allocates another: there must
// be room for both.
func (d *disk) makeRoom() error {
	free, total, err := d.space()
	if err != nil {
		return err
	}
	at := d.limits.of(total)
	largest, err := trimLogs(d.raftDir)
	if err != nil {
		return fmt.Errorf("raft directory: %w", err)
	}
	need := max(at.Floor, startBytes+uint64(largest))
	own := newBallast(d.raftDir, at.Ballast)
	if free >= need {
		return nil
	}
	if own.there() {
		if err := own.release(); err != nil {
			return err
		}
		if free, _, err = d.space(); err != nil {
			return err
		}
	}
	if free < need {
		return fmt.Errorf("%w: %d MiB are free in %s, and a start needs %d; it works when there is room", eventlog.ErrFull, free>>20, d.raftDir, need>>20)
	}
	return nil
}

// run looks after the disk until stop is closed.
func (d *disk) run(stop <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(d.look(time.Now()))
		case <-stop:
			return
		}
	}
}

// look acts on the room there is and returns when to look again. Where it cannot
// be told how much there is, only what could not be written counts.
func (d *disk) look(now time.Time) time.Duration {
	free, total, err := d.space()
	d.mu.Lock()
	was := d.room
	if err == nil {
		d.free, d.at = free, d.limits.of(total)
		d.room = d.at.next(was, free)
	}
	if d.user.full() { // a quota, say, which the free space does not show
		d.room = roomNone
	}
	room, at := d.room, d.at
	d.mu.Unlock()
	d.act(now, was, room, free, at)
	if room == roomPlenty {
		return spaceInterval
	}
	return tightInterval
}

func (d *disk) act(now time.Time, was, room room, free uint64, at SpaceLimits) {
	own := newBallast(d.raftDir, at.Ballast)
	if room != was {
		d.log.Warn("room on the disk changed", "free", free, "warn", at.Warn, "refuse", at.Refuse, "floor", at.Floor,
			"appends", room < roomShort, "paused", room == roomNone)
	}
	if room >= roomShort {
		d.user.refuse(fmt.Errorf("%w: %d MiB are free in %s, appends go on at %d", eventlog.ErrFull, free>>20, d.raftDir, at.Refuse/100*resumeFactor>>20))
	}
	switch room {
	case roomNone:
		if err := own.release(); err != nil {
			d.log.Error("room could not be given back", "error", err)
		}
		d.setPaused(d.user.suspend, true)
		return
	case roomShort:
		if now.Sub(d.yielded) > yieldInterval {
			d.yielded = now
			d.user.yield()
		}
	case roomPlenty:
		if free > at.Warn+2*at.Ballast && !own.there() {
			if err := own.take(); err != nil {
				d.log.Debug("no ballast", "error", err)
			}
		}
	}
	d.setPaused(d.user.resume, false)
	if room < roomShort {
		d.user.refuse(nil)
	}
}

// setPaused pauses or resumes where that is not done yet.
func (d *disk) setPaused(do func() error, paused bool) {
	d.mu.Lock()
	done := d.paused == paused
	d.paused = d.paused || paused // from now on, until resume worked
	d.mu.Unlock()
	if done {
		return
	}
	if err := do(); err != nil {
		if !errors.Is(err, errNotYet) {
			d.log.Error("replica could not be stopped or started for want of room", "error", err)
		}
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = paused
}

var errNotYet = errors.New("not yet")

// isPaused reports whether the replica takes no part in Raft for want of room.
func (d *disk) isPaused() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.paused
}

// alarms are what somebody should see to.
func (d *disk) alarms(now time.Time) []Alarm {
	d.mu.Lock()
	room, free, at := d.room, d.free, d.at
	d.mu.Unlock()
	var out []Alarm
	if room != roomPlenty {
		out = append(out, Alarm{AlarmLowSpace, fmt.Sprintf("%d MiB are free in %s: below %d appends are refused", free>>20, d.raftDir, at.Refuse>>20)})
	}
	switch room {
	case roomShort:
		out = append(out, Alarm{AlarmReadOnly, fmt.Sprintf("appends are refused here: free %d MiB", at.Refuse/100*resumeFactor>>20)})
	case roomNone:
		out = append(out, Alarm{AlarmReadOnly, fmt.Sprintf("this replica takes no part in the log, and its reads are stale: free %d MiB", at.Floor/100*resumeFactor>>20)})
	}
	if p99 := d.saves.p99(now); p99 > slowSync {
		out = append(out, Alarm{AlarmSlowDisk, fmt.Sprintf("1 of 100 saves of Raft's log takes longer than %v; it should be below %v", p99.Round(time.Millisecond), slowSync)})
	}
	return out
}
