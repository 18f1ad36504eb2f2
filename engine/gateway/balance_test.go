package gateway

import (
	"testing"
	"time"
)

// A gateway sends agents away only where it holds clearly too many, only those that
// prefer another one, and no more than that one has room for.
func TestPick(t *testing.T) {
	agents := func(n int) []uint64 { return make([]uint64, n) }
	nobody := func(uint64) bool { return false }
	for _, row := range []struct {
		name    string
		count   map[uint64]int
		prefer  map[uint64][]uint64
		shunned func(uint64) bool
		to      uint64
		n       int
	}{
		{"alone", map[uint64]int{1: 90}, nil, nobody, 0, 0},
		{"even", map[uint64]int{1: 30, 2: 30, 3: 30}, map[uint64][]uint64{2: agents(10)}, nobody, 0, 0},
		{"within the slack", map[uint64]int{1: 35, 2: 28, 3: 27}, map[uint64][]uint64{2: agents(10)}, nobody, 0, 0},
		{"one is back", map[uint64]int{1: 50, 2: 40, 3: 0}, map[uint64][]uint64{2: agents(5), 3: agents(15)}, nobody, 3, 15},
		{"not too many at a time", map[uint64]int{1: 500, 2: 400, 3: 0}, map[uint64][]uint64{3: agents(150)}, nobody, 3, movesMax},
		{"down to the fair share", map[uint64]int{1: 36, 2: 30, 3: 24}, map[uint64][]uint64{3: agents(15)}, nobody, 3, 6},
		{"nobody wants to go", map[uint64]int{1: 50, 2: 40, 3: 0}, nil, nobody, 0, 0},
		{"it does not take them", map[uint64]int{1: 50, 2: 40, 3: 0}, map[uint64][]uint64{3: agents(15)}, func(m uint64) bool { return m == 3 }, 0, 0},
		{"few agents", map[uint64]int{1: 3, 2: 0, 3: 0}, map[uint64][]uint64{2: agents(1), 3: agents(1)}, nobody, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := &holding{self: 1, count: row.count, prefer: row.prefer}
			h.weigh()
			to, n := h.pick(row.shunned)
			if n != row.n || n > 0 && to != row.to {
				t.Errorf("%d agents to %d, want %d to %d", n, to, row.n, row.to)
			}
		})
	}
}

// However many agents there are, they ask at most so often together, as long as
// they need not be slower than is of use.
func TestHeartbeat(t *testing.T) {
	for _, row := range []struct {
		agents int
		want   time.Duration
	}{{0, heartbeatMin}, {34, heartbeatMin}, {100, 500 * time.Millisecond}, {1000, 5 * time.Second}, {2000, heartbeatMax}, {10_000, heartbeatMax}} {
		got := heartbeatFor(row.agents)
		if got != row.want {
			t.Errorf("%d agents every %s, want %s", row.agents, got, row.want)
		}
		if perSecond := float64(row.agents) / got.Seconds(); got < heartbeatMax && perSecond > pingsPerSecond {
			t.Errorf("%d agents ask %.0f times a second", row.agents, perSecond)
		}
	}
}
