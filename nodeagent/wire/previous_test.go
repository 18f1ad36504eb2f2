package wire

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"quorate/internal/job"
)

// TestPreviousBytes pins what agents of the previous protocol write and read.
func TestPreviousBytes(t *testing.T) {
	for _, c := range []struct {
		m    Message
		want string
	}{
		{&Hello{Version: "v", JournalSeq: 1 << 40, Attempts: []uint64{7}, Acked: 3}, "00000016019aa176a0cf0000010000000000a00000910703c0c2"},
		{&Dispatch{Attempt: 2, After: []Predecessor{{Attempt: 1}}}, "00000014039694a0a0a0000200c0919301c294a000a0a000"},
		{&Ended{Attempt: 1, Outcome: 2}, "000000091c9394a0a0a0000102"},
		{&Results{Reports: []Report{{Seq: 2, Attempt: 9, Began: true}}}, "0000001e059191dc00120209c3c20000c2000000a093c0c00093c0c000a0a0c2c2c0"},
		{&Ack{Seq: 1, Floor: 2}, "0000000406920102"},
	} {
		var b bytes.Buffer
		out := Previous.NewWriter(&b)
		if err := out.Add(c.m); err != nil {
			t.Fatal(err)
		}
		if err := out.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b.Bytes()); got != c.want {
			t.Errorf("%T is written as %s, want %s", c.m, got, c.want)
		}
		if got, err := Previous.Receive(&b, 0); err != nil || !reflect.DeepEqual(got, c.m) {
			t.Errorf("%T is read as %+v, %v", c.m, got, err)
		}
	}
}

// TestPreviousLeavesOut: what a peer of the previous protocol does not know is lost, and
// nothing else, also in packed frames.
func TestPreviousLeavesOut(t *testing.T) {
	var b bytes.Buffer
	for _, side := range []Side{Agent, Orchestrator} {
		out, in := Previous.NewWriter(&b), Previous.NewReader(&b, side)
		out.Pack(side)
		var want []Message
		for range 10 { // enough to be packed
			for _, m := range samples() {
				if from, _ := m.Type().sender(); from != side {
					continue
				}
				if err := out.Add(m); err != nil {
					t.Fatal(err)
				}
				want = append(want, m)
			}
		}
		if err := out.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, m := range want {
			switch m := m.(type) {
			case *Hello:
				m.Forbidden, m.Unstarted = nil, nil
			case *Dispatch:
				m.Inputs = nil
			case *Ended:
				m.Output = nil
			case *Results:
				for i := range m.Reports {
					m.Reports[i].Output = nil
				}
			}
			if got, err := in.Read(); err != nil || !reflect.DeepEqual(got, m) {
				t.Fatalf("%T: %+v, %v; want %+v", m, got, err, m)
			}
		}
	}
}

// TestPreviousStep: a step that only the newest protocol can tell has, for the previous
// one, a form that it knows.
func TestPreviousStep(t *testing.T) {
	s := &Step{Run: 1, Task: "t", Host: "h", Jobs: []job.Job{{Verb: "ECHO"}}, Check: true, Service: true, Requires: []string{"a"}, FailFast: true}
	spec, err := EncodeStep(Previous.Step(s))
	if err != nil || spec[0] != checkingStepHeader {
		t.Errorf("the step begins with %#x, %v", spec[0], err)
	}
	if !s.Service || !s.FailFast || len(s.Requires) != 1 {
		t.Errorf("the step is %+v now", s)
	}
	if Newest.Step(s) != s {
		t.Error("the newest protocol lacks something of a step")
	}
}

func TestProtocolNames(t *testing.T) {
	for _, names := range [][]string{ALPNAgents(), ALPNRelays()} {
		if len(names) != 2 || ProtocolOf(names[0]) != Newest || ProtocolOf(names[1]) != Previous {
			t.Errorf("%q are of the protocols %d and %d", names, ProtocolOf(names[0]), ProtocolOf(names[1]))
		}
	}
	if ProtocolOf(ALPNEnrol) != 0 || ForRelay(ALPNAgent) || !ForRelay(ALPNRelays()[1]) {
		t.Error("a name is taken for another")
	}
}
