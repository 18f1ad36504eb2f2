package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quorate/engine/orchestrator"
	"quorate/engine/snapshot"
	"quorate/eventlog"
	"quorate/internal/bench/biglog"
	"quorate/internal/pki"
)

// pastVariable names the directory that this binary, run as a process of its own,
// starts an orchestrator on; see start.
const pastVariable = "QUORATE_BENCH_PAST"

// BenchmarkPast measures a log of a million events: how long it takes to verify it, to
// show the state at a point, to start an orchestrator, and to write and check a bundle of
// all, with what memory; and how much longer records take to be folded while a snapshot
// of the state is written.
func BenchmarkPast(b *testing.B) {
	bin, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	// All of it in other processes: what one takes at most counts what its parent has.
	b.Logf("made in %s", started(b, dir, "make").Wall)
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			report(b, command(b, bin, "replay", "--verify", "--data-dir", dir))
		}
	})
	b.Run("audit-log", func(b *testing.B) {
		for b.Loop() {
			report(b, command(b, bin, "audit", "verify", dir))
		}
	})
	b.Run("start/first", func(b *testing.B) {
		for b.Loop() {
			report(b, started(b, dir, "start"))
		}
	})
	b.Run("server/first", func(b *testing.B) {
		for b.Loop() {
			report(b, served(b, bin, dir))
			if err := os.RemoveAll(filepath.Join(dir, snapshot.DirName)); err != nil {
				b.Fatal(err)
			}
		}
	})
	started(b, dir, "snapshots")
	b.Run("server/snapshot", func(b *testing.B) {
		for b.Loop() {
			report(b, served(b, bin, dir))
		}
	})
	b.Run("start/snapshot", func(b *testing.B) {
		for b.Loop() {
			report(b, started(b, dir, "start"))
		}
	})
	b.Run("at", func(b *testing.B) {
		for b.Loop() {
			var worst usage
			for _, at := range []uint64{1, 99_999, 199_998, 456_789, 599_999, 899_999, 999_999} {
				worst = worst.worse(command(b, bin, "replay", "--data-dir", dir, "--at", strconv.FormatUint(at, 10)))
			}
			report(b, worst)
		}
	})
	file := filepath.Join(b.TempDir(), "all.tar")
	b.Run("audit-export", func(b *testing.B) {
		for b.Loop() {
			_ = os.Remove(file) // an earlier turn's
			report(b, command(b, bin, "audit", "export", file, "--all", "--data-dir", dir))
		}
	})
	b.Run("audit-bundle", func(b *testing.B) {
		for b.Loop() {
			report(b, command(b, bin, "audit", "verify", file))
		}
	})
	b.Run("pause", func(b *testing.B) {
		for b.Loop() {
			report(b, started(b, dir, "pause"))
		}
	})
}

// A usage is what a process took, or how long its slowest records did.
type usage struct {
	Wall, CPU           time.Duration
	Memory              int64 // bytes, at most
	Without, With       time.Duration
	WithoutMax, WithMax time.Duration
}

func (u usage) worse(v usage) usage {
	u.Wall, u.CPU, u.Memory = max(u.Wall, v.Wall), max(u.CPU, v.CPU), max(u.Memory, v.Memory)
	return u
}

func report(b *testing.B, u usage) {
	b.Helper()
	b.ReportMetric(u.Wall.Seconds(), "wall-s")
	b.ReportMetric(u.CPU.Seconds(), "cpu-s")
	b.ReportMetric(float64(u.Memory)/(1<<20), "MiB")
	if u.With > 0 {
		b.ReportMetric(float64(u.Without.Microseconds())/1000, "p99-ms-without")
		b.ReportMetric(float64(u.With.Microseconds())/1000, "p99-ms-with")
		b.ReportMetric(float64(u.WithoutMax.Microseconds())/1000, "max-ms-without")
		b.ReportMetric(float64(u.WithMax.Microseconds())/1000, "max-ms-with")
	}
}

// command runs a command to its end.
func command(b *testing.B, name string, args ...string) usage {
	b.Helper()
	cmd := exec.Command(name, args...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %v: %.2000s", args, err, out)
	}
	u := usage{Wall: time.Since(began), CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	u.Memory = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	return u
}

// served starts a server, with all that it does beside orchestrating, until it leads.
func served(b *testing.B, bin, dir string) (u usage) {
	b.Helper()
	cmd := exec.Command(bin, "server", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log", "embedded")
	said, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	for lines := bufio.NewScanner(said); u.Wall == 0 && lines.Scan(); {
		if strings.Contains(lines.Text(), "msg=leading") {
			u.Wall = time.Since(began)
		}
	}
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()
	if u.Wall == 0 {
		b.Fatal("the server did not lead")
	}
	u.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	u.Memory = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	return u
}

// started runs an orchestrator on the directory as a process of its own: until it has
// folded everything, until it has written all snapshots, or while it writes one.
func started(b *testing.B, dir, what string) usage {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), pastVariable+"="+what+":"+dir)
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v: %.2000s", what, err, out)
	}
	var u usage
	if err := json.Unmarshal(out, &u); err != nil {
		b.Fatalf("%s printed %q: %v", what, out, err)
	}
	u.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	u.Memory = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	return u
}

// past is the process that started runs; it prints a usage.
func past(task string) error {
	debug.SetGCPercent(50) // as the server does
	what, dir, _ := strings.Cut(task, ":")
	every := uint64(1 << 40)
	if what == "snapshots" {
		every = 0
	}
	began := time.Now()
	if what == "make" {
		return makePast(dir, began)
	}
	p, err := startPast(dir, every)
	if err != nil {
		return err
	}
	u := usage{Wall: time.Since(began)}
	switch what {
	case "snapshots":
		err = p.written(eventsMany)
	case "pause":
		err = p.pause(&u)
	}
	if err = p.end(err); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(u)
}

func makePast(dir string, began time.Time) error {
	ca, err := pki.LoadOrCreate(filepath.Join(dir, "pki"))
	if err != nil {
		return err
	}
	if _, err := biglog.Write(dir, ca.ClusterID(), biglog.Usual, eventsMany); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(usage{Wall: time.Since(began)})
}

// A pastNode is an orchestrator on a log of its own.
type pastNode struct {
	dir   string
	log   *eventlog.Embedded
	orch  *orchestrator.Orchestrator
	stop  context.CancelFunc
	ended chan error
}

func startPast(dir string, every uint64) (*pastNode, error) {
	p := &pastNode{dir: dir, ended: make(chan error, 1)}
	var err error
	if p.log, err = eventlog.OpenEmbedded(dir); err != nil {
		return nil, err
	}
	blobs, err := eventlog.OpenBlobs(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, err
	}
	ca, err := pki.LoadOrCreate(filepath.Join(dir, "pki"))
	if err != nil {
		return nil, err
	}
	p.orch, err = orchestrator.New(orchestrator.Config{
		Log: p.log, Blobs: blobs, CA: ca, Replica: 1, Version: "bench", States: filepath.Join(dir, snapshot.DirName), StatesEvery: every,
	})
	if err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	go func() { p.ended <- p.orch.Run(ctx) }()
	return p, p.orch.CaughtUp(ctx)
}

func (p *pastNode) end(err error) error {
	p.stop()
	if ended := <-p.ended; err == nil {
		err = ended
	}
	if closed := p.log.Close(); err == nil {
		err = closed
	}
	return err
}

// written waits for a snapshot.
func (p *pastNode) written(index uint64) error {
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		if p.has(index) {
			return nil
		}
	}
	return fmt.Errorf("no snapshot at %d", index)
}

func (p *pastNode) has(index uint64) bool {
	all, err := snapshot.At(filepath.Join(p.dir, snapshot.DirName)).List()
	return err == nil && slices.Contains(all, index)
}

// pause appends for some seconds while no snapshot is written, and then, started anew
// without the newest, while that one is.
func (p *pastNode) pause(u *usage) error {
	all, err := p.latencies(func(n int) bool { return n == 1000 })
	if err != nil {
		return p.end(err)
	}
	u.Without, u.WithoutMax = all[len(all)*99/100], all[len(all)-1]
	if err := p.end(nil); err != nil {
		return err
	}
	newest := uint64(eventsMany)
	if err := snapshot.At(filepath.Join(p.dir, snapshot.DirName)).Remove(newest); err != nil {
		return err
	}
	again, err := startPast(p.dir, 0)
	if err != nil {
		return err
	}
	*p = *again
	all, err = p.latencies(func(int) bool { return p.has(newest) })
	if err != nil {
		return err
	}
	u.With, u.WithMax = all[len(all)*99/100], all[len(all)-1]
	return nil
}

// latencies appends one record after the other until enough, and returns how long
// each took until it was folded, ascending.
func (p *pastNode) latencies(enough func(n int) bool) (all []time.Duration, err error) {
	for n := 0; !enough(n); n++ {
		entry, err := eventlog.NewEntry(time.Now().UnixNano(), &eventlog.OperatorIssued{Name: "ann", KeyDigest: strconv.Itoa(n)})
		if err != nil {
			return nil, err
		}
		began := time.Now()
		at, err := p.log.Append(context.Background(), []eventlog.Entry{entry})
		if err != nil {
			return nil, err
		}
		if err := p.orch.WaitFolded(context.Background(), at); err != nil {
			return nil, err
		}
		all = append(all, time.Since(began))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("nothing was measured")
	}
	slices.Sort(all)
	return all, nil
}
