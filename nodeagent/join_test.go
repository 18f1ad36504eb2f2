package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

func TestOneAgentPerDirectory(t *testing.T) {
	o := newOrchestrator(t)
	a := startAgent(t, o, t.TempDir())
	o.connected()
	err := run(t.Context(), Config{Servers: []string{o.address}, DataDir: a.dir}, withFetch)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), a.dir) {
		t.Errorf("error %v", err)
	}
}

func TestJoin(t *testing.T) {
	o := newOrchestrator(t)
	other := newOrchestrator(t)
	base := Config{Servers: []string{o.address}, Name: "n"}

	t.Run("no token", func(t *testing.T) {
		cfg := base
		cfg.DataDir = t.TempDir()
		if err := run(t.Context(), cfg, withFetch); !errors.Is(err, errNoIdentity) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no server", func(t *testing.T) {
		err := run(t.Context(), Config{Token: o.token, DataDir: t.TempDir()}, withFetch)
		if !errors.Is(err, ErrNoServers) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("spent token", func(t *testing.T) {
		cfg := base
		cfg.DataDir = t.TempDir()
		cfg.Token, _, _ = pki.NewToken(o.ca.Pin())
		var refused *RefusedError
		if err := run(t.Context(), cfg, withFetch); !errors.As(err, &refused) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("busy", func(t *testing.T) {
		busy := newOrchestrator(t)
		busy.busy = 2
		startAgent(t, busy, t.TempDir())
		busy.connected()
	})
	t.Run("another cluster's server", func(t *testing.T) {
		dir := t.TempDir()
		cfg := base
		cfg.DataDir, cfg.Servers, cfg.Token = dir, []string{other.address}, o.token
		err := run(t.Context(), cfg, withFetch)
		if want := "the orchestrator at " + other.address + " belongs to another cluster than this agent's token"; err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if _, err := os.Stat(filepath.Join(dir, fileCert)); err == nil {
			t.Error("the agent joined a cluster that its token is not for")
		}
	})
	t.Run("identity is kept", func(t *testing.T) {
		dir := t.TempDir()
		a := startAgent(t, o, dir)
		o.connected()
		a.stop()
		var first string
		o.update(func() { first = o.hellos[len(o.hellos)-1].JournalID; o.token = "" })
		o.update(func() { o.servers = []string{o.address} })
		a = startAgent(t, o, dir)
		o.until("another connection", func() bool { return len(o.hellos) == 2 })
		eventually(t, "the address on disk", func() bool {
			id, err := loadIdentity(dir, false)
			return err == nil && len(id.Servers) == 1
		})
		a.stop()
		// What the cluster said is enough for the next start, and nothing is not.
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- run(ctx, Config{DataDir: dir, WorkDir: dir}, withFetch) }()
		o.until("a third connection", func() bool { return len(o.hellos) == 3 })
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		id, err := loadIdentity(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		id.Servers = nil
		if err := id.saveInfo(dir); err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), Config{DataDir: dir, WorkDir: dir}, withFetch); !errors.Is(err, ErrNoServers) {
			t.Errorf("error %v", err)
		}
		if got := o.hellos[1].JournalID; got != first {
			t.Errorf("journal %s, want %s", got, first)
		}
	})
}

// TestOtherClusterOrNobody: an enrolled agent whose orchestrator is another
// cluster's, or silent, says so in plain words and goes on trying.
func TestOtherClusterOrNobody(t *testing.T) {
	t.Parallel()
	o, other := newOrchestrator(t), newOrchestrator(t)
	dir := t.TempDir()
	a := startAgent(t, o, dir)
	o.connected()
	a.stop()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for address, want := range map[string]string{
		other.address:               "the orchestrator at " + other.address + " belongs to another cluster than this agent's identity\"",
		silent.LocalAddr().String(): "no answer yet",
	} {
		var out logBuffer
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			err := run(ctx, Config{Servers: []string{address}, DataDir: dir, WorkDir: dir, Logger: slog.New(slog.NewTextHandler(&out, nil))}, withFetch)
			fmt.Fprintln(&out, "run ended:", err)
			done <- err
		}()
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(out.String())
			}
		})
		eventually(t, want, func() bool { return strings.Contains(out.String(), want) })
		if text := out.String(); !strings.Contains(text, address) || strings.Contains(text, "CRYPTO_ERROR") {
			t.Errorf("log %s", text)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("error %v", err)
		}
	}
}

// TestPending: an agent that waits for its approval asks again, and works when it has it.
func TestPending(t *testing.T) {
	t.Parallel()
	o := newOrchestrator(t)
	o.refuse = &wire.Refuse{Code: "pending", Reason: "an operator has to approve"}
	startAgent(t, o, t.TempDir())
	o.until("a refused connection", func() bool { return o.sessions == 1 })
	o.update(func() { o.refuse = nil })
	o.connected()
}
