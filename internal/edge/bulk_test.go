package edge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quorate/internal/pace"
)

// shipment writes a file that cannot be packed, and an orchestration that puts it on
// the agents; it returns the file's digest and the arguments of the command. Files of
// different names differ.
func (s *site) shipment(name string, bytes int64) (digest string, args []string) {
	s.t.Helper()
	file, err := os.Create(filepath.Join(s.Dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(file, hash), rand.NewChaCha8(sha256.Sum256([]byte(name))), bytes); err != nil {
		s.t.Fatal(err)
	}
	job := fmt.Sprintf("- jobs:\n    - ADD: --timeout 3600 %s %s\n", name, name)
	return hex.EncodeToString(hash.Sum(nil)), []string{"orchestrate", "--ignore-cache", s.write(name+".yaml", job)}
}

// sleeper starts a run of one job that would take an hour, and returns the run and the
// process of the job.
func (s *site) sleeper(name string) (run string, pid int) {
	s.t.Helper()
	path := filepath.Join(s.Dir, name)
	run = s.begin(s.writeJobs(name+"-run", 1, fmt.Sprintf("echo $$ > %s.new; mv %s.new %s; exec sleep 3600", path, path, path))...)
	s.until(name+" runs", func() bool {
		text, err := os.ReadFile(path)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	})
	return run, pid
}

// cancel cancels a run and returns how long it took until that had an effect, from the
// start of the command on.
func (s *site) cancel(run string, done func() bool) time.Duration {
	s.t.Helper()
	began, over := time.Now(), make(chan time.Duration, 1)
	go func() { // ends with the test at the latest
		for deadline := began.Add(time.Minute); !done() && time.Now().Before(deadline); {
			<-time.After(time.Millisecond)
		}
		over <- time.Since(began)
	}()
	if _, err := s.Run(s.t.Context(), s.Servers()[0], "run", "cancel", run, "--yes", "--reason", "a test"); err != nil {
		s.t.Fatal(err)
	}
	return <-over
}

// gone reports whether a process has ended.
func gone(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}

// A traffic is what went over a link to the agent between two moments.
type traffic struct {
	took  time.Duration
	bytes int64
	queue time.Duration // that a packet was in, on average
}

// measure starts to look at a link.
func measure(l *Link) (stop func() traffic) {
	began, before := time.Now(), Count{}
	before, _ = l.Counts()
	return func() traffic {
		after, _ := l.Counts()
		return traffic{
			time.Since(began), after.Bytes - before.Bytes,
			(after.Waited - before.Waited) / time.Duration(max(1, after.Queued-before.Queued)),
		}
	}
}

// TestBulkYields ships two large files over a slow link whose queue has room for seconds
// of them, and cancels other jobs of the same agent meanwhile, and at last the files' own.
// They have to leave the queue short, and the link full.
func TestBulkYields(t *testing.T) {
	beside(t)
	type conditions struct {
		name string
		Conditions
	}
	all := []conditions{{"a queue of 2 s", Conditions{Delay: 30 * time.Millisecond, BytesPerSecond: 400e3, QueueMax: 2 * time.Second}}}
	if full() {
		all = []conditions{
			{"a queue of 0.3 s", Conditions{Delay: roundTrip / 2, BytesPerSecond: 2e6, QueueMax: 300 * time.Millisecond}},
			{"a queue of 2 s", Conditions{Delay: roundTrip / 2, BytesPerSecond: 2e6, QueueMax: 2 * time.Second}},
			{"a queue of 2 s, 10 ms of jitter", Conditions{Delay: roundTrip / 2, Jitter: 10 * time.Millisecond, BytesPerSecond: 2e6, QueueMax: 2 * time.Second}},
			{"60 ms, a queue of 2 s", Conditions{Delay: 30 * time.Millisecond, BytesPerSecond: 2e6, QueueMax: 2 * time.Second}},
		}
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) { bulkYields(t, c.Conditions) })
	}
}

func bulkYields(t *testing.T, c Conditions) {
	s := newSite(t, 1, 1, c)
	link, trip, rounds := s.links[0], 2*c.Delay, size(10, 1)
	begin := measure(link)
	var ships []string
	for _, name := range []string{"image", "another"} {
		_, args := s.shipment(name, size[int64](100e6, 20e6))
		ships = append(ships, s.begin(args...))
	}
	s.until("the files are under way", func() bool { n, _ := link.Counts(); return n.Bytes > c.BytesPerSecond })
	first := begin()
	steady := measure(link)
	var took []time.Duration
	for n := range rounds {
		run, pid := s.sleeper(fmt.Sprintf("sleeper%d", n))
		took = append(took, s.cancel(run, func() bool { return gone(pid) }))
	}
	if full() {
		s.until("the link was full for a while", func() bool { return steady().took > 20*time.Second })
	}
	rest := steady()
	s.cancel(ships[0], func() bool { return true })
	last := s.cancel(ships[1], func() bool {
		before, _ := link.Counts()
		<-time.After(30 * time.Millisecond)
		after, _ := link.Counts()
		return after.Bytes-before.Bytes < c.BytesPerSecond/200 // a sixth of what fits through meanwhile
	})
	slices.Sort(took)
	share := float64(rest.bytes) / rest.took.Seconds() / float64(c.BytesPerSecond)
	t.Logf("%v there and back: a cancel took %v in the median of %d and %v at worst, and %v until the link was free when it was the files'; these took %.0f %% of the link, and packets waited %v; the first second's worth of it %v, and %v",
		trip, took[len(took)/2].Round(time.Millisecond), len(took), took[len(took)-1].Round(time.Millisecond), last.Round(time.Millisecond),
		100*share, rest.queue.Round(time.Millisecond), first.took.Round(time.Millisecond), first.queue.Round(time.Millisecond))
	if most := 3 * pace.Target; rest.queue > most {
		t.Errorf("packets waited %v in the queue, want %v at most", rest.queue, most)
	}
	if full() && share < 0.85 {
		t.Errorf("the files took %.0f %% of the link, want 85 %% at least", 100*share)
	}
	if worst := took[len(took)-1]; full() && worst > 4*trip+time.Second {
		t.Errorf("a cancel took %v, with %v there and back", worst, trip)
	}
}
