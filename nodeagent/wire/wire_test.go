package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"quorate/internal/job"
)

// samples has every message, every field set.
func samples() []Message {
	fence := Fence{ClusterID: "c", Session: "s", JournalID: "j", Epoch: 300}
	step, err := EncodeStep(&Step{Run: 1, Task: "t", Host: "h", Jobs: []job.Job{
		{Index: 0, Verb: "RUN", Name: "n", Text: "echo", Options: []job.Option{{Name: "retry", Value: "2"}}, TimeoutSeconds: 600,
			SkipCache: true, Files: []job.File{{Name: "f", Digest: "d", Size: 70000, Mode: 0o644}}, SuccessExits: []int32{0, -40000}, Fingerprint: "fp"},
		{Index: 4, Verb: "ECHO"},
	}, Vars: []job.Option{{Name: "k", Value: "v"}}, KeepGoing: true, IgnoreCache: true, Publish: []string{"k"}, Service: true, Requires: []string{"a", "b"}})
	if err != nil {
		panic(err)
	}
	return []Message{
		&Hello{Version: "v", JournalID: "j", JournalSeq: math.MaxUint64, BootID: "b", Floor: 1, EpochMax: 70000, Attempts: []uint64{1, 200, 70000},
			Seen: []Seen{{Size: 300, Generation: 7}}},
		&Welcome{ClusterID: "c", Agent: 9, Name: "n", Session: "s", Epoch: 1 << 40, Acked: 5, Floor: 6,
			Servers: []string{"a:1", "b:2"}, HeartbeatMillis: 70000, LogKey: "k", Checkpoint: Checkpoint{Note: []byte("n"), Older: 1, Proof: []byte("p")}},
		&Checkpoint{Note: []byte("n"), Older: 300, Proof: []byte("p")},
		&Distrust{Reason: "r", Note: []byte("n")},
		&Dispatch{Fence: fence, Attempt: 10, Supersedes: 9, Spec: step, After: []Predecessor{
			{Attempt: 8, Any: true}, {Attempt: 7, Elsewhere: Elsewhere{Key: "k", Run: 1, Task: "t", Host: "h"}}}, Places: 8,
			Inputs: []Input{{Task: "a", Output: Sum{1, 15: 2}, Open: []uint64{7, 300}}}},
		&Ended{Fence: fence, Attempt: 7, Outcome: 1, Output: make([]byte, OutputBytes)},
		&Watch{Afresh: true, Of: []Watched{{Key: "k", Attempt: 300}}},
		&Announce{Notices: []Notice{{Key: []byte("k"), Run: 1, Task: "t", Host: "h", Attempt: 300, Outcome: 2, Signature: []byte("s")}}},
		&Noticed{Notices: []Notice{{Key: []byte("k"), Run: 1, Task: "t", Host: "h", Attempt: 300, Outcome: 2, Signature: []byte("s")}}},
		&Cancel{Fence: fence, Attempt: 10, Reason: "r"},
		&Results{Reports: []Report{{Seq: 1, Attempt: 2, Began: true, End: true, Outcome: 6, Job: 1 << 31, Changed: true, Exit: -1,
			StartedAt: math.MinInt64, Duration: -129, Info: "i", Stdout: Output{Head: []byte{}, Tail: []byte("t"), Size: 1 << 50},
			Stderr: Output{Head: nil}, Reason: "r", OutputDigest: "d", Published: true, Waits: true,
			Values: []Value{{Key: "k", Value: []byte("s\x01v"), Absent: true}}, Output: []byte("o")}}},
		&Learn{Values: []Learned{{Host: "h", Value: Value{Key: "k", Value: []byte("n")}, Run: 1, Task: "t", Attempt: 300, Job: 2, Time: -1}}},
		&Ask{ID: 1, Want: WantJob, Attempt: 300, Job: 2, Key: "k", Hosts: []string{"h"}},
		&Answer{ID: 1, Error: "e", Note: "n"},
		&FactsAsk{ID: 1},
		&FactsReply{ID: 1, Facts: []Fact{{Env: true, Name: "n", Value: []byte("t"), Run: 1, Task: "t", Attempt: 2, Job: 3, Time: 4}}, Truncated: true},
		&Ack{Seq: 1, Floor: 2},
		&Reply{Attempt: 1, Status: StatusGone, Reason: "r"},
		&Refuse{Code: "revoked", Reason: "r"},
		&Enrol{Token: "t", PublicKey: []byte{1, 2}, Name: "n", JournalID: "j", Hostname: "h"},
		&Enrolled{Error: "e", Pending: true, Agent: 1, Name: "n", ClusterID: "c", Certificate: []byte{1}, CA: []byte{2}},
		&BlobRequest{Digest: "d", Offset: 77},
		NewPing(),
		&Pong{},
		&Move{Servers: []string{"a:1"}, Reason: "r"},
		&Challenge{Acked: 1 << 33, Reason: "r"},
		&Servers{Servers: []string{"a:1", "b:2"}},
	}
}

func TestRoundTrip(t *testing.T) {
	var stream bytes.Buffer
	for _, m := range samples() {
		if err := WriteMessage(&stream, m); err != nil {
			t.Fatal(err)
		}
	}
	r := iotest.OneByteReader(&stream)
	for _, want := range samples() {
		got, err := ReadMessage(r)
		if err != nil {
			t.Fatalf("%T: %v", want, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if _, err := ReadMessage(r); err != io.EOF {
		t.Errorf("at the end: %v, want io.EOF", err)
	}
}

// TestGolden pins the bytes: another version of the program has to understand them.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		m    Message
		want string
	}{
		{&Ack{Seq: 1, Floor: 2}, "0000000406920102"},
		{&Reply{Attempt: 300, Status: StatusBusy, Reason: "x"}, "000000080793cd012c02a178"},
		{&Refuse{Code: "busy"}, "000000090893a462757379a000"},
		{&Hello{Version: "v", JournalSeq: 1 << 40, Attempts: []uint64{7}, Acked: 3}, "00000018019ca176a0cf0000010000000000a000009107c0c003c0c2"},
		{&Welcome{Servers: []string{"a:1"}, HeartbeatMillis: 500}, "00000016029ba000a0a000000091a3613a31cd01f4a093c000c0"},
		{&Checkpoint{Note: []byte("n"), Older: 7}, "000000071693c4016e07c0"},
		{&Distrust{Reason: "r"}, "000000051792a172c0"},
		{&Ping{}, "000000030c91c0"},
		{NewPing(), "0000001c0c91c418" + strings.Repeat("00", 24)},
		{&Pong{}, "000000020d90"},
		{&Move{Servers: []string{"a:1"}}, "000000080e9291a3613a31a0"},
		{&Challenge{Acked: 7}, "000000040f9207a0"},
		{&Servers{Servers: []string{"a:1"}}, "00000007109191a3613a31"},
		{&Results{Reports: []Report{{Seq: 2, Attempt: 9, Began: true}}}, "0000001f059191dc00130209c3c20000c2000000a093c0c00093c0c000a0a0c2c2c0c0"},
		{&Learn{Values: []Learned{{Host: "h", Value: Value{Key: "k", Value: []byte("n")}, Run: 1}}}, "0000001211919197a16893a16bc4016ec201a0000000"},
		{&Ask{ID: 1, Want: WantQuery, Attempt: 300, Job: 2, Key: "k"}, "0000000b12960101cd012c02a16bc0"},
		{&Answer{ID: 1}, "00000005139301a0a0"},
		{&FactsAsk{ID: 1}, "00000003149101"},
		{&FactsReply{ID: 1, Facts: []Fact{{Name: "n", Value: []byte("t")}}}, "000000111593019198c2a16ec4017400a0000000c2"},
		{&Dispatch{Attempt: 2, After: []Predecessor{{Attempt: 1}}}, "00000015039794a0a0a0000200c0919301c294a000a0a000c0"},
		{&Ended{Attempt: 1, Outcome: 2}, "0000000a1c9494a0a0a0000102c0"},
		{&Dispatch{Inputs: []Input{{Task: "t", Output: Sum{15: 1}, Open: []uint64{7}}}}, "00000024039794a0a0a0000000c0c0009193a174c410000000000000000000000000000000019107"},
		{&Watch{Of: []Watched{{Key: "k", Attempt: 1}}}, "000000081d92c29192a16b01"},
		{&Announce{Notices: []Notice{{Key: []byte("k"), Run: 1, Task: "t", Host: "h", Attempt: 2, Outcome: 3, Signature: []byte("s")}}}, "000000121e919198c4016b01a174a1680203c0c40173"},
		{&Noticed{}, "000000031f91c0"},
		{&Cancel{Attempt: 1}, "0000000a049494a0a0a00001a0c2"},
		{&Results{Reports: []Report{{Seq: 1, Exit: -1}}}, "0000001f059191dc00130100c2c20000c2ff0000a093c0c00093c0c000a0a0c2c2c0c0"},
	} {
		b, err := AppendMessage(nil, c.m)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b); got != c.want {
			t.Errorf("%T\n got %s\nwant %s", c.m, got, c.want)
		}
	}
}

// TestRefused: what is not the canonical encoding of a message of the right side.
func TestRefused(t *testing.T) {
	for name, text := range map[string]string{
		"unknown type":          "00000001ff",
		"no type":               "0000000006",
		"too large for a side":  "0040000105",
		"too large for both":    "ffffffff03",
		"too few fields":        "00000003069101",
		"too many fields":       "000000050693010203",
		"nil for a message":     "0000000206c0",
		"map for an array":      "00000006068201010202",
		"number too long":       "0000000506 92cc0102",
		"negative":              "000000040692ff02",
		"float":                 "0000000806 92ca000000000 2",
		"string for a number":   "000000050692a13102",
		"array too long":        "00000006 06 dc00020102",
		"bytes left over":       "00000005 06 92010203",
		"status too large":      "00000007 07 9301cd0101a0",
		"bytes for a string":    "00000006 08 92c40162a0",
		"list of four billion":  "0000000b 01 97a0a000a00000ddffffffff",
		"string of two billion": "00000007 08 92db7fffffff",
	} {
		b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(text), []byte(" "), nil)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err = ReadMessage(bytes.NewReader(b))
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, m := range samples() {
		side, _ := m.Type().sender()
		b, _ := AppendMessage(nil, m)
		if _, err := ReadFrom(bytes.NewReader(b), Agent+Orchestrator-side); !errors.Is(err, ErrMalformed) {
			t.Errorf("%T from the wrong side: %v", m, err)
		}
		for cut := 1; cut < len(b); cut++ {
			if _, err := ReadFrom(bytes.NewReader(b[:cut]), side); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%T cut at %d: %v", m, cut, err)
			}
		}
	}
}

func TestTooLargeToSend(t *testing.T) {
	big := &Results{Reports: []Report{{Info: string(make([]byte, AgentFrameBytesMax))}}}
	if _, err := AppendMessage(nil, big); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v", err)
	}
	w := NewWriter(io.Discard)
	if err := w.Add(big); err == nil || w.Buffered() != 0 {
		t.Errorf("error %v, %d bytes buffered", err, w.Buffered())
	}
}

// TestAllocation: a peer that announces 16 MiB and sends nothing costs little, and
// so does a list whose elements are much bigger decoded than encoded.
func TestAllocation(t *testing.T) {
	allocated := func(f func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	announced := []byte{1, 0, 0, 0, byte(TypeDispatch)}
	if n := allocated(func() { _, _ = ReadMessage(bytes.NewReader(announced)) }); n > 1<<20 {
		t.Errorf("%d bytes for an empty promise", n)
	}
	frame := []byte{0, 0x10, 0, 0, byte(TypeResults), 0x91, 0xdd, 0, 0x0f, 0, 0}
	frame = append(frame, bytes.Repeat([]byte{0xc0}, 1<<20-7)...)
	if n := allocated(func() {
		if _, err := ReadMessage(bytes.NewReader(frame)); err == nil {
			t.Error("a list of nils was accepted")
		}
	}); n > 16<<20 {
		t.Errorf("%d bytes for a frame of a megabyte", n)
	}
}

func TestStepOrder(t *testing.T) {
	spec, err := EncodeStep(&Step{Jobs: []job.Job{{Index: 2}, {Index: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeStep(spec); !errors.Is(err, ErrMalformed) {
		t.Errorf("error %v", err)
	}
}

func TestBlobRequestCheck(t *testing.T) {
	good := BlobRequest{Digest: string(bytes.Repeat([]byte("a"), 64))}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []BlobRequest{{}, {Digest: "../../etc/passwd"}, {Digest: string(bytes.Repeat([]byte("/"), 64))},
		{Digest: string(bytes.Repeat([]byte("A"), 64))}, {Digest: good.Digest, Offset: -1}} {
		if err := bad.Check(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// FuzzRead: whatever a peer sends is refused or is the one encoding of a message.
func FuzzRead(f *testing.F) {
	for _, m := range samples() {
		for _, p := range []Protocol{Previous, Newest} {
			b, _ := AppendMessage(nil, p.told(m))
			f.Add(uint8(p), b)
		}
	}
	f.Fuzz(func(t *testing.T, protocol uint8, data []byte) {
		p, r := Protocol(protocol), bytes.NewReader(data)
		m, err := p.Receive(r, 0)
		if err != nil {
			return
		}
		used := data[:len(data)-r.Len()]
		again, err := AppendMessage(nil, p.told(m))
		if err != nil || !bytes.Equal(again, used) {
			t.Errorf("%x was read as %+v, which is %x (%v)", used, m, again, err)
		}
	})
}

func FuzzDecodeStep(f *testing.F) {
	for _, m := range samples() {
		if d, ok := m.(*Dispatch); ok {
			f.Add(d.Spec)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeStep(data)
		if err != nil {
			return
		}
		if again, err := EncodeStep(s); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x was read as %+v, which is %x (%v)", data, s, again, err)
		}
	})
}

func BenchmarkResults(b *testing.B) {
	m := &Results{}
	for i := range 64 {
		m.Reports = append(m.Reports, Report{Seq: uint64(i), Attempt: 7, Outcome: 1, Stdout: Output{Head: []byte("hello world\n"), Size: 12}})
	}
	for b.Loop() {
		frame, err := AppendMessage(nil, m)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ReadMessage(bytes.NewReader(frame)); err != nil {
			b.Fatal(err)
		}
	}
}

// A step that publishes nothing has the bytes that it had before steps could: an
// agent compares them with what it was sent by an earlier version.
func TestSilentStep(t *testing.T) {
	silent := &Step{Run: 1, Task: "t", Host: "h"}
	spec, err := EncodeStep(silent)
	if err != nil || hex.EncodeToString(spec) != "9701a174a168c0c0c2c2" {
		t.Fatalf("%x, %v", spec, err)
	}
	if got, err := DecodeStep(spec); err != nil || !reflect.DeepEqual(got, silent) {
		t.Errorf("%+v, %v", got, err)
	}
	long, err := Marshal(silent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeStep(long); !errors.Is(err, ErrMalformed) {
		t.Errorf("a second spelling of the step: %v", err)
	}
}

// Each step has one form: those of before there were checks stay as they were.
func TestStepForms(t *testing.T) {
	for _, c := range []struct {
		name   string
		step   Step
		fields byte
	}{
		{"silent", Step{Run: 1, Task: "t", Host: "h", KeepGoing: true}, 0x97},
		{"publishing", Step{Run: 1, Task: "t", Host: "h", Publish: []string{"k"}}, 0x98},
		{"check", Step{Run: 1, Task: "t", Host: "h", Check: true}, 0x99},
		{"judged by a record", Step{Run: 1, Task: "t", Host: "h", Service: true, Requires: []string{"a"}}, 0x9c},
		{"check of what is judged by a record", Step{Run: 1, Task: "t", Host: "h", Check: true, Service: true}, 0x9c},
		{"of a run that fails fast", Step{Run: 1, Task: "t", Host: "h", FailFast: true}, 0x9c},
		{"check of what publishes", Step{Run: 1, Task: "t", Host: "h", Publish: []string{"k"}, Check: true}, 0x99},
	} {
		spec, err := EncodeStep(&c.step)
		if err != nil || spec[0] != c.fields {
			t.Fatalf("%s: %x, %v", c.name, spec, err)
		}
		if got, err := DecodeStep(spec); err != nil || !reflect.DeepEqual(got, &c.step) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	for _, longer := range []any{&publishingStep{Run: 1}, &checkingStep{Run: 1, Publish: []string{"k"}}, &Step{Run: 1, Check: true}} {
		long, err := Marshal(longer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeStep(long); !errors.Is(err, ErrMalformed) {
			t.Errorf("a second spelling, %T: %v", longer, err)
		}
	}
}
