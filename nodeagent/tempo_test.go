package nodeagent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestTempo: an agent of a large crowd gives each orchestrator longer to get to it, and
// dials them less often where all are silent.
func TestTempo(t *testing.T) {
	for _, row := range []struct {
		heartbeat time.Duration
		dials     int // within 6.1 s of silence
	}{
		{0, 8},                      // at 0, 0.25 and 0.5 s, and each second from then on
		{500 * time.Millisecond, 8}, // few agents
		{4 * time.Second, 5},        // at 0, 1, 2, 4 and 6 s
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 6100*time.Millisecond)
			defer cancel()
			dials := make(chan struct{}, 100)
			err := tempoFor(row.heartbeat).tryEach(ctx, []string{"a", "b", "c"}, nil, func(ctx context.Context, _ string, _ func()) (*link, error) {
				dials <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}, nil)
			if len(dials) != row.dials || err == nil {
				t.Errorf("heartbeat %s: %d dials, want %d; %v", row.heartbeat, len(dials), row.dials, err)
			}
		})
	}
}
