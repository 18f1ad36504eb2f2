package gateway

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A gateway sends agents away only where it holds too many, first of all those that
// prefer another one, one to each that has yet to take one, and no more than there is
// room for.
func TestMoves(t *testing.T) {
	// agents are n numbers from a hundred times the member that they prefer on.
	agents := func(member uint64, n int) (ids []uint64) {
		for i := range n {
			ids = append(ids, 100*member+uint64(i))
		}
		return ids
	}
	type counts map[uint64]int
	type prefers map[uint64][]uint64
	for _, row := range []struct {
		name    string
		count   counts
		prefer  prefers
		shunned uint64
		proven  []uint64
		want    counts // sent, by member
		first   uint64 // sent to 3, where that is told
	}{
		{"alone", counts{1: 90}, prefers{1: agents(1, 90)}, 0, nil, nil, 0},
		{"even", counts{1: 30, 2: 30, 3: 30}, prefers{2: agents(2, 30)}, 0, nil, nil, 0},
		{"a tenth more", counts{1: 33, 2: 29, 3: 28}, prefers{2: agents(2, 33)}, 0, []uint64{2, 3}, nil, 0},
		{"one is back", counts{1: 45, 2: 45, 3: 0}, prefers{1: agents(1, 30), 3: agents(3, 15)}, 0, nil, counts{3: 1}, 300},
		{"it takes agents", counts{1: 45, 2: 45, 3: 0}, prefers{1: agents(1, 30), 3: agents(3, 15)}, 0, []uint64{3}, counts{3: 15}, 300},
		{"not too many at a time", counts{1: 500, 2: 400, 3: 0}, prefers{3: agents(3, 500)}, 0, []uint64{3}, counts{3: movesMax}, 300},
		{"nobody prefers another", counts{1: 6, 2: 0, 3: 0}, prefers{1: agents(1, 6)}, 0, []uint64{2, 3}, counts{2: 2, 3: 2}, 101},
		{"those that prefer a third one go first", counts{1: 4, 2: 2, 3: 0}, prefers{1: agents(1, 2), 2: agents(2, 2)}, 0, []uint64{3}, counts{3: 2}, 200},
		{"six agents that know one address", counts{1: 6, 2: 0, 3: 0}, prefers{1: agents(1, 3), 2: agents(2, 1), 3: agents(3, 2)}, 0, nil, counts{2: 1, 3: 1}, 300},
		{"it does not take them", counts{1: 50, 2: 40, 3: 0}, prefers{3: agents(3, 50)}, 3, nil, nil, 0},
		{"less than one each", counts{1: 1, 2: 0, 3: 0}, prefers{2: agents(2, 1)}, 0, nil, nil, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := &holding{self: 1, count: row.count, prefer: row.prefer}
			h.weigh()
			moves := h.moves(func(m uint64) bool { return m == row.shunned }, func(m uint64) bool { return slices.Contains(row.proven, m) })
			got, seen := counts{}, map[uint64]bool{}
			for member, ids := range moves {
				got[member] = len(ids)
				for _, id := range ids {
					if seen[id] {
						t.Errorf("agent %d is sent to two", id)
					}
					seen[id] = true
				}
			}
			if !maps.Equal(got, row.want) {
				t.Errorf("sent %v, want %v", got, row.want)
			}
			if row.first != 0 && moves[3][0] != row.first {
				t.Errorf("agent %d goes to 3 first, want %d", moves[3][0], row.first)
			}
		})
	}
}

// The relay of a site goes where that leaves both gateways nearer to the fair share, once
// there are no agents to send that came by themselves, and one at a time.
func TestSiteMoves(t *testing.T) {
	for _, row := range []struct {
		name  string
		count map[uint64]int
		own   int // agents that came by themselves
		sites map[uint64]int
		want  map[uint64][]uint64
	}{
		{"two sites at one gateway", map[uint64]int{1: 60, 2: 0}, 0, map[uint64]int{7: 30, 8: 30}, map[uint64][]uint64{2: {7}}},
		{"the larger one", map[uint64]int{1: 100, 2: 10, 3: 0}, 0, map[uint64]int{7: 20, 8: 50, 9: 30}, map[uint64][]uint64{3: {8}}},
		{"one that would come back", map[uint64]int{1: 100, 2: 0}, 0, map[uint64]int{7: 70, 8: 30}, map[uint64][]uint64{2: {8}}},
		{"all there is", map[uint64]int{1: 201, 2: 0, 3: 0}, 0, map[uint64]int{7: 201}, nil},
		{"agents go first", map[uint64]int{1: 60, 2: 0}, 1, map[uint64]int{7: 30, 8: 29}, map[uint64][]uint64{2: {100}}},
		{"even", map[uint64]int{1: 31, 2: 30}, 0, map[uint64]int{7: 1}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := &holding{self: 1, count: row.count, prefer: map[uint64][]uint64{}, sites: row.sites}
			for i := range row.own {
				h.prefer[1] = append(h.prefer[1], 100+uint64(i))
			}
			h.weigh()
			nobody, all := func(uint64) bool { return false }, func(uint64) bool { return true }
			if got := h.moves(nobody, all); !maps.EqualFunc(got, row.want, slices.Equal) {
				t.Errorf("sent %v, want %v", got, row.want)
			}
		})
	}
}

// Whatever was held where, and whoever prefers whom, rounds of moves end; without sites
// nobody is above the fair share by more than a tenth then.
func TestMovesEndEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.IntRange(2, 5).Draw(t, "members")
		held := map[uint64][]uint64{}
		preferred, size := map[uint64]uint64{}, map[uint64]int{}
		place := func(id uint64) {
			at := uint64(rapid.IntRange(1, members).Draw(t, "at"))
			held[at] = append(held[at], id)
		}
		for id := range uint64(rapid.IntRange(0, 200).Draw(t, "agents")) {
			place(id)
			preferred[id], size[id] = uint64(rapid.IntRange(1, members).Draw(t, "prefers")), 1
		}
		sites := rapid.IntRange(0, 6).Draw(t, "sites")
		for i := range sites {
			id := uint64(1000 + i)
			place(id)
			size[id] = rapid.IntRange(1, 80).Draw(t, "site")
		}
		nobody, all := func(uint64) bool { return false }, func(uint64) bool { return true }
		for round := 0; ; round++ {
			moved := 0
			for self := uint64(1); self <= uint64(members); self++ {
				h := &holding{self: self, count: map[uint64]int{}, prefer: map[uint64][]uint64{}, sites: map[uint64]int{}}
				for m := uint64(1); m <= uint64(members); m++ {
					h.count[m] = 0
					for _, id := range held[m] {
						h.count[m] += size[id]
					}
				}
				for _, id := range held[self] {
					if prefers := preferred[id]; prefers != 0 {
						h.prefer[prefers] = append(h.prefer[prefers], id)
					} else {
						h.sites[id] = size[id]
					}
				}
				h.weigh()
				for to, ids := range h.moves(nobody, all) {
					held[self] = slices.DeleteFunc(held[self], func(id uint64) bool { return slices.Contains(ids, id) })
					held[to] = append(held[to], ids...)
					moved += len(ids)
				}
				if h.overfull && moved == 0 && sites == 0 {
					t.Fatalf("replica %d holds %d of %v and sends nobody", self, len(held[self]), h.count)
				}
			}
			if moved == 0 {
				return
			}
			if round > 40 {
				t.Fatalf("no end of moves: %v", held)
			}
		}
	})
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
