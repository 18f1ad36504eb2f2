package lab

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// reaches reports whether a connection between two hosts can be made within a time.
func reaches(t *testing.T, from, to *Host, within time.Duration) bool {
	t.Helper()
	ln := listen(t, to)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", ln.Addr().String())
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// listen listens on a host. It does what Host.Dial does, the other way round.
func listen(t *testing.T, h *Host) net.Listener {
	t.Helper()
	var ln net.Listener
	err := h.within(func() (err error) {
		ln, err = net.Listen("tcp", net.JoinHostPort(h.Address, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// TestNetwork cuts hosts off in every way there is, and wants nothing left behind.
func TestNetwork(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n, err := Isolate()
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			n.Close()
		}
	}()
	a, err := n.Host("a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := n.Host("b")
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, ok bool) {
		t.Helper()
		within := 500 * time.Millisecond
		if ok {
			within = Patience
		}
		if reaches(t, a, b, within) != ok {
			t.Errorf("%s: connected is %t", what, !ok)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	want("at first", true)
	do(a.Cut())
	do(a.Cut())
	want("cut", false)
	do(a.Mend())
	want("mended", true)
	do(a.Mute(b))
	want("muted", false)
	do(a.Unmute(b))
	do(a.Unmute(b))
	want("unmuted", true)
	do(b.Mute(a))
	want("muted on the way back", false)
	do(b.Unmute(a))
	want("unmuted on the way back", true)
	do(n.Close())
	closed = true
	left, err := os.ReadDir("/run/netns")
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(left, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), n.prefix+"-") }) {
		t.Error("namespaces are left")
	}
}

// TestProcess kills, pauses and stops a process.
func TestProcess(t *testing.T) {
	p := &Process{Name: "sleeper", argv: []string{"sleep", "300"}, log: t.TempDir() + "/log"}
	if p.Running() || p.Crashed() {
		t.Error("runs before it was started")
	}
	for _, end := range []func(){p.Kill, func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}, func() {
		p.Pause()
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}} {
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if memory, err := p.Memory(); err != nil || memory == 0 {
			t.Errorf("memory %d, %v", memory, err)
		}
		if _, err := p.CPU(); err != nil {
			t.Error(err)
		}
		end()
		if p.Running() || p.Crashed() {
			t.Errorf("running %t, crashed %t after it was ended", p.Running(), p.Crashed())
		}
	}
	crash := &Process{Name: "crash", argv: []string{"false"}, log: t.TempDir() + "/log"}
	if err := crash.Start(); err != nil {
		t.Fatal(err)
	}
	if err := UntilWithin(t.Context(), Patience, "the crash", crash.Crashed); err != nil {
		t.Error(err)
	}
}
