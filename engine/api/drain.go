package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"quorate/engine"
)

// Drain says that an agent is given no new steps.
type Drain struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Seq    uint64    `json:"seq"`
	// Done is true where the agent has nothing under way any more.
	Done bool `json:"done"`
}

// DrainView shows how an agent is drained, or returns nil.
func DrainView(a *engine.Agent) *Drain {
	if !a.Drained() {
		return nil
	}
	d := &a.Drain
	return &Drain{Since: timeOf(d.Time), By: d.By, Reason: d.Reason, Seq: d.Index, Done: len(a.Open) == 0}
}

func (h *Handler) drain(w http.ResponseWriter, r *http.Request) error {
	return h.changeAgent(w, r, h.o.Drain)
}

func (h *Handler) undrain(w http.ResponseWriter, r *http.Request) error {
	return h.changeAgent(w, r, h.o.Undrain)
}

// Drain has an agent be given no new steps: what it has not started it gives back.
func (c *Client) Drain(ctx context.Context, name string, in AgentChange) (*Agent, error) {
	in.Schema = Schema
	return post[Agent](ctx, c, "/v1/agents/"+url.PathEscape(name)+"/drain", &in)
}

// Undrain ends that.
func (c *Client) Undrain(ctx context.Context, name string, in AgentChange) (*Agent, error) {
	in.Schema = Schema
	return post[Agent](ctx, c, "/v1/agents/"+url.PathEscape(name)+"/undrain", &in)
}
