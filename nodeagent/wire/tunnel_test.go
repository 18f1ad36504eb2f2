package wire

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
)

// TestTunnelBytes pins what agents, relays and orchestrators of other versions have to
// understand, and who may say it.
func TestTunnelBytes(t *testing.T) {
	for _, c := range []struct {
		m    Message
		want string
		from Side
	}{
		{&Tunnel{Address: "a:1"}, "000000061a91a3613a31", Agent},
		{&Tunnelled{Error: "x"}, "000000041b91a178", Orchestrator},
	} {
		text, err := AppendMessage(nil, c.m)
		if got := hex.EncodeToString(text); err != nil || got != c.want {
			t.Errorf("%T is %s, want %s: %v", c.m, got, c.want, err)
		}
		if m, err := ReadFrom(bytes.NewReader(text), c.from); err != nil || !reflect.DeepEqual(m, c.m) {
			t.Errorf("%T came back as %+v: %v", c.m, m, err)
		}
		if _, err := ReadFrom(bytes.NewReader(text), 3-c.from); err == nil {
			t.Errorf("%T is taken from the other side", c.m)
		}
		for cut := range text {
			if _, err := ReadFrom(bytes.NewReader(text[:cut]), c.from); err == nil {
				t.Errorf("%T is taken after %d bytes", c.m, cut)
			}
		}
	}
}
