package gateway_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/nodeagent"
	"quorate/nodeagent/verb"
)

// An era is a log with its orchestrator, one of several that an agent meets at the
// same address.
type era struct {
	t       *testing.T
	ca      *pki.CA
	blobs   *eventlog.Blobs
	address string
	token   string
	dir     string // of the agent
}

// agent runs the agent until stop: one that is turned away would wait long for the
// next try.
func (e *era) agent(rig *gatewaytest.Rig) (stop func()) {
	e.t.Helper()
	if e.token == "" {
		e.token, _, _ = rig.O.CreateToken(e.t.Context(), orchestrator.TokenRequest{Name: "n1"})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- nodeagent.Run(ctx, nodeagent.Config{Servers: []string{e.address}, Token: e.token, DataDir: e.dir, Name: "n1", Version: "test"})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			e.t.Errorf("agent: %v", err)
		}
	})
	e.t.Cleanup(stop)
	return stop
}

// begin serves a log until stop.
func (e *era) begin(log engine.Log) *gatewaytest.Rig {
	e.t.Helper()
	socket, err := net.ListenPacket("udp", e.address)
	if err != nil {
		e.t.Fatal(err)
	}
	e.address = socket.LocalAddr().String()
	return gatewaytest.Start(e.t, gatewaytest.Options{
		Log: log, CA: e.ca, Blobs: e.blobs, Socket: socket, Verbs: verb.Lookup, Limits: gateway.Limits{CheckpointEvery: time.Millisecond},
	})
}

// copyOf returns a log of the first records, those from one on with another time.
// Whoever has the cluster's keys can sign what they like: checkpoints of what is
// changed are left out.
func (e *era) copyOf(log engine.Log, records, from uint64) *eventlog.Memory {
	e.t.Helper()
	page, err := log.Read(e.t.Context(), 1, int(records))
	if err != nil || uint64(len(page)) != records {
		e.t.Fatal(len(page), err)
	}
	out := eventlog.NewMemory()
	void := gatewaytest.Must(eventlog.NewEntry(0, &eventlog.StateHashed{Replica: 99}))
	for i := range page {
		entry := eventlog.Entry{Time: page[i].Time, Kind: page[i].Kind, Data: page[i].Data}
		if page[i].Index >= from {
			entry.Time += int64(time.Hour)
			if entry.Kind == eventlog.KindCheckpointSigned {
				entry.Kind, entry.Data = void.Kind, void.Data
			}
		}
		if _, err := out.Append(e.t.Context(), []eventlog.Entry{entry}); err != nil {
			e.t.Fatal(err)
		}
	}
	return out
}

// sign has the log signed, and returns how far it is.
func (e *era) sign(rig *gatewaytest.Rig) uint64 {
	e.t.Helper()
	c, err := rig.O.SignCheckpoint(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return c.Size
}

// remembered waits until the agent has stored a checkpoint.
func (e *era) remembered(size uint64) {
	e.t.Helper()
	line := []byte("\\n" + strconv.FormatUint(size, 10) + "\\n")
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(gatewaytest.Patience); ; {
		text, err := os.ReadFile(filepath.Join(e.dir, "checkpoints.json"))
		if err == nil && bytes.Contains(text, line) {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			e.t.Fatalf("the agent has not stored the checkpoint of %d records: %s, %v", size, text, err)
		}
	}
}

// distrusted waits until the orchestrator knows that the agent refuses its log.
func (e *era) distrusted(rig *gatewaytest.Rig, want string) {
	e.t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(gatewaytest.Patience); ; {
		why := rig.O.Distrust(agentOf(rig))
		if strings.Contains(why, want) {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			e.t.Fatalf("distrust is %q, want %q", why, want)
		}
	}
}

func agentOf(rig *gatewaytest.Rig) (id uint64) {
	rig.O.View(func(s *engine.State) { id = s.AgentByName("n1").ID })
	return id
}

// works has a run of a job on the agent succeed.
func (e *era) works(rig *gatewaytest.Rig) {
	e.t.Helper()
	rig.Until(e.t, "the agent", func(s *engine.State) bool { a := s.AgentByName("n1"); return a != nil && a.Connected })
	plan := rig.Plan(e.t, []string{"n1"}, gatewaytest.Task{ID: "svc-" + rig.RequestID(), Jobs: 1})
	if status := rig.UntilEnded(e.t, rig.Run(e.t, plan)); status != "succeeded" {
		e.t.Fatalf("run is %s", status)
	}
}

// head is the number of records.
func head(log engine.Log) uint64 {
	index, _ := log.Head()
	return index
}

// recovered appends what a recovery does.
func (e *era) recovered(log *eventlog.Memory, generation uint64) *eventlog.Memory {
	e.t.Helper()
	entry, err := eventlog.NewEntry(time.Now().UnixNano(), &eventlog.ClusterRecovered{
		Replica: 1, At: head(log), Source: "backup", Name: "o1", RaftAddress: "a:1", Generation: generation,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	if _, err := log.Append(e.t.Context(), []eventlog.Entry{entry}); err != nil {
		e.t.Fatal(err)
	}
	return log
}

// An agent takes work from a log that only grew, and from no other: not from one in
// which a record from before was changed, nor from one that lost records, unless the
// cluster was recovered, and what it still has is what the agent has seen.
func TestAgentsRefuseAnotherLog(t *testing.T) {
	dir := t.TempDir()
	e := &era{t: t, ca: gatewaytest.Must(pki.New()), blobs: gatewaytest.Must(eventlog.OpenBlobs(filepath.Join(dir, "blobs"))),
		address: "127.0.0.1:0", dir: filepath.Join(dir, "agent")}
	log := eventlog.NewMemory()
	rig := e.begin(log)
	stop := e.agent(rig)
	e.works(rig)
	early := e.sign(rig)
	e.remembered(early)
	e.works(rig)
	between := head(log)
	e.works(rig)
	e.remembered(e.sign(rig))
	stop()
	rig.Stop()

	for _, forged := range []struct {
		name string
		log  *eventlog.Memory
		want string
	}{
		{"a record changed", e.copyOf(log, head(log), early+1), "contradicts"},
		{"records lost", e.copyOf(log, between, between+1), "records were lost"},
		{"recovered, and changed before", e.recovered(e.copyOf(log, between, early-1), 1<<40), "contradicts"},
	} {
		rig := e.begin(forged.log)
		e.sign(rig)
		stop := e.agent(rig)
		e.distrusted(rig, forged.want)
		rig.Until(t, "no connection", func(s *engine.State) bool { return !s.AgentByName("n1").Connected })
		stop()
		rig.Stop()
	}

	again := func(log engine.Log) *gatewaytest.Rig {
		t.Helper()
		rig := e.begin(log)
		stop := e.agent(rig)
		rig.Until(t, "the agent", func(s *engine.State) bool { return s.AgentByName("n1").Connected })
		e.remembered(e.sign(rig))
		if why := rig.O.Distrust(agentOf(rig)); why != "" {
			t.Errorf("refused: %s", why)
		}
		stop()
		return rig
	}
	again(log).Stop() // the right one, which has grown
	again(e.recovered(e.copyOf(log, between, between+1), 1<<41)).Stop()

	rig = e.begin(log) // which that recovery left behind
	stop = e.agent(rig)
	e.distrusted(rig, "of generation")
	stop()
}
