package cli

import (
	"testing"

	"quorate/engine/api"
)

// Who is behind is named where that is known, and nobody else.
func TestVersionsLine(t *testing.T) {
	t.Parallel()
	v := func(n uint32) *uint32 { return &n }
	for _, c := range []struct {
		versions []*uint32
		want     string
	}{
		{[]*uint32{v(1), v(1), nil}, ""},
		{[]*uint32{nil, nil}, ""},
		{[]*uint32{v(1), v(0), v(1)}, "older than the others, and may stop: orchestrator 2; upgrade it now"},
		{[]*uint32{v(0), nil, v(2), v(1)}, "older than the others, and may stop: orchestrators 1, 4; upgrade them now"},
	} {
		now := &api.Cluster{}
		for i, version := range c.versions {
			now.Members = append(now.Members, api.Member{Replica: uint64(i + 1), LogVersion: version})
		}
		if got := versionsLine(now); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
