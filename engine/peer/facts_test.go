package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"quorate/engine/orchestrator"
	"quorate/internal/pyvalue"
	"quorate/nodeagent/wire"
)

func TestAgentFacts(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, 1, 2, 3)
	big := &wire.FactsReply{ID: 7, Truncated: true}
	for len(big.Facts) < 40 {
		big.Facts = append(big.Facts, wire.Fact{Name: "n", Value: pyvalue.Encode(pyvalue.Str(strings.Repeat("x", 40_000))), Run: 3, Task: "t"})
	}
	n.nodes[2].cfg.AgentFacts = func(_ context.Context, agent uint64) (*wire.FactsReply, error) {
		switch agent {
		case 5:
			return big, nil
		case 6:
			return nil, errors.New("it does not answer")
		}
		return nil, orchestrator.ErrNotHere
	}
	if got, err := n.nodes[1].AgentFacts(t.Context(), 2, 5); err != nil || !reflect.DeepEqual(got, big) {
		t.Errorf("%v", err)
	}
	if _, err := n.nodes[1].AgentFacts(t.Context(), 2, 6); err == nil || !strings.Contains(err.Error(), "did not answer orchestrator 2") {
		t.Errorf("an agent that does not answer: %v", err)
	}
	for _, where := range []struct{ replica, agent uint64 }{{2, 9}, {3, 5}} {
		if _, err := n.nodes[1].AgentFacts(t.Context(), where.replica, where.agent); !errors.Is(err, orchestrator.ErrNotHere) {
			t.Errorf("agent %d at %d: %v", where.agent, where.replica, err)
		}
	}
	n.down[2] = true
	if _, err := n.nodes[1].AgentFacts(t.Context(), 2, 5); !errors.Is(err, errDown) {
		t.Errorf("a member that is down: %v", err)
	}
}

// A member that answers with what is no facts is not believed, nor waited for.
func TestHostileFacts(t *testing.T) {
	t.Parallel()
	size := func(n uint64) []byte { return appendFrame(nil, kindContent, binary.BigEndian.AppendUint64(nil, n)...) }
	for name, answer := range map[string][]byte{
		"too long":    size(factsBytesMax + 1),
		"no facts":    append(size(3), 1, 2, 3),
		"another":     appendFrame(nil, kindPong, make([]byte, sizeBytes+2)...),
		"an upload":   appendFrame(nil, kindPut, make([]byte, digestBytes+sizeBytes)...),
		"half a size": {byte(kindContent), 0, 0, 0, 4, 1, 2, 3, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := pair(t)
			if _, err := theirs.Write(answer); err != nil {
				t.Fatal(err)
			}
			if _, err := askFacts(t.Context(), ours, 5); !errors.Is(err, ErrProtocol) {
				t.Errorf("%v", err)
			}
		})
	}
}
