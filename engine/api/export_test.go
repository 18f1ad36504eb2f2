package api

import (
	"context"
	"io"
)

// Forget drops what is kept in memory of a run.
func Forget(h *Handler, run uint64) {
	h.history.mu.Lock()
	defer h.history.mu.Unlock()
	if c := h.history.runs[run]; c != nil {
		h.history.total -= len(c.events)
		delete(h.history.runs, run)
	}
}

// Fetch returns the body at a path.
func Fetch(ctx context.Context, c *Client, path string) (string, error) {
	resp, err := c.send(ctx, request{method: "GET", path: path})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return string(data), err
}

// Covers reports whether a watch of the run from a record on is told from memory.
func Covers(h *Handler, run, since uint64) bool { return h.history.covers(run, since) }
