package api

import (
	"context"
	"net/http"

	"quorate/engine/orchestrator"
)

// Retry is the body of POST /v1/runs/{id}/retry: a run of the same plan, in which all
// that has succeeded in that one counts as done.
type Retry struct {
	Schema    string `json:"schema"`
	RequestID string `json:"request_id"`
	// Unknown does steps once more whose outcome nobody knows; it needs a Reason.
	Unknown     bool   `json:"unknown,omitempty"`
	Reason      string `json:"reason,omitempty"`
	IgnoreCache bool   `json:"ignore_cache,omitempty"`
}

func (h *Handler) retry(w http.ResponseWriter, r *http.Request) error {
	id, err := h.runIn(r)
	if err != nil {
		return err
	}
	var in Retry
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	run, err := h.o.Retry(r.Context(), id, orchestrator.RetryRequest{
		RequestID: in.RequestID, By: callerOf(r).name, Reason: in.Reason, Unknown: in.Unknown, IgnoreCache: in.IgnoreCache,
	})
	if err != nil {
		return err
	}
	return h.answerRun(w, http.StatusCreated, run, false)
}

// RetryRun starts a run that does what the other one has left.
func (c *Client) RetryRun(ctx context.Context, id string, in Retry) (*Run, error) {
	in.Schema = Schema
	return post[Run](ctx, c, runPath(id, "/retry"), &in)
}
