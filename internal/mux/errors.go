package mux

import (
	"errors"
	"fmt"
)

// A CloseError says that one of the two sides has closed the connection.
type CloseError struct {
	// Code and Reason are what it gave; a reason that came from the other side has at
	// most 1024 bytes.
	Code   uint64
	Reason string
	// Remote is true where it was the other side.
	Remote bool
}

func (e *CloseError) Error() string {
	side := "this side"
	if e.Remote {
		side = "the other side"
	}
	return fmt.Sprintf("closed by %s with code %d: %s", side, e.Code, e.Reason)
}

var (
	// ErrIdle ends a connection on which nothing was heard for too long, although
	// both sides keep it alive.
	ErrIdle = errors.New("nothing was heard on the connection")
	// ErrProtocol ends a connection whose other side does not keep to the protocol.
	ErrProtocol = errors.New("the other side broke the protocol of streams")
	// ErrCancelled is of a stream that one of the sides has dropped.
	ErrCancelled = errors.New("the stream was cancelled")
	// ErrSmallFrames ends a stream of which more than 8192 pieces of a few bytes wait to
	// be read, or a connection where that does not help.
	ErrSmallFrames = errors.New("the other side sends too many small pieces")
	// ErrNoALPN refuses a peer with which no protocol was agreed on.
	ErrNoALPN = errors.New("no application protocol was agreed on")
)
