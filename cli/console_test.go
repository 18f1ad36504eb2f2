package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// TestConfirmIsInterrupted: a question ends with its command, though nobody answers it.
func TestConfirmIsInterrupted(t *testing.T) {
	nobody, keys := io.Pipe()
	defer keys.Close()
	var shown strings.Builder
	con := &console{in: nobody, err: &shown, inTerminal: true, errTerminal: true}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	ended := make(chan error, 1)
	go func() { ended <- con.confirm(ctx, false, "run %d will be cancelled", 7) }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) || shown.String() != "quorate: run 7 will be cancelled. Go on? [y/N] \n" {
			t.Errorf("%v after %q", err, shown.String())
		}
	case <-time.After(time.Minute):
		t.Fatal("the question is still waiting for an answer")
	}
}
