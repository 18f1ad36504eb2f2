package gateway_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway/gatewaytest"
	"quorate/eventlog"
)

// A slowLog lets nobody read before it is released.
type slowLog struct {
	engine.Log
	release chan struct{}
}

func (l *slowLog) Read(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	select {
	case <-l.release:
		return l.Log.Read(ctx, from, limit)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// An agent that comes back while a restarted orchestrator still reads its log is
// kept waiting and not refused as unknown, after which it would stay away.
func TestAgentWaitsForTheLog(t *testing.T) {
	log := eventlog.NewMemory()
	t.Cleanup(func() { log.Close() })
	blobs := gatewaytest.Must(eventlog.OpenBlobs(filepath.Join(t.TempDir(), "blobs")))
	before := gatewaytest.Start(t, gatewaytest.Options{Log: log, Blobs: blobs})
	agent := before.Enrol(t, "h1")
	before.Stop()

	socket := gatewaytest.Must(net.ListenPacket("udp", "127.0.0.1:0"))
	agent = agent.On(&gatewaytest.Rig{CA: before.CA, Address: socket.LocalAddr().String()})
	slow := &slowLog{Log: log, release: make(chan struct{})}
	welcomed := make(chan error, 1)
	go func() {
		link, err := agent.Connect(t.Context(), agent.Hello())
		if err == nil {
			link.Close()
		}
		welcomed <- err
	}()
	go func() {
		select {
		case err := <-welcomed:
			t.Errorf("answered before the log was read: %v", err)
		case <-time.After(300 * time.Millisecond):
		}
		close(slow.release)
	}()
	gatewaytest.Start(t, gatewaytest.Options{Log: slow, CA: before.CA, Blobs: blobs, Socket: socket})
	if t.Failed() {
		return
	}
	if err := <-welcomed; err != nil {
		t.Errorf("not welcomed: %v", err)
	}
}
