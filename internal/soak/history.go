package soak

import (
	"fmt"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkTimeout bounds the search for a linearization.
const checkTimeout = 2 * time.Minute

// A History is what clients asked and were told. Runs are numbered without gaps,
// so that to start one is to increment a counter and to list them is to read it,
// and every answer has to fit one order of all requests. Its methods may be called
// concurrently.
type History struct {
	began time.Time

	mu  sync.Mutex
	ops []porcupine.Operation
}

// NewHistory returns an empty history.
func NewHistory() *History { return &History{began: time.Now()} }

// A counterInput is a request: to start a run, or to say which is the newest.
type counterInput struct{ submit bool }

// Call notes the beginning of a request and returns what notes its end. A read
// that got no answer is never ended: it says nothing. A submission has to be
// repeated under its request id until it is answered.
func (h *History) Call(client int, submit bool) (end func(run uint64)) {
	call := time.Since(h.began).Nanoseconds()
	return func(run uint64) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ops = append(h.ops, porcupine.Operation{
			ClientId: client, Input: counterInput{submit}, Call: call, Output: run, Return: time.Since(h.began).Nanoseconds(),
		})
	}
}

// Len returns the number of ended requests.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// Check returns an error unless the history is linearizable. It writes a picture
// of a history that is not to a file at path.
func (h *History) Check(path string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	model := porcupine.Model{
		Init: func() any { return uint64(0) },
		Step: func(state, input, output any) (bool, any) {
			runs := state.(uint64)
			if input.(counterInput).submit {
				return output.(uint64) == runs+1, runs + 1
			}
			return output.(uint64) == runs, runs
		},
		DescribeOperation: func(input, output any) string {
			if input.(counterInput).submit {
				return fmt.Sprintf("start run %d", output)
			}
			return fmt.Sprintf("newest is %d", output)
		},
	}
	result, info := porcupine.CheckOperationsVerbose(model, h.ops, checkTimeout)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("no order of %d requests was found within %s", len(h.ops), checkTimeout)
	}
	err := fmt.Errorf("%d requests fit no order", len(h.ops))
	if drawn := porcupine.VisualizePath(model, info, path); drawn == nil {
		err = fmt.Errorf("%w: see %s", err, path)
	}
	return err
}
