package acceptance

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"quorate/internal/soak/lab"
)

// largePatience bounds what a test waits for that processes do by themselves.
const largePatience = 4 * lab.Patience

// received is how much an isolated agent's host was sent so far, in bytes, by its own
// network interface.
func received(t *testing.T, a *lab.Agent) int64 {
	t.Helper()
	argv := a.Command("cat", "/sys/class/net/eth0/statistics/rx_bytes")
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cached is how much of a content the agent has on its disk, in bytes.
func cached(a *lab.Agent, digest string) int64 {
	for _, suffix := range []string{"", ".part"} {
		if info, err := os.Stat(filepath.Join(a.Dir, "blobs", digest[:2], digest+suffix)); err == nil {
			return info.Size()
		}
	}
	return 0
}

// A guard looks at a file all the time, which has to be whole whenever it is there.
type guard struct {
	stop  chan struct{}
	ended sync.WaitGroup
	looks int
	fault string
}

// guarding starts one for the agent's copy of the image.
func guarding(im *image, a *lab.Agent) *guard {
	g := &guard{stop: make(chan struct{})}
	g.ended.Go(func() {
		for {
			select {
			case <-g.stop:
				return
			default:
			}
			if info, err := os.Stat(on(a)); err == nil && info.Size() != im.bytes {
				g.fault = "half a file is there under its name: " + strconv.FormatInt(info.Size(), 10) + " bytes"
				return
			}
			g.looks++
		}
	})
	return g
}

// end returns what the guard has seen.
func (g *guard) end() (looks int, fault string) {
	close(g.stop)
	g.ended.Wait()
	return g.looks, g.fault
}

// An agent that is killed in the middle of a large file, and an orchestrator that is
// killed after that, cost a little of it each: the rest is not sent again. The file is
// never there by halves.
func TestLargeFileIsResumed(t *testing.T) {
	if !full() {
		t.Skip("it takes a minute and a half: make acceptance")
	}
	if os.Geteuid() != 0 {
		t.Skip("what a host receives is counted in its network namespace, which needs root")
	}
	const againBytesMax = 8 << 20 // windows of QUIC, and what the disk had not got
	im := newImage(t, 1<<30, 2, shipJob)
	network, err := lab.Isolate()
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := network.Close(); err != nil {
			t.Error(err)
		}
	})
	l := startLab(t, lab.Options{Agents: 1, Network: network})
	a, s := l.Agents()[0], l.Servers()[0]
	g := guarding(im, a)
	before := received(t, a)
	if err := im.shipped(t.Context(), l, "--detach").Run(); err != nil {
		t.Fatal(err)
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		if err := lab.UntilWithin(t.Context(), largePatience, what, ok); err != nil {
			t.Fatal(err)
		}
	}
	interrupt := func(what string, bytes int64, p *lab.Process) {
		t.Helper()
		until(what, func() bool { return cached(a, im.digest) >= bytes })
		if size := cached(a, im.digest); size == im.bytes {
			t.Logf("the file was there before the %s was killed", what)
		}
		p.Kill()
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
	interrupt("agent", im.bytes/4, a.Process)
	interrupt("orchestrator", im.bytes/2, s.Process)
	until("the file", func() bool { _, err := os.Stat(on(a)); return err == nil })
	quorate(t, l, new(any), "run", "wait", "1", "-o", "json")
	im.check(t, a)
	if looks, fault := g.end(); fault != "" || looks == 0 {
		t.Errorf("after %d looks: %s", looks, fault)
	}
	// Headers and acknowledgements take some of what the interface counts.
	got := received(t, a) - before
	if most := im.bytes + im.bytes/16 + 2*againBytesMax; got > most {
		t.Errorf("the host received %d bytes for a file of %d, more than %d", got, im.bytes, most)
	}
	t.Logf("%d bytes received for a file of %d, through two kills", got, im.bytes)
}

// An agent that is killed while it puts the file in its place leaves nothing beside it.
func TestLargeFileInPlaceOrNot(t *testing.T) {
	im := newImage(t, size[int64](1<<30, 64<<20), 3, shipJob)
	l := startLab(t, lab.Options{Agents: 1})
	a := l.Agents()[0]
	g := guarding(im, a)
	if err := im.shipped(t.Context(), l, "--detach").Run(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // each time it is on its way to the place
		err := lab.UntilWithin(t.Context(), largePatience, "the content", func() bool {
			_, err := os.Stat(filepath.Join(a.Dir, "blobs", im.digest[:2], im.digest))
			return err == nil
		})
		if err != nil {
			t.Fatal(err)
		}
		a.Kill()
		entries, err := os.ReadDir(filepath.Dir(on(a)))
		if err != nil || len(entries) > 1 || len(entries) == 1 && entries[0].Name() != imageName {
			t.Errorf("the killed agent has left %v, %v", entries, err)
		}
		if err := a.Start(); err != nil {
			t.Fatal(err)
		}
	}
	quorate(t, l, new(any), "run", "wait", "1", "-o", "json")
	im.check(t, a)
	if looks, fault := g.end(); fault != "" || looks == 0 {
		t.Errorf("after %d looks: %s", looks, fault)
	}
}

// Where there is no room for a large file, neither in the cache nor in its place, the
// job says so, what was there stays, and the disk is as empty as before.
func TestLargeFileWithoutRoom(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("small file systems are mounted, which needs root")
	}
	const roomBytes = 16 << 20
	im := newImage(t, 24<<20, 4, shipJob)
	l := startLab(t, lab.Options{Agents: 1})
	a := l.Agents()[0]
	const old = "what was there before\n"
	for _, dir := range []string{filepath.Join(a.Dir, "blobs"), filepath.Dir(on(a))} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(roomBytes)); err != nil {
			t.Skip(err)
		}
		unmount := sync.OnceFunc(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		t.Cleanup(unmount)
		if err := os.WriteFile(on(a), []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := im.shipped(t.Context(), l)
		if err := cmd.Run(); err == nil {
			t.Errorf("%s: a file of %d bytes was put into %d", dir, im.bytes, roomBytes)
		}
		out, err := l.Run(t.Context(), l.Servers()[0], "run", "output", "-o", "ndjson", newest(t, l))
		if err != nil || !strings.Contains(string(out), "no room for it") {
			t.Errorf("%s: %v, %s", dir, err, out)
		}
		if text, err := os.ReadFile(on(a)); err != nil || string(text) != old {
			t.Errorf("%s: the file that was there has %q, %v", dir, text, err)
		}
		if used := usedIn(t, dir); used > 1<<20 {
			t.Errorf("%s: %d bytes are taken by what could not become whole", dir, used)
		}
		unmount()
	}
	if err := os.Remove(on(a)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	ship(t, l, im)
}

// newest is the number of the newest run.
func newest(t *testing.T, l *lab.Lab) string {
	t.Helper()
	var runs struct{ Runs []struct{ ID uint64 } }
	quorate(t, l, &runs, "run", "ls", "-o", "json")
	if len(runs.Runs) == 0 {
		t.Fatal("there is no run")
	}
	return strconv.FormatUint(runs.Runs[0].ID, 10)
}

// usedIn is what is taken in a file system, in bytes.
func usedIn(t *testing.T, dir string) uint64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return (st.Blocks - st.Bfree) * uint64(st.Bsize)
}
