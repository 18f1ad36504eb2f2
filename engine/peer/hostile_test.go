package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serveOne serves one connection of a hostile member and returns its end.
func serveOne(t *testing.T) (conn net.Conn, n *node) {
	t.Helper()
	network := newNetwork(t, 1, 2)
	ours, theirs := pair(t)
	network.serving.Go(func() { network.nodes[1].Serve(network.ctx, theirs, 2) })
	return ours, network.nodes[1]
}

// wantClosed wants the other side to close the connection, having said no more.
func wantClosed(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it said %x, and %v", b, err)
	}
}

func put(digest string, size uint64) []byte {
	body, _ := appendDigests(nil, []string{digest})
	return appendFrame(nil, kindPut, binary.BigEndian.AppendUint64(body, size)...)
}

// What makes no sense ends the connection, and allocates nothing by what it says.
func TestHostileFrames(t *testing.T) {
	t.Parallel()
	_, digest := content("x", 10)
	for name, frame := range map[string][]byte{
		"an unknown kind":       appendFrame(nil, 99),
		"an answer":             appendFrame(nil, kindContent, make([]byte, 8)...),
		"a huge length":         {byte(kindOffer), 0xff, 0xff, 0xff, 0xff},
		"a length of its own":   appendFrame(nil, kindGet, 1, 2, 3),
		"half a digest":         appendFrame(nil, kindOffer, make([]byte, digestBytes/2)...),
		"an empty offer":        appendFrame(nil, kindOffer),
		"no addresses":          appendFrame(nil, kindMove, []byte("[]")...),
		"too many addresses":    appendFrame(nil, kindMove, make([]byte, jsonBytesMax+1)...),
		"an offer too long":     appendFrame(nil, kindOffer, make([]byte, bodyBytesMax+digestBytes)...),
		"a blob past all sizes": put(digest, blobBytesMax+1),
		"a blob of 2^64 bytes":  put(digest, 1<<64-1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, _ := serveOne(t)
			if _, err := conn.Write(frame); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, conn)
		})
	}
}

// A blob that is not what its name says, or that ends early, is not stored, and
// nothing of it stays behind.
func TestHostileContent(t *testing.T) {
	t.Parallel()
	b, digest := content("x", 100_000)
	conn, n := serveOne(t)
	wrong := bytes.Clone(b)
	wrong[5]++
	if _, err := conn.Write(append(put(digest, uint64(len(b))), wrong...)); err != nil {
		t.Fatal(err)
	}
	result, err := expect(conn, kindResult)
	if err != nil || status(result[0]) != statusDamaged {
		t.Errorf("result %v, %v", result, err)
	}
	// The connection goes on: what follows is in its place.
	if _, err := conn.Write(append(put(digest, uint64(len(b))), b...)); err != nil {
		t.Fatal(err)
	}
	if result, err = expect(conn, kindResult); err != nil || status(result[0]) != statusDone || !n.sound(digest) {
		t.Errorf("result %v, %v", result, err)
	}
	_, other := content("y", 100_000)
	if _, err := conn.Write(append(put(other, 100_000), b[:50_000]...)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if result, err = expect(conn, kindResult); err != nil || status(result[0]) != statusFailed {
		t.Errorf("cut short: %v, %v", result, err)
	}
	wantClosed(t, conn)
	left, err := os.ReadDir(filepath.Join(n.dir, "tmp"))
	if err != nil || len(left) > 0 || n.store.Has(other) {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// No more than so many connections are served at once.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	network := newNetwork(t, 1, 2)
	n := network.nodes[1]
	for range servingMax {
		ours, theirs := pair(t)
		network.serving.Go(func() { n.Serve(network.ctx, theirs, 2) })
		if _, err := ours.Write(appendFrame(nil, kindPing)); err != nil {
			t.Fatal(err)
		}
		if _, err := expect(ours, kindPong); err != nil {
			t.Fatal(err)
		}
	}
	ours, theirs := pair(t)
	network.serving.Go(func() { n.Serve(network.ctx, theirs, 2) })
	wantClosed(t, ours)
}

// A member's answers are not trusted either.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	b, digest := content("x", 1000)
	_, other := content("other", 1000)
	otherBytes, _ := appendDigests(nil, []string{other})
	for name, tc := range map[string]struct {
		answer []byte
		call   func(n *Blobs) error
		want   string
	}{
		"content of another blob": {
			append(appendFrame(nil, kindContent, binary.BigEndian.AppendUint64(nil, 1000)...), bytes.Repeat([]byte{7}, 1000)...),
			func(n *Blobs) error { return n.Fetch(context.Background(), digest) }, "SHA-256",
		},
		"content that ends early": {
			append(appendFrame(nil, kindContent, binary.BigEndian.AppendUint64(nil, 1000)...), b[:500]...),
			func(n *Blobs) error { return n.Fetch(context.Background(), digest) }, "EOF",
		},
		"content without end": {
			appendFrame(nil, kindContent, binary.BigEndian.AppendUint64(nil, 1<<60)...),
			func(n *Blobs) error { return n.Fetch(context.Background(), digest) }, "more than",
		},
		"a status of its own": {
			appendFrame(nil, kindResult, 77),
			func(n *Blobs) error { return n.Fetch(context.Background(), digest) }, "status 77",
		},
		"done without content": {
			appendFrame(nil, kindResult, byte(statusDone)),
			func(n *Blobs) error { return n.Fetch(context.Background(), digest) }, "is due",
		},
		"a pulse that is none": {
			appendFrame(nil, kindPong, []byte("12345678[]")...),
			func(n *Blobs) error { return n.Reach(context.Background(), 2) }, "JSON",
		},
		"lacks what was not offered": {
			appendFrame(nil, kindMissing, otherBytes...),
			func(n *Blobs) error { return n.Replicate(context.Background(), []string{digest}) }, "was not offered",
		},
		"says nothing": {
			nil, func(n *Blobs) error { return n.Reach(context.Background(), 2) }, "EOF",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			network := newNetwork(t, 1, 2)
			n := network.nodes[1]
			if strings.Contains(name, "offered") {
				n.put(t, "x", 1000)
			}
			n.cfg.Dial = func(context.Context, uint64) (net.Conn, error) {
				ours, theirs := pair(t)
				network.serving.Go(func() {
					defer theirs.Close()
					_, _, _ = readFrame(theirs)
					_, _ = theirs.Write(tc.answer)
				})
				return ours, nil
			}
			if err := tc.call(n.Blobs); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if !strings.Contains(name, "offered") && n.store.Has(digest) {
				t.Error("something was stored")
			}
		})
	}
}

// Whatever bytes come, reading a frame ends, and what it yields is one that is
// written the same.
func FuzzFrame(f *testing.F) {
	_, digest := content("x", 10)
	f.Add(put(digest, 10))
	f.Add(appendFrame(nil, kindPing))
	f.Add(appendFrame(nil, kindOffer, make([]byte, 3*digestBytes)...))
	f.Add(appendFrame(nil, kindResult, 1))
	f.Add(appendFrame(nil, kindFacts, make([]byte, sizeBytes)...))
	f.Add([]byte{byte(kindOffer), 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		k, body, err := readFrame(r)
		if err != nil {
			return
		}
		if len(body) > bodyBytesMax || !k.bodyFits(len(body)) {
			t.Errorf("kind %d with %d bytes", k, len(body))
		}
		if again := appendFrame(nil, k, body...); !bytes.Equal(again, b[:len(b)-r.Len()]) {
			t.Errorf("%x was read from %x", again, b)
		}
		if k == kindOffer || k == kindMissing {
			if back, err := appendDigests(nil, splitDigests(body)); err != nil || !bytes.Equal(back, body) {
				t.Errorf("digests %x, %v", back, err)
			}
		}
	})
}
