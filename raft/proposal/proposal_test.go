package proposal

import (
	"bytes"
	"testing"

	"quorate/eventlog"
)

func FuzzProposal(f *testing.F) {
	p := Proposal{Proposer: 1, Sequence: 2, Entries: []eventlog.Entry{{Time: 3, Kind: 4, Data: []byte("five")}, {}}}
	f.Add(p.Encode())
	f.Add([]byte{version})
	f.Add(append(p.Encode()[:headerBytes-4], 0xff, 0xff, 0xff, 0xff))
	p.Behind = Link{Unknown: true}
	f.Add(p.Encode())
	p.Behind = Link{Index: 6, Hash: eventlog.Hash{7}}
	f.Add(p.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		if again := p.Encode(); !bytes.Equal(again, b) {
			t.Fatalf("in %x, out %x", b, again)
		}
	})
}
