package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// dispatches writes a chain of steps as a gateway does, in flushes of 64.
func dispatches(t testing.TB, side Side, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out)
	w.Pack(side)
	for i := range n {
		spec, err := EncodeStep(&Step{Run: 7, Task: fmt.Sprintf("service-task-%d", i), Host: "edge-1"})
		if err != nil {
			t.Fatal(err)
		}
		d := &Dispatch{Fence: Fence{ClusterID: "c", Session: "s", JournalID: "j", Epoch: 3}, Attempt: uint64(100 + i), Spec: spec}
		if i > 0 {
			d.After = []Predecessor{{Attempt: uint64(99 + i)}}
		}
		if err := w.Add(d); err != nil {
			t.Fatal(err)
		}
		if i%64 == 63 || i == n-1 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out.Bytes()
}

func TestPackedFramesReadAsPlainOnes(t *testing.T) {
	plain, packed := dispatches(t, 0, 200), dispatches(t, Orchestrator, 200)
	if len(packed)*5 > len(plain) {
		t.Errorf("%d bytes are %d packed", len(plain), len(packed))
	}
	for name, data := range map[string][]byte{"plain": plain, "packed": packed} {
		r := NewReader(bytes.NewReader(data), Orchestrator)
		for i := range 200 {
			m, err := r.Read()
			if err != nil {
				t.Fatalf("%s, message %d: %v", name, i, err)
			}
			if d := m.(*Dispatch); d.Attempt != uint64(100+i) {
				t.Errorf("%s: message %d is of attempt %d", name, i, d.Attempt)
			}
		}
		if _, err := r.Read(); err != io.EOF {
			t.Errorf("%s: behind the end: %v", name, err)
		}
	}
}

// What is packed is believed no more than what is not.
func TestPackedFramesThatAreRefused(t *testing.T) {
	frame := func(side Type, content []byte) []byte {
		e, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		out := e.EncodeAll(content, []byte{0, 0, 0, 0, byte(side)})
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		return out
	}
	plain := dispatches(t, 0, 3)
	nested := frame(TypePackedOrchestrator, plain)
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"a bomb":                   {frame(TypePackedOrchestrator, make([]byte, 64<<20)), ErrTooLarge},
		"packed twice":             {frame(TypePackedOrchestrator, nested), ErrMalformed},
		"garbage":                  {append([]byte{0, 0, 0, 9, byte(TypePackedOrchestrator)}, "notzstd!"...), ErrMalformed},
		"a part of a frame":        {frame(TypePackedOrchestrator, plain[:10]), io.ErrUnexpectedEOF},
		"what the other side says": {frame(TypePackedOrchestrator, []byte{0, 0, 0, 2, byte(TypePing), 0x90}), ErrMalformed},
		"from the other side":      {frame(TypePackedAgent, plain), ErrMalformed},
	} {
		r := NewReader(bytes.NewReader(c.data), Orchestrator)
		if _, err := r.Read(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := ReadFrom(bytes.NewReader(nested), Orchestrator); !errors.Is(err, ErrMalformed) {
		t.Errorf("where nothing may be packed: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(dispatches(f, Orchestrator, 8))
	f.Add(dispatches(f, 0, 2))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data), Orchestrator)
		for {
			if _, err := r.Read(); err != nil {
				return
			}
		}
	})
}
