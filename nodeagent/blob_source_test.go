package nodeagent

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"quorate/internal/blobcache"
	"quorate/internal/job"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// A liar is a relay that says of each content how many bytes it has, and no more.
type liar struct {
	carrier
	size uint64
	left chan struct{} // one token for each stream that was given up
}

func (l liar) open(context.Context) (stream, error) {
	s := liarStream{left: l.left, said: new(bytes.Buffer)}
	return s, wire.WriteBlobSize(s.said, l.size)
}

func (liar) close(string)          {}
func (liar) done() <-chan struct{} { return nil }

type liarStream struct {
	said *bytes.Buffer
	left chan struct{}
}

func (s liarStream) Read(p []byte) (int, error)       { return s.said.Read(p) }
func (s liarStream) Write(p []byte) (int, error)      { return len(p), nil }
func (s liarStream) Close() error                     { return nil }
func (s liarStream) Cancel()                          { s.left <- struct{}{} }
func (s liarStream) SetDeadline(time.Time) error      { return nil }
func (s liarStream) SetReadDeadline(time.Time) error  { return nil }
func (s liarStream) SetWriteDeadline(time.Time) error { return nil }

// TestRelayClaimsNoRoom: a relay that says of content that it has more bytes than the disk
// neither fails the job nor has the agent drop what others wait with: an orchestrator is
// waited for.
func TestRelayClaimsNoRoom(t *testing.T) {
	t.Parallel()
	a, _, accept := chained(t, nil)
	accept(1)
	accept(2, wire.Predecessor{Attempt: 1})
	a.provisions.add(shipment{1, []job.File{fileOf("a", 1)}}, shipment{2, []job.File{fileOf("b", 1)}})
	kept, long := a.blobs.dir.Path(fileOf("b", 1).Digest), time.Now().Add(-time.Hour)
	if err := errors.Join(os.MkdirAll(kept[:len(kept)-64], 0o700), os.WriteFile(kept, []byte("b"), 0o600), os.Chtimes(kept, long, long)); err != nil {
		t.Fatal(err)
	}
	_, all, err := a.blobs.dir.Free()
	if err != nil {
		t.Fatal(err)
	}
	relay := liar{size: uint64(all) + 1, left: make(chan struct{}, 1)}
	a.relays = newRelays([]string{"relay:1"}, nil, "identity", nil)
	a.relays.loose = &link{relay}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan error, 1)
	go func() {
		_, err := a.blobs.get(ctx, fileOf("a", 1).Digest)
		got <- err
	}()
	<-relay.left
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) || errors.As(err, new(*blobcache.DiskError)) {
		t.Errorf("a job that waits for an orchestrator: %v", err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("what another attempt waits with: %v", err)
	}
}

// TestRelayMissed: relays that do not answer are not waited for by each file again where
// there is another way, and always where there is none.
func TestRelayMissed(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var k sockets
	defer k.close()
	r := newRelays([]string{silent.LocalAddr().String()}, pki.EnrolTLS("pin"), "identity", &k)
	ask := func(otherWay bool) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := r.blobs(ctx, otherWay)
		return err
	}
	if err := ask(true); err == nil || errors.Is(err, errMissed) || r.missed.IsZero() {
		t.Errorf("the first file: %v", err)
	}
	r.missed = time.Now().Add(time.Hour) // or this test would have to be quick
	if err := ask(true); !errors.Is(err, errMissed) {
		t.Errorf("the next file: %v", err)
	}
	if err := ask(false); err == nil || errors.Is(err, errMissed) {
		t.Errorf("without another way: %v", err)
	}
	r.missed = time.Now().Add(-missedFor)
	if err := ask(true); err == nil || errors.Is(err, errMissed) {
		t.Errorf("after a while: %v", err)
	}
}
