package nodeagent

import (
	"testing"
	"time"
)

// TestSilentOrchestrator: an idle agent may not wait for long for an orchestrator
// that was killed, and a few lost packets must not end its connection.
func TestSilentOrchestrator(t *testing.T) {
	if idleTimeout > 20*time.Second {
		t.Errorf("an orchestrator that is back is noticed after %s", idleTimeout)
	}
	if idleTimeout < 3*keepAliveEvery {
		t.Errorf("a sign of life every %s is too little for a connection that ends after %s", keepAliveEvery, idleTimeout)
	}
}
