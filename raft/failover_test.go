package raft

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkFailover measures from the SIGKILL of the leader of three processes to
// the first append that a survivor acknowledges behind it.
func BenchmarkFailover(b *testing.B) {
	f := newFleet(b, 10*time.Minute)
	f.found(3)
	ids := []uint64{1, 2, 3}
	var took []time.Duration
	for b.Loop() {
		leader := f.leader(ids...)
		through := leader%3 + 1
		// One is on its way when the leader dies, and one comes behind it.
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = f.call(through, "Append", Call{Texts: []string{"on its way"}}) })
		began := time.Now()
		f.kill(leader)
		f.must(through, "Append", Call{Texts: []string{"behind it"}})
		took = append(took, time.Since(began))
		wg.Wait()
		f.start(leader, false, false)
		f.must(leader, "Head", Call{})
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkElectionsWhileSyncsStall counts the elections that nobody's death
// called for, under load, while every 20th sync of Raft's log stalls on each of
// three replicas.
func BenchmarkElectionsWhileSyncsStall(b *testing.B) {
	for _, stall := range []time.Duration{0, 20 * time.Millisecond, 50 * time.Millisecond, 80 * time.Millisecond, 150 * time.Millisecond} {
		b.Run(fmt.Sprintf("stall=%v", stall), func(b *testing.B) {
			f := newFleet(b, 10*time.Minute)
			f.stall, f.every = stall, 20
			f.found(3)
			ids := []uint64{1, 2, 3}
			leader := f.leader(ids...)
			before := f.must(leader, "Leader", Call{}).Term
			for b.Loop() {
				var wg sync.WaitGroup
				for _, id := range ids {
					wg.Go(func() { f.must(id, "Load", Call{Writers: 8, Events: 100}) })
				}
				wg.Wait()
			}
			after := f.must(f.leader(ids...), "Leader", Call{}).Term
			b.ReportMetric(float64(after-before), "elections")
			b.ReportMetric(b.Elapsed().Seconds(), "s")
		})
	}
}

// TestSlowDisksCallForNoElection: while each sync of each replica's log takes a
// quarter of a second, all of them busy, nobody calls for an election.
func TestSlowDisksCallForNoElection(t *testing.T) {
	if soak(t) == 0 {
		t.Skip("part of `make soak`: a machine that does more than this has elections of its own")
	}
	f := newFleet(t, 10*time.Minute)
	f.found(3)
	ids := []uint64{1, 2, 3}
	f.stall, f.every = 250*time.Millisecond, 1
	for _, id := range ids {
		f.kill(id)
		f.start(id, false, false)
	}
	for _, id := range ids {
		f.must(id, "Head", Call{})
	}
	before := f.must(f.leader(ids...), "Leader", Call{}).Term
	for end := time.Now().Add(soak(t)); time.Now().Before(end); {
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() { f.must(id, "Load", Call{Writers: 8, Events: 100}) })
		}
		wg.Wait()
	}
	if after := f.must(f.leader(ids...), "Leader", Call{}).Term; after != before {
		t.Errorf("%d elections", after-before)
	}
}

// BenchmarkIdle tells what an idle replica of three costs: a share of one core,
// and memory.
func BenchmarkIdle(b *testing.B) {
	f := newFleet(b, 10*time.Minute)
	f.found(3)
	for b.Loop() {
		var before [3]Answer
		for i := range before {
			before[i] = f.must(uint64(i+1), "Usage", Call{})
		}
		f.pause(5 * time.Second)
		for i := range before {
			after := f.must(uint64(i+1), "Usage", Call{})
			b.ReportMetric(100*(after.CPU-before[i].CPU).Seconds()/5, fmt.Sprintf("%%core-%d", i+1))
			b.ReportMetric(float64(after.RSS>>10)/1024, fmt.Sprintf("MiB-%d", i+1))
		}
	}
}

// BenchmarkFleetAppend measures three replicas in processes of their own, all
// writers at one that leads, or at one that does not.
func BenchmarkFleetAppend(b *testing.B) {
	for _, c := range []struct{ writers, batch int }{{1, 1}, {16, 1}, {128, 1}, {8, 64}} {
		for _, leads := range []bool{true, false} {
			b.Run(fmt.Sprintf("writers=%d/batch=%d/leads=%v", c.writers, c.batch, leads), func(b *testing.B) {
				f := newFleet(b, 10*time.Minute)
				f.found(3)
				at := f.leader(1, 2, 3)
				if !leads {
					at = at%3 + 1
				}
				events := c.writers * c.batch * 20
				var elapsed time.Duration
				n := 0
				for b.Loop() {
					elapsed += f.must(at, "Load", Call{Writers: c.writers, From: uint64(c.batch), Events: events}).Elapsed
					n++
				}
				b.ReportMetric(float64(n*events)/elapsed.Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkCatchUp tells what a long log costs: the memory of replicas that have
// it, of one that starts with it, and of one that joins under load, and how long
// the last takes.
func BenchmarkCatchUp(b *testing.B) {
	const events = 1_000_000
	f := newFleet(b, 20*time.Minute)
	f.sample = true
	f.found(3)
	f.must(1, "Load", Call{Writers: 8, From: 64, Events: events, Within: time.Minute})
	mib := func(id uint64) float64 { return float64(f.must(id, "Usage", Call{}).RSS>>10) / 1024 }
	for b.Loop() {
		for id := range uint64(3) {
			b.ReportMetric(mib(id+1), fmt.Sprintf("MiB-%d", id+1))
		}
		b.ReportMetric(float64(f.must(1, "Usage", Call{}).Peak>>10)/1024, "MiB-peak-1")
		f.kill(3)
		began := time.Now()
		f.start(3, false, false)
		f.must(3, "Head", Call{})
		b.ReportMetric(time.Since(began).Seconds(), "s-restart")
		b.ReportMetric(float64(f.must(3, "Usage", Call{}).Peak>>10)/1024, "MiB-peak-restart")
		loaded := make(chan Answer, 1)
		go func() {
			loaded <- f.must(1, "Load", Call{Writers: 8, From: 64, Events: events / 10, Within: time.Minute})
		}()
		began = time.Now()
		f.join(2, 4)
		b.ReportMetric(time.Since(began).Seconds(), "s-join")
		b.ReportMetric(float64(events/10)/(<-loaded).Elapsed.Seconds(), "events/s-meanwhile")
		f.agreeHeads(1, 2, 3, 4)
		for _, end := range []struct {
			id   uint64
			name string
		}{{4, "join"}, {1, "1-after"}, {2, "2-after"}} {
			u := f.must(end.id, "Usage", Call{})
			b.ReportMetric(float64(u.Peak>>10)/1024, "MiB-peak-"+end.name)
			b.ReportMetric(float64(u.Anon>>10)/1024, "MiB-anon-"+end.name)
		}
	}
	b.ReportMetric(0, "ns/op")
}
