package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/lni/dragonboat/v4/raftpb"
	"pgregory.net/rapid"
)

var link = Link{From: 2, To: 1, Shard: 1}

func nothing(int) error { return nil }
func noEnd() error      { return nil }

// framesOf encodes a batch, and returns the frames' contents.
func framesOf(t testing.TB, e *Encoder, batch raftpb.MessageBatch) [][]byte {
	t.Helper()
	var stream bytes.Buffer
	if err := e.Batch(batch, func(frame []byte) error { stream.Write(frame); return nil }); err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for r := NewReader(&stream, nothing, noEnd); ; {
		content, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, slices.Clone(content))
	}
}

func decode(t testing.TB, frames [][]byte) []raftpb.Message {
	t.Helper()
	var all []raftpb.Message
	for _, f := range frames {
		batch, err := Messages(f, link)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, batch.Requests...)
	}
	return all
}

func replicate(after uint64, commands ...int) raftpb.Message {
	m := raftpb.Message{Type: raftpb.Replicate, From: 2, To: 1, ShardID: 1, Term: 5, LogIndex: after, LogTerm: 4, Commit: after}
	for i, size := range commands {
		m.Entries = append(m.Entries, raftpb.Entry{Term: 5, Index: after + 1 + uint64(i), Cmd: bytes.Repeat([]byte{byte(i)}, size)})
	}
	return m
}

// fill gives every field of a struct a value, so that one that the library adds
// and the encoding forgets is found.
func fill(v reflect.Value, next *uint64) {
	for i := range v.NumField() {
		f := v.Field(i)
		*next++
		switch f.Kind() {
		case reflect.Uint64, reflect.Uint32:
			f.SetUint(*next)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.String:
			f.SetString("x")
		case reflect.Slice:
			if f.Type().Elem().Kind() == reflect.Uint8 {
				f.SetBytes([]byte{byte(*next)})
			}
		}
	}
}

func TestEveryField(t *testing.T) {
	next := uint64(100)
	m := raftpb.Message{}
	fill(reflect.ValueOf(&m).Elem(), &next)
	m.Type, m.From, m.To, m.ShardID = raftpb.Propose, 2, 1, 1
	e := raftpb.Entry{}
	fill(reflect.ValueOf(&e).Elem(), &next)
	e.Type = raftpb.ConfigChangeEntry
	m.Entries = []raftpb.Entry{e}
	batch := raftpb.MessageBatch{Requests: []raftpb.Message{m}, DeploymentId: 9, BinVer: 210}
	frames := framesOf(t, &Encoder{}, batch)
	got, err := Messages(frames[0], link)
	if err != nil || len(frames) != 1 || !reflect.DeepEqual(got, batch) {
		t.Errorf("%d frames, %v\n got %+v\nwant %+v", len(frames), err, got, batch)
	}

	c := raftpb.Chunk{}
	fill(reflect.ValueOf(&c).Elem(), &next)
	c.From, c.ReplicaID, c.ShardID = 2, 1, 1
	c.Witness, c.HasFileInfo = false, false
	c.ChunkSize = uint64(len(c.Data))
	c.Index, c.Filepath = 0xabc, "snapshot-0000000000000ABC.gbsnap"
	c.Membership = raftpb.Membership{ConfigChangeId: 3, Addresses: map[uint64]string{1: "replica-1", 2: "replica-2"},
		NonVotings: map[uint64]string{3: "replica-3"}, Witnesses: map[uint64]string{}, Removed: map[uint64]bool{4: true}}
	frame, err := Chunk(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadChunk(frame[headerBytes:], link)
	if err != nil || !reflect.DeepEqual(again, c) {
		t.Errorf("%v\n got %+v\nwant %+v", err, again, c)
	}
	for _, bad := range []raftpb.Chunk{{Witness: true}, {HasFileInfo: true}, {Data: make([]byte, BytesMax)}} {
		if _, err := Chunk(nil, bad); err == nil {
			t.Errorf("chunk %v %v with %d bytes was encoded", bad.Witness, bad.HasFileInfo, len(bad.Data))
		}
	}
}

// TestLawOfParts: whatever is sent, Raft receives the same entries in the same
// order, in messages that continue each other and frames within the bounds.
func TestLawOfParts(t *testing.T) {
	size := rapid.OneOf(rapid.IntRange(0, 64), rapid.IntRange(0, targetBytes), rapid.Just(2*targetBytes))
	rapid.Check(t, func(r *rapid.T) {
		var batch raftpb.MessageBatch
		for range rapid.IntRange(1, 6).Draw(r, "messages") {
			m := replicate(rapid.Uint64Range(1, 1000).Draw(r, "after"), rapid.SliceOfN(size, 0, 8).Draw(r, "commands")...)
			if rapid.Bool().Draw(r, "propose") {
				m.Type, m.Commit = raftpb.Propose, 0
			}
			batch.Requests = append(batch.Requests, m)
		}
		frames := framesOf(t, &Encoder{}, batch)
		for _, f := range frames {
			if len(f) > 2*targetBytes+4096 {
				r.Fatalf("a frame of %d bytes", len(f))
			}
		}
		got := decode(t, frames)
		for _, want := range batch.Requests {
			index, term := want.LogIndex, want.LogTerm
			for first := true; first || len(want.Entries) > 0; first = false {
				if len(got) == 0 {
					r.Fatal("messages are missing")
				}
				part := got[0]
				got = got[1:]
				if part.LogIndex != index || part.LogTerm != term || part.Type != want.Type || part.Commit != want.Commit || len(part.Entries) > len(want.Entries) {
					r.Fatalf("part %+v of %+v", part, want)
				}
				for i := range part.Entries {
					if e := want.Entries[i]; part.Entries[i].Index != e.Index || !bytes.Equal(part.Entries[i].Cmd, e.Cmd) {
						r.Fatalf("entry %d is another", i)
					}
				}
				want.Entries = want.Entries[len(part.Entries):]
				if want.Type == raftpb.Replicate && len(part.Entries) > 0 {
					index, term = part.Entries[len(part.Entries)-1].Index, 5
				}
			}
		}
		if len(got) > 0 {
			r.Fatalf("%d messages too many", len(got))
		}
	})
}

// TestManySmall: the bounds on counts are the encoder's too.
func TestManySmall(t *testing.T) {
	var batch raftpb.MessageBatch
	for range 3*messagesMax + 1 {
		batch.Requests = append(batch.Requests, raftpb.Message{Type: raftpb.Heartbeat, From: 2, To: 1, ShardID: 1})
	}
	batch.Requests = append(batch.Requests, replicate(7, make([]int, 3*entriesMax+1)...), raftpb.Message{Type: raftpb.Unreachable})
	frames := framesOf(t, &Encoder{}, batch)
	got := decode(t, frames)
	entries := 0
	for _, m := range got {
		entries += len(m.Entries)
	}
	if want := 3*messagesMax + 1 + 4; entries != 3*entriesMax+1 || len(got) < want {
		t.Errorf("%d messages with %d entries", len(got), entries)
	}
}

// TestLargestEntry: an append of the largest size is one frame.
func TestLargestEntry(t *testing.T) {
	e := &Encoder{}
	frames := framesOf(t, e, raftpb.MessageBatch{Requests: []raftpb.Message{replicate(1, 13<<20, 1)}})
	if got := decode(t, frames); len(frames) != 2 || len(got) != 2 || len(got[0].Entries[0].Cmd) != 13<<20 {
		t.Errorf("%d frames", len(frames))
	}
	framesOf(t, e, raftpb.MessageBatch{Requests: []raftpb.Message{replicate(1, 1)}})
	if cap(e.buf) > keptBytesMax {
		t.Errorf("the encoder keeps %d bytes", cap(e.buf))
	}
	if err := e.Batch(raftpb.MessageBatch{Requests: []raftpb.Message{replicate(1, BytesMax)}}, nil); err == nil {
		t.Error("a frame that no reader takes was made")
	}
}

func TestMessagesRefuse(t *testing.T) {
	encode := func(m raftpb.Message) []byte {
		return appendMessage([]byte{1, 1}, &m)
	}
	change := func(f func(*raftpb.Message)) []byte {
		m := replicate(7, 3, 3)
		f(&m)
		return encode(m)
	}
	if _, err := Messages(change(func(*raftpb.Message) {}), link); err != nil {
		t.Fatalf("what is right: %v", err)
	}
	many := []byte{1, 1}
	for range messagesMax + 1 {
		many = appendMessage(many, &raftpb.Message{Type: raftpb.Heartbeat, From: 2, To: 1, ShardID: 1})
	}
	crowd := []byte{1, 1}
	for range 2 {
		m := replicate(7, make([]int, entriesMax/2+1)...)
		crowd = appendMessage(crowd, &m)
	}
	for what, b := range map[string][]byte{
		"nothing":             {},
		"no message":          {1, 1},
		"half a message":      change(func(*raftpb.Message) {})[:20],
		"something behind":    append(change(func(*raftpb.Message) {}), 0),
		"another sender":      change(func(m *raftpb.Message) { m.From = 3 }),
		"no sender":           change(func(m *raftpb.Message) { m.From = 0 }),
		"another receiver":    change(func(m *raftpb.Message) { m.To = 2 }),
		"another shard":       change(func(m *raftpb.Message) { m.ShardID = 0 }),
		"local message":       change(func(m *raftpb.Message) { m.Type, m.Entries = raftpb.Unreachable, nil }),
		"snapshot message":    change(func(m *raftpb.Message) { m.Type, m.Entries = raftpb.InstallSnapshot, nil }),
		"unknown type":        change(func(m *raftpb.Message) { m.Type, m.Entries = 99, nil }),
		"vote with entries":   change(func(m *raftpb.Message) { m.Type = raftpb.RequestVote }),
		"transfer to nobody":  change(func(m *raftpb.Message) { m.Type, m.Entries = raftpb.LeaderTransfer, nil }),
		"gap before":          change(func(m *raftpb.Message) { m.LogIndex-- }),
		"gap between":         change(func(m *raftpb.Message) { m.Entries[1].Index++ }),
		"entry of the future": change(func(m *raftpb.Message) { m.Entries[1].Term = m.Term + 1 }),
		"entry of the past":   change(func(m *raftpb.Message) { m.Entries[0].Term = 1 }),
		"unknown entry":       change(func(m *raftpb.Message) { m.Entries[0].Type = 9 }),
		"many messages":       many,
		"many entries":        crowd,
		"entries announced":   append(encode(replicate(7))[:13:13], 0xff, 0x7f),
		"version too large":   append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 1, 1}, encode(replicate(7))[2:]...),
		"number not shortest": append([]byte{0x81, 0}, encode(replicate(7))[1:]...),
	} {
		if batch, err := Messages(b, link); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %+v", what, err, batch)
		}
	}
}

func TestChunkRefuses(t *testing.T) {
	good := raftpb.Chunk{From: 2, ReplicaID: 1, ShardID: 1, Data: []byte("data"), ChunkSize: 4, Index: 1,
		Membership: raftpb.Membership{Addresses: map[uint64]string{1: "replica-1"}}}
	encode := func(f func(*raftpb.Chunk)) []byte {
		c := good
		f(&c)
		frame, err := Chunk(nil, c)
		if err != nil {
			t.Fatal(err)
		}
		return frame[headerBytes:]
	}
	if c, err := ReadChunk(encode(func(c *raftpb.Chunk) { c.Filepath = "../../../etc/passwd" }), link); err != nil || c.Filepath != "snapshot-0000000000000001.gbsnap" {
		t.Errorf("%v: the file is %q", err, c.Filepath)
	}
	for what, b := range map[string][]byte{
		"nothing":          {},
		"half":             encode(func(*raftpb.Chunk) {})[:25],
		"something behind": append(encode(func(*raftpb.Chunk) {}), 0),
		"another sender":   encode(func(c *raftpb.Chunk) { c.From = 3 }),
		"another receiver": encode(func(c *raftpb.Chunk) { c.ReplicaID = 3 }),
		"another shard":    encode(func(c *raftpb.Chunk) { c.ShardID = 3 }),
		"another size":     encode(func(c *raftpb.Chunk) { c.ChunkSize = math.MaxUint64 }),
		"replica 0":        encode(func(c *raftpb.Chunk) { c.Membership.Removed = map[uint64]bool{0: true} }),
		"a long address": encode(func(c *raftpb.Chunk) {
			c.Membership.NonVotings = map[uint64]string{1: string(make([]byte, addressBytesMax+1))}
		}),
	} {
		if _, err := ReadChunk(b, link); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestHeaderAllocatesNothing: what a header announces is not what is allocated.
func TestHeaderAllocatesNothing(t *testing.T) {
	for _, announced := range []uint32{BytesMax, BytesMax + 1, math.MaxUint32, 0} {
		header := binary.BigEndian.AppendUint32(nil, announced)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := NewReader(bytes.NewReader(append(header, "some bytes"...)), nothing, noEnd).Next()
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%d: no error", announced)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("a header of %d allocated %d bytes", announced, got)
		}
		if whole := announced == 0 || announced > BytesMax; whole != errors.Is(err, ErrMalformed) {
			t.Errorf("%d: %v", announced, err)
		}
	}
}

func TestReader(t *testing.T) {
	var stream []byte
	sizes := []int{1, 100, firstBytes, firstBytes + 1, 3 << 20, 5, BytesMax, 2}
	for i, n := range sizes {
		stream = binary.BigEndian.AppendUint32(stream, uint32(n))
		stream = append(stream, bytes.Repeat([]byte{byte(i)}, n)...)
	}
	begun, ended := 0, 0
	r := NewReader(iotest.HalfReader(bytes.NewReader(stream)), func(n int) error { begun += n; return nil }, func() error { ended++; return nil })
	total := 0
	for i, n := range sizes {
		got, err := r.Next()
		if err != nil || len(got) != n || got[0] != byte(i) || got[n-1] != byte(i) {
			t.Fatalf("frame %d of %d: %d bytes, %v", i, n, len(got), err)
		}
		total += n
	}
	if _, err := r.Next(); err != io.EOF || begun != total || ended != len(sizes) {
		t.Errorf("%v after %d of %d bytes in %d frames", err, begun, total, ended)
	}
	if cap(r.buf) > keptBytesMax {
		t.Errorf("the reader keeps %d bytes", cap(r.buf))
	}
	late := errors.New("late")
	if _, err := NewReader(bytes.NewReader(stream), func(int) error { return late }, noEnd).Next(); err != late {
		t.Errorf("a deadline that cannot be set: %v", err)
	}
	if _, err := NewReader(bytes.NewReader(stream[:300]), nothing, noEnd).Next(); err != nil {
		t.Error(err)
	}
	cut := NewReader(bytes.NewReader(stream[5:50]), nothing, noEnd)
	if _, err := cut.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a frame that is cut: %v", err)
	}
}

// FuzzMessages: any bytes are refused or are what the encoder makes of the result.
func FuzzMessages(f *testing.F) {
	m := replicate(7, 3, 0, 300)
	f.Add(appendMessage([]byte{1, 1}, &m))
	f.Add(appendMessage([]byte{210, 1, 1}, &raftpb.Message{Type: raftpb.HeartbeatResp, From: 2, To: 1, ShardID: 1, Term: 9, Hint: math.MaxUint64}))
	f.Fuzz(func(t *testing.T, b []byte) {
		batch, err := Messages(b, link)
		if err != nil {
			return
		}
		var again []byte
		for _, frame := range framesOf(t, &Encoder{}, batch) {
			again = append(again, frame...)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%x is read, and written as %x", b, again)
		}
	})
}

// FuzzChunk: any bytes are refused or are what the encoder makes of the result.
func FuzzChunk(f *testing.F) {
	frame, _ := Chunk(nil, raftpb.Chunk{From: 2, ReplicaID: 1, ShardID: 1, Data: []byte("data"), ChunkSize: 4, Index: 1,
		Membership: raftpb.Membership{Addresses: map[uint64]string{1: "replica-1"}, Removed: map[uint64]bool{3: true}}})
	f.Add(frame[headerBytes:])
	f.Fuzz(func(t *testing.T, b []byte) {
		chunk, err := ReadChunk(b, link)
		if err != nil {
			return
		}
		if again, err := Chunk(nil, chunk); err != nil || !bytes.Equal(again[headerBytes:], b) {
			t.Errorf("%x is read, and written as %x (%v)", b, again, err)
		}
	})
}

// FuzzReader: a stream of any bytes ends, and no frame is longer than it.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 7, 0, 0, 0, 2, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b), nothing, noEnd)
		for read := 0; ; {
			content, err := r.Next()
			if err != nil {
				return
			}
			if read += headerBytes + len(content); read > len(b) || len(content) == 0 {
				t.Fatalf("%d bytes out of %d", read, len(b))
			}
		}
	})
}

func BenchmarkMessages(b *testing.B) {
	batch := raftpb.MessageBatch{BinVer: 210, DeploymentId: 1}
	for range 4 {
		batch.Requests = append(batch.Requests, replicate(1, 300, 300, 300, 300))
	}
	e := &Encoder{}
	b.ReportAllocs()
	for b.Loop() {
		err := e.Batch(batch, func(frame []byte) error {
			_, err := Messages(frame[headerBytes:], link)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
