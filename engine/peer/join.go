package peer

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"quorate/engine/orchestrator"
)

// JoinRequest and JoinAnswer are what a joiner sends and gets.
type (
	JoinRequest = orchestrator.JoinRequest
	JoinAnswer  = orchestrator.JoinAnswer
)

// A Joiner makes orchestrators members: [orchestrator.Orchestrator] does.
type Joiner interface {
	Join(ctx context.Context, req JoinRequest) (*JoinAnswer, error)
}

const (
	joinRequestBytesMax = 8 << 10
	joinAnswerBytesMax  = 256 << 10
	// helloTimeout bounds how long a joiner may take over its request, and over
	// taking the answer.
	helloTimeout = 10 * time.Second
	// joinTimeout bounds the whole: a join waits for a majority.
	joinTimeout = 45 * time.Second
)

// A joinReply is the answer on the wire: either the answer or an error.
type joinReply struct {
	Answer  *JoinAnswer       `json:"answer,omitempty"`
	Code    orchestrator.Code `json:"code,omitempty"`
	Message string            `json:"message,omitempty"`
	Hint    string            `json:"hint,omitempty"`
}

// ServeJoin answers one request to join on a connection, and closes it. The other
// side may be anybody. The error is for the log: it holds no secret.
func ServeJoin(ctx context.Context, conn net.Conn, o Joiner) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close() // the answer is written, or cannot be
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	var req JoinRequest
	if err := readJSON(conn, joinRequestBytesMax, &req); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	answer, err := o.Join(ctx, req)
	reply := joinReply{Answer: answer}
	if err != nil {
		reply = refusal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	if sent := writeJSON(conn, joinAnswerBytesMax, reply); sent != nil {
		return fmt.Errorf("join: %w", errors.Join(err, sent))
	}
	if err != nil {
		return fmt.Errorf("join: refused: %w", err)
	}
	return nil
}

// refusal tells the joiner what it may know.
func refusal(err error) joinReply {
	var refused *orchestrator.Error
	if errors.As(err, &refused) {
		return joinReply{Code: refused.Code, Message: refused.Message, Hint: refused.Hint}
	}
	return joinReply{Code: orchestrator.Internal, Message: "the orchestrator could not answer: see its log"}
}

// RequestJoin asks a member to let this orchestrator join, and closes the
// connection, which has to be one to a server of the cluster of the token. An
// error of type [*orchestrator.Error] is the member's answer: of code
// [orchestrator.Unavailable], asking again with the same request is right. After
// any other error too: the member may have done it.
func RequestJoin(ctx context.Context, conn net.Conn, req JoinRequest) (*JoinAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close() // it has answered, or will not
		}
	}()
	if err := writeJSON(conn, joinRequestBytesMax, req); err != nil {
		return nil, fmt.Errorf("request to join: %w", errors.Join(err, ctx.Err()))
	}
	var reply joinReply
	if err := readJSON(conn, joinAnswerBytesMax, &reply); err != nil {
		return nil, fmt.Errorf("answer to the request to join: %w", errors.Join(err, ctx.Err()))
	}
	switch {
	case reply.Code != "":
		return nil, &orchestrator.Error{Code: reply.Code, Message: reply.Message, Hint: reply.Hint}
	case reply.Answer == nil || reply.Answer.Replica == 0 || len(reply.Answer.Files) == 0 || len(reply.Answer.Members) == 0:
		return nil, fmt.Errorf("answer to the request to join: %w", violation("it lacks what a member needs"))
	}
	return reply.Answer, nil
}

// readJSON reads one value behind its length in 4 bytes, big-endian. Memory grows
// with what arrives, not with what the length says.
func readJSON(r io.Reader, bytesMax uint32, v any) error {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(header[:])
	if n > bytesMax {
		return violation("a message of %d bytes, more than %d", n, bytesMax)
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && uint32(len(text)) < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	// The error of the decoder may quote the text, which may be a secret.
	if json.Unmarshal(text, v) != nil {
		return violation("a message that is not the JSON that is due")
	}
	return nil
}

func writeJSON(w io.Writer, bytesMax uint32, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > int(bytesMax) {
		return fmt.Errorf("a message of %d bytes, more than %d", len(text), bytesMax)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}
