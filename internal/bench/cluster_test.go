package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/internal/soak"
	"quorate/internal/soak/lab"
)

// binary is built once for all benchmarks.
var binary = sync.OnceValues(func() (string, error) { return lab.Build(binaryDir) })

// startLab starts a cluster of processes on the loopback interface.
func startLab(b testing.TB, opt lab.Options) *lab.Lab {
	b.Helper()
	bin, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	opt.Binary = bin
	l, err := lab.New(b.Context(), opt)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if b.Failed() {
			b.Log(l.Logs(20))
		}
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

// hosts are the names of the agents.
func hosts(l *lab.Lab) []string {
	var names []string
	for _, a := range l.Agents() {
		names = append(names, a.Name())
	}
	return names
}

// record puts a deployment on record.
func record(b testing.TB, l *lab.Lab, name string, hosts []string, tasks []soak.Task) *soak.Deployment {
	b.Helper()
	d, err := soak.Compile(filepath.Join(l.Dir, "input", name), name, hosts, tasks)
	if err != nil {
		b.Fatal(err)
	}
	client := local(b, l.Servers()[0])
	if err := d.Record(b.Context(), client); err != nil {
		b.Fatal(err)
	}
	return d
}

func local(b testing.TB, s *lab.Server) *api.Client {
	b.Helper()
	client, err := s.Local()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return client
}

// anyone is a client of all orchestrators.
func anyone(b testing.TB, l *lab.Lab) *api.Client {
	b.Helper()
	from, err := l.Client("operator")
	if err != nil {
		b.Fatal(err)
	}
	client, err := l.Dial(from, l.Servers())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return client
}

// A seen record is one that a follower was shown, and when.
type seen struct {
	api.LogEvent
	at time.Time
}

// follow collects what an orchestrator shows of its log from now on, as it comes.
func follow(ctx context.Context, b testing.TB, s *lab.Server) *follower {
	b.Helper()
	status, err := s.Status(ctx)
	if err != nil {
		b.Fatal(err)
	}
	f := &follower{news: make(chan struct{}, 1)}
	client := local(b, s)
	go func() { // ends with ctx, or with the orchestrator
		for e, err := range client.Log(ctx, api.LogQuery{Since: status.Seq, Follow: true}) {
			if err != nil {
				f.mu.Lock()
				f.err = err
				f.mu.Unlock()
				return
			}
			f.mu.Lock()
			f.records = append(f.records, seen{e, time.Now()})
			f.mu.Unlock()
			select {
			case f.news <- struct{}{}:
			default:
			}
		}
	}()
	return f
}

// A follower holds what one orchestrator has shown.
type follower struct {
	mu      sync.Mutex
	records []seen
	err     error // why it sees no more
	news    chan struct{}
}

// first waits for a record that fits, and returns it.
func (f *follower) first(b testing.TB, what string, fits func(seen) bool) seen {
	b.Helper()
	deadline := time.After(lab.Patience)
	for next := 0; ; {
		f.mu.Lock()
		records := f.records[next:]
		next = len(f.records)
		f.mu.Unlock()
		for _, r := range records {
			if fits(r) {
				return r
			}
		}
		select {
		case <-f.news:
		case <-deadline:
			f.mu.Lock()
			defer f.mu.Unlock()
			b.Fatalf("%s: not within %s; %d records were shown, then %v", what, lab.Patience, len(f.records), f.err)
		}
	}
}

// print shows what was seen between two moments.
func (f *follower) print(from, to time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.records {
		if !r.at.Before(from) && !r.at.After(to) {
			fmt.Printf("%s %d %s run %d void %t %v\n", r.at.UTC().Format(time.StampMilli), r.Seq, r.Kind, r.Run, r.Void, r.Event)
		}
	}
}

// field reads a number of a record's event.
func field(r seen, name string) uint64 {
	fields, _ := r.Event.(map[string]any)
	switch n := fields[name].(type) {
	case float64:
		return uint64(n)
	case json.Number:
		whole, _ := n.Int64()
		return uint64(whole)
	}
	return 0
}

// start starts a run and repeats the request until it is answered.
func startRun(b testing.TB, client *api.Client, d *soak.Deployment, id string) *api.Run {
	b.Helper()
	var last error
	var run *api.Run
	err := lab.UntilWithin(b.Context(), lab.Patience, "the start of a run", func() bool {
		ctx, cancel := context.WithTimeout(b.Context(), 5*time.Second)
		defer cancel()
		run, last = client.CreateRun(ctx, api.RunSubmit{PlanID: d.PlanID, RequestID: id, IgnoreCache: true})
		return last == nil
	})
	if err != nil {
		b.Fatal(err, last)
	}
	return run
}

// ended waits for the end of a run and returns it.
func ended(b testing.TB, client *api.Client, id uint64) *api.Run {
	b.Helper()
	var run *api.Run
	err := lab.UntilWithin(b.Context(), 10*time.Minute, fmt.Sprintf("the end of run %d", id), func() bool {
		got, err := client.Run(b.Context(), strconv.FormatUint(id, 10))
		if err != nil || !got.Done() {
			return false
		}
		run = got
		return true
	})
	if err != nil {
		b.Fatal(err)
	}
	return run
}

// spread reports the median and the worst of some times, in milliseconds.
func spread(b *testing.B, name string, times []time.Duration) {
	b.Helper()
	if len(times) == 0 {
		b.Fatalf("%s: nothing was measured", name)
	}
	slices.Sort(times)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(times[len(times)/2]), name+"-median-ms")
	b.ReportMetric(ms(times[len(times)*95/100]), name+"-p95-ms")
	b.ReportMetric(ms(times[len(times)-1]), name+"-worst-ms")
}
