package acceptance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quorate/internal/soak/lab"
)

const (
	// memoryBytesMax is what no process may take, however large the files are.
	memoryBytesMax = 150 << 20
	// largeAgents take a large file at the same time.
	largeAgents = 4
	// imageName is the file's, here and on the hosts.
	imageName = "image.bin"
)

// An image is a large file that cannot be compressed, and an orchestration that ships it.
type image struct {
	path, digest  string
	orchestration string
	bytes         int64
}

// newImage writes one. The seed decides what is in it.
func newImage(tb testing.TB, bytes int64, seed byte, job string) *image {
	tb.Helper()
	dir := tb.TempDir()
	im := &image{path: filepath.Join(dir, imageName), orchestration: filepath.Join(dir, "ship.yaml"), bytes: bytes}
	file, err := os.Create(im.path)
	if err != nil {
		tb.Fatal(err)
	}
	hash := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(file, hash), rand.NewChaCha8([32]byte{seed}), bytes); err != nil {
		tb.Fatal(err)
	}
	if err := file.Close(); err != nil {
		tb.Fatal(err)
	}
	im.digest = hex.EncodeToString(hash.Sum(nil))
	if err := os.WriteFile(im.orchestration, []byte("- jobs:\n  - "+job+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return im
}

// shipJob puts the image into the agent's working directory.
const shipJob = "ADD: --timeout 3600 " + imageName + " " + imageName

// shipped starts "quorate orchestrate" for an image on an orchestrator's machine. It
// waits for the end of the run.
func (im *image) shipped(ctx context.Context, l *lab.Lab, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, l.Bin, append([]string{"orchestrate", im.orchestration}, args...)...)
	cmd.Env = append(os.Environ(), "QUORATE_SERVER="+l.Servers()[0].Socket(), "QUORATE_IDENTITY=")
	cmd.Stderr = new(bytes.Buffer)
	return cmd
}

// on is where the image goes on an agent.
func on(a *lab.Agent) string { return filepath.Join(a.Dir, "root", imageName) }

// check wants the whole image on an agent, and nothing beside it.
func (im *image) check(tb testing.TB, a *lab.Agent) {
	tb.Helper()
	file, err := os.Open(on(a))
	if err != nil {
		tb.Error(err)
		return
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		tb.Error(err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != im.digest {
		tb.Errorf("%s has SHA-256 %s, want %s", on(a), got, im.digest)
	}
	entries, err := os.ReadDir(filepath.Dir(on(a)))
	if err != nil || len(entries) != 1 {
		tb.Errorf("beside %s: %v, %v", on(a), entries, err)
	}
}

// peak is the most memory that a process ever had resident, in bytes.
func peak(tb testing.TB, pid int) int64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return kib << 10
		}
	}
	tb.Fatalf("no VmHWM of process %d", pid)
	return 0
}

// checkMemory wants every process of the lab within its bounds, and returns the most
// that one of the orchestrators and one of the agents had, in bytes.
func checkMemory(tb testing.TB, l *lab.Lab) (server, agent int64) {
	tb.Helper()
	check := func(name string, pid int) int64 {
		bytes := peak(tb, pid)
		if bytes > memoryBytesMax {
			tb.Errorf("%s has had %d MiB resident, more than %d", name, bytes>>20, memoryBytesMax>>20)
		}
		return bytes
	}
	for _, s := range l.Servers() {
		server = max(server, check(s.Name(), s.Pid()))
	}
	for _, a := range l.Agents() {
		agent = max(agent, check(a.Name(), a.Pid()))
	}
	return server, agent
}

// ship sends the image to all agents, and returns how long it took from the first byte
// read to the end of the run, and the memory of who took part.
func ship(tb testing.TB, l *lab.Lab, im *image) (took time.Duration, server, agent, client int64) {
	tb.Helper()
	began := time.Now()
	cmd := im.shipped(tb.Context(), l)
	if err := cmd.Run(); err != nil {
		tb.Fatalf("orchestrate: %v: %s", err, cmd.Stderr)
	}
	took = time.Since(began)
	for _, a := range l.Agents() {
		im.check(tb, a)
	}
	server, agent = checkMemory(tb, l)
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		if client = usage.Maxrss << 10; client > memoryBytesMax {
			tb.Errorf("the command has had %d MiB resident, more than %d", client>>20, memoryBytesMax>>20)
		}
	}
	return took, server, agent, client
}

// A large file gets to four agents at once, whole, and no process has more of it in
// memory than its bounds allow.
func TestLargeFile(t *testing.T) {
	im := newImage(t, size[int64](1<<30, 24<<20), 1, shipJob)
	l := startLab(t, lab.Options{Agents: largeAgents})
	took, server, agent, client := ship(t, l, im)
	t.Logf("%d MiB to %d agents in %s; resident at most: orchestrator %d MiB, agent %d MiB, command %d MiB",
		im.bytes>>20, largeAgents, took.Round(time.Millisecond), server>>20, agent>>20, client>>20)
}

// BenchmarkLargeFile ships 1 GiB to four agents on this machine, and compares with what
// "cp" and "sha256sum" need for as many copies of it.
func BenchmarkLargeFile(b *testing.B) {
	im := newImage(b, 1<<30, 1, shipJob)
	l := startLab(b, lab.Options{Agents: largeAgents})
	for b.Loop() {
		took, server, agent, client := ship(b, l, im)
		floor := copies(b, im)
		b.ReportMetric(float64(largeAgents*im.bytes)/took.Seconds()/1e6, "MB/s")
		b.ReportMetric(float64(largeAgents*im.bytes)/floor.Seconds()/1e6, "cp-MB/s")
		b.ReportMetric(float64(server)/(1<<20), "orchestrator-MiB")
		b.ReportMetric(float64(agent)/(1<<20), "agent-MiB")
		b.ReportMetric(float64(client)/(1<<20), "command-MiB")
	}
}

// copies is how long copying the image for each agent, syncing and checking the copies
// takes without us.
func copies(b *testing.B, im *image) time.Duration {
	b.Helper()
	dir := b.TempDir()
	began := time.Now()
	for n := range largeAgents {
		to := filepath.Join(dir, strconv.Itoa(n))
		for _, argv := range [][]string{{"cp", im.path, to}, {"sync", to}, {"sha256sum", to}} {
			if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
				b.Fatalf("%v: %v: %s", argv, err, out)
			}
		}
	}
	return time.Since(began)
}
