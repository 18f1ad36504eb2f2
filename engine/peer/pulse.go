package peer

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"quorate/eventlog"
)

// A Pulse is what an orchestrator says of itself.
type Pulse struct {
	// Head is the index of the newest record that it holds.
	Head uint64 `json:"-"`
	// Alarms are what an operator has to look after there.
	Alarms []string `json:"alarms,omitempty"`
	// LogVersion is the eventlog.Version that it reads; 0 is one from before that was told.
	LogVersion uint32 `json:"log_version,omitempty"`
	// Removed is why who asks is no member any more, as far as it knows.
	Removed string `json:"removed,omitempty"`
}

const (
	alarmsMax    = 4
	textBytesMax = 256 // of an alarm, and of a reason; JSON may need six times as many
	moveTimeout  = 10 * time.Second
)

// ErrRemoved is wrapped where a member says that this orchestrator is none any more.
var ErrRemoved = errors.New("this orchestrator was removed from the cluster")

// Reach returns nil where a member answers.
func (b *Blobs) Reach(ctx context.Context, replica uint64) error {
	_, err := b.Pulse(ctx, replica)
	return err
}

// Pulse asks a member how it is.
func (b *Blobs) Pulse(ctx context.Context, replica uint64) (Pulse, error) {
	conn, err := b.cfg.Dial(ctx, replica)
	if err != nil {
		return Pulse{}, err
	}
	defer conn.Close()
	p, err := TakePulse(ctx, conn)
	if err != nil {
		return Pulse{}, fmt.Errorf("orchestrator %d: %w", replica, err)
	}
	return p, nil
}

// TakePulse asks who is at the other end of a connection for blobs how it is. The
// error wraps [ErrRemoved], with the reason, where that is the answer.
func TakePulse(ctx context.Context, conn net.Conn) (Pulse, error) {
	body, err := request(ctx, conn, kindPong, appendFrame(nil, kindPing))
	if err != nil {
		return Pulse{}, err
	}
	p := Pulse{}
	if json.Unmarshal(body[sizeBytes:], &p) != nil {
		return Pulse{}, violation("a pulse that is not the JSON that is due")
	}
	p.Head = binary.BigEndian.Uint64(body)
	if p.Removed != "" {
		return Pulse{}, fmt.Errorf("%w: %s", ErrRemoved, p.Removed)
	}
	return p, nil
}

// TellMoved tells who is at the other end of a connection for blobs where this
// orchestrator is now. It returns nil when it has taken note of that.
func TellMoved(ctx context.Context, conn net.Conn, now eventlog.OrchestratorMoved) error {
	body, err := json.Marshal(now)
	if err != nil {
		return err
	}
	result, err := request(ctx, conn, kindResult, appendFrame(nil, kindMove, body...))
	if err != nil {
		return err
	}
	return status(result[0]).err()
}

// request sends a frame and waits for the answer; the connection is of no use
// once ctx has ended.
func request(ctx context.Context, conn net.Conn, want kind, frame []byte) ([]byte, error) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := (patient{conn}).Write(frame); err != nil {
		return nil, err
	}
	return expect(patient{conn}, want)
}

// pong is what this orchestrator answers to a question how it is.
func (b *Blobs) pong(from uint64) []byte {
	p := Pulse{LogVersion: eventlog.Version, Removed: clipped(b.removed(from))}
	if b.cfg.Head != nil {
		p.Head = b.cfg.Head()
	}
	if b.cfg.Alarms != nil {
		for _, a := range b.cfg.Alarms() {
			if len(p.Alarms) < alarmsMax {
				p.Alarms = append(p.Alarms, clipped(a))
			}
		}
	}
	body := binary.BigEndian.AppendUint64(nil, p.Head)
	text, err := json.Marshal(p)
	if err != nil || len(text) > jsonBytesMax {
		text = []byte("{}") // the head is worth more than what could not be said
	}
	return append(body, text...)
}

func (b *Blobs) removed(replica uint64) string {
	if b.cfg.Removed == nil {
		return ""
	}
	return b.cfg.Removed(replica)
}

// clipped bounds a text that goes over the line.
func clipped(text string) string { return text[:min(len(text), textBytesMax)] }

// answerMove takes note of where a member is.
func (b *Blobs) answerMove(ctx context.Context, conn net.Conn, from uint64, body []byte) error {
	now := eventlog.OrchestratorMoved{}
	if json.Unmarshal(body, &now) != nil {
		return violation("addresses that are not the JSON that is due")
	}
	now.Replica = from // whatever it says
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	outcome := statusDone
	if b.cfg.Moved == nil {
		outcome = statusFailed
	} else if err := b.cfg.Moved(ctx, now); err != nil {
		b.logger.Warn("a member says where it is now, and that could not be put on record yet", "replica", from, "raft", now.RaftAddress, "error", err)
		outcome = statusFailed
	}
	return write(conn, kindResult, byte(outcome))
}
