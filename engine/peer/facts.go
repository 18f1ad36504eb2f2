package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"quorate/engine/orchestrator"
	"quorate/nodeagent/wire"
)

// factsBytesMax bounds an answer about an agent's facts as it is encoded.
const factsBytesMax = 2*wire.FactsBytesMax + 1<<20

// AgentFacts asks a member for what an agent that is connected to it remembers. The
// error is [orchestrator.ErrNotHere] where the agent is not.
func (b *Blobs) AgentFacts(ctx context.Context, replica, agent uint64) (*wire.FactsReply, error) {
	conn, err := b.cfg.Dial(ctx, replica)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	reply, err := askFacts(ctx, conn, agent)
	switch {
	case errors.Is(err, errAbsent):
		return nil, orchestrator.ErrNotHere
	case errors.Is(err, errStore):
		return nil, fmt.Errorf("the agent did not answer orchestrator %d", replica)
	case err != nil:
		return nil, fmt.Errorf("orchestrator %d: %w", replica, err)
	}
	return reply, nil
}

func askFacts(ctx context.Context, conn net.Conn, agent uint64) (*wire.FactsReply, error) {
	size, err := request(ctx, conn, kindContent, appendFrame(nil, kindFacts, binary.BigEndian.AppendUint64(nil, agent)...))
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint64(size)
	if n > factsBytesMax {
		return nil, violation("facts of %d bytes, more than %d", n, factsBytesMax)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(patient{conn}, data); err != nil {
		return nil, unexpected(err)
	}
	reply := new(wire.FactsReply)
	if err := wire.Unmarshal(data, reply); err != nil {
		return nil, violation("facts: %v", err)
	}
	return reply, nil
}

// answerFacts says what an agent here remembers.
func (b *Blobs) answerFacts(ctx context.Context, conn net.Conn, agent uint64) error {
	if b.cfg.AgentFacts == nil {
		return write(conn, kindResult, byte(statusAbsent))
	}
	reply, err := b.cfg.AgentFacts(ctx, agent)
	if errors.Is(err, orchestrator.ErrNotHere) {
		return write(conn, kindResult, byte(statusAbsent))
	}
	var data []byte
	if err == nil {
		data, err = wire.Marshal(reply)
	}
	if err != nil || len(data) > factsBytesMax {
		b.logger.Debug("facts that a member asked for", "agent", agent, "bytes", len(data), "error", err)
		return write(conn, kindResult, byte(statusFailed))
	}
	frame := appendFrame(nil, kindContent, binary.BigEndian.AppendUint64(nil, uint64(len(data)))...)
	for rest := append(frame, data...); len(rest) > 0; {
		n, err := conn.Write(rest[:min(len(rest), chunkBytes)])
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}
