package nodeagent

import (
	"strings"
	"testing"
	"time"

	"quorate/nodeagent/wire"
)

// TestSaysThatItWasAsked: an agent that an orchestrator sends away says so where it goes,
// and does not say so of a connection that it has lost.
func TestSaysThatItWasAsked(t *testing.T) {
	t.Parallel()
	first := newOrchestrator(t)
	second := first.another()
	startAgent(t, first, t.TempDir())
	first.connected()
	first.send(&wire.Move{Servers: []string{second.address}, Reason: "test"})
	first.until("the end of the first connection", func() bool { return first.sessions == 1 && first.control == nil })
	second.connected()
	second.listener.Close()
	second.drop()
	first.until("the way back", func() bool { return first.sessions == 2 })
	for _, c := range []struct {
		o     *orchestrator
		hello int
		asked bool
	}{{first, 0, false}, {second, 0, true}, {first, 1, false}} {
		c.o.update(func() {
			if got := c.o.hellos[c.hello].Asked; got != c.asked {
				t.Errorf("hello %d at %s: asked %t, want %t", c.hello, c.o.address, got, c.asked)
			}
		})
	}
}

// TestFlappingWaits: an agent that has come too often waits as long as it is told, and
// asks no other orchestrator meanwhile.
func TestFlappingWaits(t *testing.T) {
	t.Parallel()
	first := newOrchestrator(t)
	second := first.another()
	first.update(func() { first.servers = []string{first.address, second.address} })
	a := startAgent(t, first, t.TempDir())
	first.connected()
	for _, o := range []*orchestrator{first, second} {
		o.update(func() {
			o.refuse = &wire.Refuse{Code: "flapping", Reason: "come later", AfterMillis: uint32((30 * time.Minute).Milliseconds())}
		})
	}
	first.drop()
	eventually(t, "the wait", func() bool { return strings.Contains(a.log.String(), "again_in=30m0s") })
	hellos := 0
	for _, o := range []*orchestrator{first, second} {
		o.update(func() { hellos += len(o.hellos) })
	}
	if hellos != 2 {
		t.Errorf("%d hellos, want one to be taken and one to be refused", hellos)
	}
	a.stop() // it does not wait for that
}

// TestFlappingStays: an agent that may not go where it is sent goes on where it is.
func TestFlappingStays(t *testing.T) {
	t.Parallel()
	first := newOrchestrator(t)
	second := first.another()
	second.update(func() {
		second.refuse = &wire.Refuse{Code: "flapping", Reason: "come later", AfterMillis: uint32(time.Hour.Milliseconds())}
	})
	startAgent(t, first, t.TempDir())
	first.connected()
	first.send(&wire.Move{Servers: []string{second.address}, Reason: "test"})
	second.until("a refused hello", func() bool { return second.sessions == 1 })
	first.send(first.dispatch(10, 0, "true"))
	if end, _ := first.ended(10); end.Outcome != 1 {
		t.Errorf("%+v", end)
	}
	if first.sessions != 1 {
		t.Errorf("%d sessions at the orchestrator that it was to leave, want one", first.sessions)
	}
}
