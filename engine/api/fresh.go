package api

import (
	"context"
	"net/http"
	"time"
)

// staleHeader marks an answer that was given without asking a majority.
const staleHeader = "Quorate-Stale"

// Bounds of what is waited for where there is no majority: readBarrierTimeout
// before a read is answered with what is known here, writeBarrierTimeout before
// a command is turned away, which outlasts an election, and writeTimeout for a
// command that was proposed.
const (
	readBarrierTimeout  = 2 * time.Second
	writeBarrierTimeout = 5 * time.Second
	writeTimeout        = 15 * time.Second
)

// A freshness is what a route asks of the state that it looks at.
type freshness uint8

const (
	asIs     freshness = iota // whatever is folded here
	newest                    // all that was committed before the request, where a majority answers
	majority                  // nothing without a majority: the route proposes events
)

// freshen sees to what a route asks for. For a route that reads, stale is true
// where no majority could be asked. One that proposes is refused then: what is
// never proposed is never recorded, which is worth more to an operator than to
// learn after a while that the outcome is not known.
func (h *Handler) freshen(w http.ResponseWriter, r *http.Request, want freshness) (stale bool, err error) {
	if want == majority {
		if err := h.writable(); err != nil {
			return false, err
		}
	}
	limit := map[freshness]time.Duration{newest: readBarrierTimeout, majority: writeBarrierTimeout}[want]
	if limit == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	err = h.o.Barrier(ctx)
	switch {
	case err == nil:
		return false, nil
	case r.Context().Err() != nil:
		return false, r.Context().Err()
	case want == majority:
		return false, &Error{
			Code: "unavailable", Message: "no majority of the orchestrators answers: nothing was recorded", Unrecorded: true,
			Hint: "see \"quorate cluster status\", start those that are down, and send the command again",
		}
	}
	w.Header().Set(staleHeader, "true")
	return true, nil
}

// writable is the error of an orchestrator whose disk is full. Others can do what
// it cannot, and a client that knows of them goes on with them.
func (h *Handler) writable() error {
	why := h.o.ReadOnly()
	if why == "" {
		return nil
	}
	return &Error{
		Code: "unavailable", Message: "the disk of this orchestrator is full: " + why, Unrecorded: true,
		Hint: "make room there, or ask another orchestrator with --server",
	}
}

// notKnown makes an answer of "there is none" that was given without a majority
// what it is: there may well be one.
func notKnown(err error) error {
	if e := asError(err); e.Code == "not-found" {
		return &Error{
			Code: "unavailable", Message: e.Message + ", as far as this orchestrator knows: no majority answers",
			Hint: "ask again when a majority is up: see \"quorate cluster status\"",
		}
	}
	return err
}
