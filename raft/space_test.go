package raft

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"quorate/eventlog"
)

func TestSpaceLimitsFollowTheSizeOfTheDisk(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		name         string
		total        uint64
		warn, refuse uint64
	}{
		{"large", 1000 * gib, 2 * gib, gib},
		{"10 GiB", 10 * gib, 10 * gib / 100 * 10, 10 * gib / 100 * 5},
		{"1.3 GiB", 1300 << 20, 192 << 20, 128 << 20},
		{"tiny", 256 << 20, 192 << 20, 128 << 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := SpaceLimits{}.of(tt.total)
			if got.Warn != tt.warn || got.Refuse != tt.refuse || got.Floor != 64<<20 {
				t.Errorf("limits of %d: %+v", tt.total, got)
			}
		})
	}
	own := SpaceLimits{Warn: 30, Refuse: 20, Floor: 10, Ballast: 5}
	if got := own.of(gib); got != own {
		t.Errorf("configured limits became %+v", got)
	}
}

// On a disk of any size a replica refuses appends before it stops taking part, and
// warns before it refuses.
func TestStagesOfRoomFollowOnAnyDisk(t *testing.T) {
	for total := uint64(200 << 20); total < 4<<40; total += total / 7 {
		at := SpaceLimits{}.of(total)
		stages, now := []room{}, roomPlenty
		for free := total; ; free -= min(free, 1<<20) {
			if next := at.next(now, free); next != now {
				stages, now = append(stages, next), next
			}
			if free < at.Warn/2 && now == roomNone || free == 0 {
				break
			}
			if free > 4*at.Warn {
				free = 4 * at.Warn
			}
		}
		if !slices.Equal(stages, []room{roomLow, roomShort, roomNone}) {
			t.Errorf("a disk of %d MiB goes through %v (%+v)", total>>20, stages, at)
		}
	}
}

// giver notes what it was told to do.
type giver struct {
	did     []string
	isFull  bool
	refused error
	again   int // resume fails so often
}

func (g *giver) refuse(reason error) { g.refused = reason }
func (g *giver) full() bool          { return g.isFull }
func (g *giver) yield()              { g.did = append(g.did, "yield") }
func (g *giver) suspend() error      { g.did = append(g.did, "suspend"); return nil }
func (g *giver) resume() error {
	if g.again--; g.again >= 0 {
		return errNotYet
	}
	g.did = append(g.did, "resume")
	return nil
}

func TestDiskGivesWayStepByStep(t *testing.T) {
	dir := t.TempDir()
	user := &giver{}
	free, unknown := uint64(0), error(nil)
	d := &disk{
		limits: SpaceLimits{Warn: 4000, Refuse: 2000, Floor: 1000, Ballast: 4096},
		space:  func() (uint64, uint64, error) { return free, 1 << 20, unknown },
		user:   user, log: slog.New(slog.DiscardHandler), raftDir: dir,
	}
	now := time.Unix(1, 0)
	own := filepath.Join(dir, ballastFile)
	for i, step := range []struct {
		free    uint64
		full    bool
		refused bool
		paused  bool
		ballast bool
		alarms  int
		did     string
	}{
		{free: 100000, ballast: true},
		{free: 3999, ballast: true, alarms: 1},
		{free: 4500, ballast: true, alarms: 1}, // not enough more to end it
		{free: 5100, ballast: true},
		{free: 1999, refused: true, ballast: true, alarms: 2, did: "yield"},
		{free: 2100, refused: true, ballast: true, alarms: 2},
		{free: 999, refused: true, paused: true, alarms: 2, did: "suspend"},
		{free: 1100, refused: true, paused: true, alarms: 2},
		{free: 1300, refused: true, alarms: 2, did: "resume"},
		{free: 5100},
		{free: 5100, full: true, refused: true, paused: true, alarms: 2, did: "suspend"}, // a quota
		{free: 100000, ballast: true, did: "resume"},
	} {
		free, user.isFull, user.did = step.free, step.full, nil
		d.look(now)
		_, err := os.Stat(own)
		did := ""
		if len(user.did) > 0 {
			did = user.did[0]
		}
		if errors.Is(user.refused, eventlog.ErrFull) != step.refused || d.isPaused() != step.paused ||
			(err == nil) != step.ballast || len(d.alarms(now)) != step.alarms || did != step.did || len(user.did) > 1 {
			t.Errorf("step %d, %d free: refused %v, paused %v, ballast %v, alarms %v, did %v", i, step.free, user.refused, d.isPaused(), err, d.alarms(now), user.did)
		}
	}
	free = 10
	d.look(now)
	user.again, free = 1, 100000
	if d.look(now); !d.isPaused() {
		t.Error("resumed while the library had not let go")
	}
	if d.look(now); d.isPaused() {
		t.Error("not resumed when it had")
	}
	unknown, user.did = errors.New("unknown"), nil
	if d.look(now); user.refused != nil || d.isPaused() {
		t.Error("acted without knowing")
	}
}

func TestSlowDiskIsAnAlarm(t *testing.T) {
	s := &syncTimes{}
	d := &disk{saves: s, log: slog.New(slog.DiscardHandler)}
	for range 600 {
		s.note(time.Millisecond)
	}
	if got := d.alarms(time.Now()); len(got) != 0 {
		t.Fatalf("alarms %v", got)
	}
	for range 20 {
		s.note(time.Second)
	}
	got := d.alarms(time.Now())
	if len(got) != 1 || got[0].Code != AlarmSlowDisk {
		t.Fatalf("alarms %v", got)
	}
	if got := d.alarms(time.Now().Add(2 * syncTimeAge)); len(got) != 0 {
		t.Fatalf("later: %v", got)
	}
}

// The library puts an unfinished copy in the place of a log that a crash tore: it
// must not be let near a log without room for the copy.
func TestStartNeedsRoomForACopyOfTheLog(t *testing.T) {
	dir := t.TempDir()
	free := uint64(100 << 20)
	d := &disk{space: func() (uint64, uint64, error) { return free, 1 << 30, nil }, log: slog.New(slog.DiscardHandler), raftDir: dir}
	if err := d.makeRoom(); err != nil {
		t.Fatalf("without a log: %v", err)
	}
	path := filepath.Join(dir, "000002.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 60<<20); err != nil {
		t.Fatal(err)
	}
	if err := d.makeRoom(); !errors.Is(err, eventlog.ErrFull) {
		t.Fatalf("with one of 60 MiB: %v", err)
	}
	if err := newBallast(dir, 1<<20).take(); err != nil {
		t.Fatal(err)
	}
	free = 130 << 20
	if err := d.makeRoom(); err != nil || !newBallast(dir, 0).there() {
		t.Fatalf("with room: %v", err)
	}
}
