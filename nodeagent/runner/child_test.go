package runner

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func startChild(t *testing.T, r *Runner, script string) *child {
	t.Helper()
	p, err := r.run(&start{path: r.shells.full, argv: []string{r.shells.full, "-c", script}, env: r.env})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// threadOnly takes the descriptor from a child, as a kernel without them would.
func threadOnly(p *child) {
	if p.end != nil {
		p.end.Close()
		p.end = nil
	}
}

func TestChildEnds(t *testing.T) {
	r := newRunner(t)
	for name, prepare := range map[string]func(*child){"by descriptor": func(*child) {}, "by thread": threadOnly} {
		t.Run(name, func(t *testing.T) {
			for script, want := range map[string]int{"exit 7": 7, "kill -9 $$": 128 + 9} {
				p := startChild(t, r, script)
				prepare(p)
				status, ended := p.wait(t.Context())
				if code, _ := exitOf(status); !ended || code != want {
					t.Errorf("%s: ended %v with %d", script, ended, code)
				}
				if _, ok := identify(p.pid); ok {
					t.Errorf("%s: a zombie is left", script)
				}
			}
		})
	}
}

func TestChildIsLeft(t *testing.T) {
	r := newRunner(t)
	for name, prepare := range map[string]func(*child){"by descriptor": func(*child) {}, "by thread": threadOnly} {
		t.Run(name, func(t *testing.T) {
			gate := filepath.Join(t.TempDir(), "gate")
			p := startChild(t, r, waitFor(gate)+"exit 5")
			prepare(p)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, ended := p.wait(ctx); ended {
				t.Error("it ended before it could")
			}
			open(t, gate)
			if code, _ := exitOf(<-p.exit()); code != 5 {
				t.Errorf("it ended with %d", code)
			}
		})
	}
}

// TestChildrenLeaveNoDescriptors: an agent runs for years, and must not hold one for
// each job that it ever ran, however that ended.
func TestChildrenLeaveNoDescriptors(t *testing.T) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Skip("the kernel has no descriptors of processes:", err)
	}
	unix.Close(fd)
	r := newRunner(t)
	before := processDescriptors(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for script, ctx := range map[string]context.Context{"exit 0": t.Context(), "kill -9 $$": t.Context(), "sleep 1000": ended} {
		p := startChild(t, r, script)
		if p.end == nil {
			t.Fatal("the child has no descriptor")
		}
		if _, over := p.wait(ctx); !over {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
			<-p.exit()
		}
	}
	if after := processDescriptors(t); after > before {
		t.Errorf("%d descriptors of processes, there were %d", after, before)
	}
}

func processDescriptors(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == "anon_inode:[pidfd]" || strings.HasPrefix(to, "pidfd:") {
			n++
		}
	}
	return n
}

func TestChildHasNoInput(t *testing.T) {
	r := newRunner(t)
	e, err := r.Run(t.Context(), Command{Ref: Ref{Attempt: 1}, Script: "cat; echo ended"})
	if err != nil || string(e.Stdout.Head) != "ended\n" {
		t.Errorf("%v, it ended with %d and printed %q, %q", err, e.Code, e.Stdout.Head, e.Stderr.Head)
	}
}

func TestJoinEnv(t *testing.T) {
	for _, c := range []struct{ base, more, want []string }{
		{nil, nil, nil},
		{[]string{"A=1", "B=2"}, []string{"C=3"}, []string{"A=1", "B=2", "C=3"}},
		{[]string{"A=1", "B=2"}, []string{"A=3"}, []string{"B=2", "A=3"}},
		{[]string{"AB=1"}, []string{"A=3", "A=4", "ABC=5"}, []string{"AB=1", "A=4", "ABC=5"}},
		{[]string{"odd"}, []string{"odd", "A="}, []string{"odd", "odd", "A="}},
	} {
		if got := joinEnv(c.base, c.more); !slices.Equal(got, c.want) {
			t.Errorf("%q and %q join to %q, want %q", c.base, c.more, got, c.want)
		}
	}
}

func TestChildRefusesNUL(t *testing.T) {
	r := newRunner(t)
	if _, err := r.run(&start{path: r.shells.full, argv: []string{"sh"}, env: []string{"A=\x00"}}); err == nil {
		t.Error("it started")
	}
	if _, err := r.run(&start{path: filepath.Join(t.TempDir(), "none"), argv: []string{"none"}}); !os.IsNotExist(err) {
		t.Errorf("started what is not there: %v", err)
	}
}
