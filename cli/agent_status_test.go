package cli

import (
	"testing"

	"quorate/engine/api"
)

// TestAgentStatus: a status tells what does not exclude it.
func TestAgentStatus(t *testing.T) {
	for want, a := range map[string]api.Agent{
		"connected":         {Status: "connected"},
		"connected, BEHIND": {Status: "connected", Behind: true},
		"disconnected, FLAPPING, BEHIND, drained": {Status: "disconnected", Flapping: true, Behind: true, Drain: &api.Drain{Done: true}},
	} {
		if got := agentStatus(&a); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
