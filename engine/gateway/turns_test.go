package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"quorate/internal/pace"
	"quorate/nodeagent/wire"
)

func siteOf(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// TestLegs: a file whose turn is over after each piece arrives as it is, from the byte on
// that was asked for.
func TestLegs(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	path := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	opened := 0
	open := func(context.Context, string) (*os.File, error) {
		opened++
		return os.Open(path)
	}
	const from = 12345
	got := &sink{}
	out := &outgoing{open: open, bulk: (&gateway{}).newBulk(&connection{carrier: silentCarrier{}}), stream: &stream{got}, offset: from}
	for all := false; !all; {
		var err error
		if all, err = out.leg(t.Context(), func() bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	size, err := wire.ReadBlobSize(&got.Buffer)
	if err != nil || size != uint64(len(content)) || !bytes.Equal(got.Bytes(), content[from:]) || !got.closed {
		t.Errorf("%d bytes of %d, closed %t, %v", got.Len(), size, got.closed, err)
	}
	if want := (len(content)-from)/pace.ChunkBytesMax + 1; opened != want {
		t.Errorf("in %d legs, want %d", opened, want)
	}
}

// A sink is a stream that keeps what is written.
type sink struct {
	carried
	bytes.Buffer
	closed bool
}

func (s *sink) Read(p []byte) (int, error)       { return s.Buffer.Read(p) }
func (s *sink) Write(p []byte) (int, error)      { return s.Buffer.Write(p) }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) Close() error                     { s.closed = true; return nil }

// A transfer is a blob of some size on its way to a site whose line takes so many bytes
// a second; it returns how long that took.
func transfer(ctx context.Context, ts *turns, site netip.Addr, bytes, rate int64) (time.Duration, error) {
	b := (&gateway{limits: Limits{BulkRatePerSite: rate}}).newBulk(&connection{carrier: silentCarrier{}})
	began, left := time.Now(), bytes
	err := ts.inTurns(ctx, site, func(over func() bool) (bool, error) {
		n, err := b.copy(ctx, io.Discard, strings.NewReader(strings.Repeat("x", int(left))), left, over)
		left -= n
		return left == 0, err
	})
	return time.Since(began), err
}

// TestSlowSite: sites that have taken all turns, with files that take an hour on their
// lines, keep nobody waiting for longer than a moment.
func TestSlowSite(t *testing.T) {
	const most, slowRate, fastRate = 4, 16 << 10, 16 << 20
	for _, c := range []struct {
		name  string
		sites int // slow ones
		each  int // transfers
		quick time.Duration
	}{
		{"one site with all turns", 1, 10, 2 * time.Second},
		{"each turn is another's", 4, 1, legMax + 2*time.Second},
		{"more sites than turns", 12, 2, 6 * (legMax + 2*time.Second)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := newTurns(most)
				ctx, cancel := context.WithCancel(t.Context())
				var slow sync.WaitGroup
				for site := range c.sites {
					for range c.each {
						slow.Go(func() {
							if _, err := transfer(ctx, ts, siteOf(site), 3600*slowRate, slowRate); !errors.Is(err, context.Canceled) {
								t.Errorf("a slow file: %v", err)
							}
						})
					}
				}
				<-time.After(time.Minute)
				synctest.Wait()
				took, err := transfer(ctx, ts, siteOf(1000), 4<<20, fastRate)
				if err != nil || took > c.quick {
					t.Errorf("a quick site's file took %v, want %v at most: %v", took, c.quick, err)
				}
				cancel()
				slow.Wait()
				if len(ts.sites) != 0 || ts.free != most {
					t.Errorf("%d sites have %d of %d turns when all is done", len(ts.sites), most-ts.free, most)
				}
			})
		})
	}
}

// TestAlone: a site that nobody shares with has all turns, and keeps them.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTurns(3)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if took, err := transfer(t.Context(), ts, siteOf(1), 1<<20, 16<<10); err != nil || took > 65*time.Second {
					t.Errorf("took %v, %v", took, err)
				}
			})
		}
		all.Wait()
	})
}

// TestTurns asks, gives back and gives up in any order: all turns are used while one
// waits, who has least comes next, and those who wait are told when others have more.
func TestTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const sites = 4
		most := rapid.IntRange(1, 5).Draw(t, "turns")
		ts := newTurns(most)
		var waiting, held [sites][]*turnTicket
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			site := rapid.IntRange(0, sites-1).Draw(t, "site")
			before := held
			switch action := rapid.IntRange(0, 2).Draw(t, "action"); {
			case action == 0:
				waiting[site] = append(waiting[site], ts.ask(siteOf(site)))
			case action == 1 && len(waiting[site]) > 0:
				n := rapid.IntRange(0, len(waiting[site])-1).Draw(t, "who")
				ts.leave(siteOf(site), waiting[site][n])
				waiting[site] = append(waiting[site][:n:n], waiting[site][n+1:]...)
			case action == 2 && len(held[site]) > 0:
				ts.done(siteOf(site))
				held[site] = held[site][1:]
				before = held
			}
			used, waits, least := 0, 0, most+1
			for i := range sites {
				for len(waiting[i]) > 0 && granted(waiting[i][0]) {
					if had := len(before[i]); had > fewest(before, waiting) {
						t.Fatalf("site %d had %d turns, and another that waits fewer", i, had)
					}
					held[i], waiting[i] = append(held[i], waiting[i][0]), waiting[i][1:]
				}
				used, waits = used+len(held[i]), waits+len(waiting[i])
				if len(waiting[i]) > 0 {
					least = min(least, len(held[i]))
				}
			}
			if used > most || waits > 0 && used < most || ts.free != most-used {
				t.Fatalf("%d of %d turns are used, %d are free, and %d wait", used, most, ts.free, waits)
			}
			for i := range sites {
				if len(held[i]) == 0 {
					continue
				}
				for lasts, want := range map[time.Duration]bool{0: len(held[i]) > least+1, legMax: len(held[i]) > least} {
					if got := ts.over(siteOf(i), lasts); got != (want && waits > 0) {
						t.Fatalf("after %v site %d of %d turns hands over: %t, others have %d", lasts, i, len(held[i]), got, least)
					}
				}
			}
		}
	})
}

func granted(ticket *turnTicket) bool {
	select {
	case <-ticket.granted:
		return true
	default:
		return false
	}
}

// fewest is what the site has that has least of those that wait.
func fewest(held, waiting [4][]*turnTicket) int {
	least := 1 << 30
	for i := range held {
		if len(waiting[i]) > 0 {
			least = min(least, len(held[i]))
		}
	}
	return least
}
