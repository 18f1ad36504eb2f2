package mux

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const (
	frameWindowUpdate = 1
	flagRST           = 8
)

// frame is one of yamux's.
func frame(kind byte, flags uint16, id, length uint32, body ...byte) []byte {
	b := []byte{0, kind}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, id)
	return append(binary.BigEndian.AppendUint32(b, length), body...)
}

// tell sends frames as records.
func tell(t *testing.T, to *tls.Conn, frames []byte) {
	t.Helper()
	for part := range slices.Chunk(frames, recordBytesMax) {
		if _, err := to.Write(appendRecord(nil, kindStreams, part)); err != nil {
			t.Fatal(err)
		}
	}
}

func open(id uint32) []byte { return frame(frameWindowUpdate, flagSYN, id, 0) }

// bits are so many frames of one byte.
func bits(id uint32, n int) []byte { return bytes.Repeat(frame(frameData, 0, id, 1, 'x'), n) }

// TestSmallFrames: who has too many frames of a byte waiting loses that stream, and no
// other.
func TestSmallFrames(t *testing.T) {
	secure, server := rawClient(t)
	tell(t, secure, open(1))
	stuck, err := server.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tell(t, secure, bits(1, smallFramesMax+1))
	_ = secure.SetReadDeadline(time.Now().Add(patience))
	in := recordReader{from: secure}
	for reset := false; !reset; {
		var h frameHeader
		if _, err := io.ReadFull(&in, h[:]); err != nil {
			t.Fatalf("the stream goes on: %v", err)
		}
		reset = h.stream() == 1 && h[1] == frameWindowUpdate && h[3]&flagRST != 0
	}
	if _, err := io.ReadAll(stuck); !errors.Is(err, ErrSmallFrames) {
		t.Errorf("reading it: %v", err)
	}
	tell(t, secure, bits(1, 2*smallFramesMax)) // are dropped
	tell(t, secure, append(open(3), bits(3, 1)...))
	other, err := server.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(other, make([]byte, 1)); err != nil {
		t.Errorf("another stream: %v", err)
	}
	eventually(t, "nothing is left of it", func() bool {
		server.inbox.mu.Lock()
		defer server.inbox.mu.Unlock()
		return len(server.inbox.intakes) == 1
	})
}

// TestSmallFramesUnaccepted: they count also on a stream that nobody has accepted yet,
// for which the connection ends.
func TestSmallFramesUnaccepted(t *testing.T) {
	secure, server := rawClient(t)
	tell(t, secure, slices.Concat(open(1), open(3), open(5)))
	for part := range slices.Chunk(bits(5, 3*smallFramesMax), 1<<14) {
		if _, err := secure.Write(appendRecord(nil, kindStreams, part)); err != nil {
			break // it has ended
		}
	}
	if err := await(t, server); !errors.Is(err, ErrSmallFrames) {
		t.Errorf("it ends with %v", err)
	}
}

// TestSmallFramesRead: who is read may send as many as it likes.
func TestSmallFramesRead(t *testing.T) {
	client, server := pair(t)
	a, b := streams(t, client, server)
	const many = 5 * smallFramesMax
	go func() {
		for range many {
			if _, err := a.Write([]byte("x")); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	buf := make([]byte, 100)
	for n := 0; n < many; {
		// As far behind as may be.
		got, err := b.Read(buf)
		if err != nil {
			t.Fatalf("%v behind %d", err, n)
		}
		n += got
	}
}

// TestIntake: what was read does not count any more, half a window late at most.
func TestIntake(t *testing.T) {
	box := newInbox(8)
	box.feed(open(1), nil)
	in := box.open(1)
	never := func(uint32, bool) { t.Fatal("too many") }
	for range 10 * smallFramesMax {
		box.feed(bits(1, 2), never)
		box.took(in, 2)
	}
	if in.small > 4 {
		t.Errorf("%d small frames wait of none", in.small)
	}
	box.feed(bits(1, smallFramesMax-in.small), never)
	told := 0
	box.feed(bits(1, 10), func(id uint32, known bool) {
		told++
		if id != 1 || !known {
			t.Errorf("of stream %d, known %t", id, known)
		}
	})
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// TestRefusedStreams: a peer that opens streams by the thousand has no more of them
// noted than it may have, and then its small frames count together.
func TestRefusedStreams(t *testing.T) {
	box := newInbox(2)
	for id := range uint32(1000) {
		box.feed(open(2*id+1), nil)
	}
	if n := len(box.intakes); n > 2*intakesPerStream {
		t.Errorf("%d streams are noted", n)
	}
	ended := false
	box.feed(bits(1999, smallFramesMax+1), func(_ uint32, known bool) { ended = !known })
	if !ended {
		t.Error("their small frames cost nothing")
	}
}

// FuzzInbox feeds what a peer might send, in pieces and at once.
func FuzzInbox(f *testing.F) {
	f.Add(slices.Concat(open(1), bits(1, 3), frame(frameData, flagSYN, 3, 100)), uint64(1))
	f.Add(frame(frameData, 0, 1, 1<<31), uint64(2))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		whole, pieces := newInbox(2), newInbox(2)
		ignore := func(uint32, bool) {}
		whole.feed(data, ignore)
		r := rand.New(rand.NewPCG(seed, 0))
		for rest := data; len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			pieces.feed(rest[:n], ignore)
			rest = rest[n:]
		}
		if whole.have != pieces.have || whole.body != pieces.body || len(whole.intakes) != len(pieces.intakes) || whole.strays != pieces.strays {
			t.Errorf("in pieces %+v, at once %+v", pieces, whole)
		}
		if len(whole.intakes) > 2*intakesPerStream {
			t.Errorf("%d streams are noted", len(whole.intakes))
		}
	})
}
