package engine

import "testing"

func TestSpoken(t *testing.T) {
	for _, c := range []struct {
		recorded, version string
		protocol          uint8
	}{
		{Spoken("v1.2.3", 7), "v1.2.3", 7},
		{Spoken("v1, protocol 9", 7), "v1, protocol 9", 7}, // an agent says what it likes
		{Spoken("", 6), "", 6},
		{"v1.2.3", "v1.2.3", 0}, // records of before
		{"v1, protocol x", "v1, protocol x", 0},
		{"v1, protocol 700", "v1, protocol 700", 0},
	} {
		a := &Agent{Version: c.recorded}
		if version, protocol := a.Program(); version != c.version || protocol != c.protocol {
			t.Errorf("%q is %q with protocol %d, want %q with %d", c.recorded, version, protocol, c.version, c.protocol)
		}
	}
}
