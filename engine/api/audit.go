package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"quorate/engine"
	"quorate/engine/audit"
	"quorate/eventlog/bundle"
)

// signTimeout bounds the wait for a checkpoint that covers what is exported. Without
// one the bundle says what is not proven.
const signTimeout = 5 * time.Second

// An ExportQuery says what a bundle is to hold.
type ExportQuery struct {
	// Run is a number or "latest"; empty is for the whole log.
	Run string
	// Files has the files that jobs ship go along.
	Files bool
}

// Export downloads an audit bundle; the caller closes it, and checks it: one that broke
// off on the way is not whole.
func (c *Client) Export(ctx context.Context, q ExportQuery) (io.ReadCloser, error) {
	query := url.Values{}
	if q.Run != "" {
		query.Set("run", q.Run)
	}
	if q.Files {
		query.Set("files", "1")
	}
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/v1/audit/bundle", query: query})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// exportBundle streams an audit bundle. One that fails on the way is cut off.
func (h *Handler) exportBundle(w http.ResponseWriter, r *http.Request) error {
	wish := audit.Wish{}
	var err error
	if text := r.URL.Query().Get("files"); text != "" {
		if wish.Files, err = strconv.ParseBool(text); err != nil {
			return badRequest("files=%.32q: want 1 or 0", text)
		}
	}
	if text := r.URL.Query().Get("run"); text != "" {
		if wish.Run, err = h.exportedRun(text); err != nil {
			return err
		}
	}
	signing, cancel := context.WithTimeout(r.Context(), signTimeout)
	_, unsigned := h.o.SignCheckpoint(signing)
	cancel()
	if unsigned != nil {
		h.logger.Warn("a bundle is exported without a checkpoint of its newest records", "error", unsigned)
	}
	place, err := audit.Of(h.o)
	if err != nil {
		return err
	}
	place.Unsigned = unsigned != nil
	content, err := place.Gather(r.Context(), wish)
	if errors.Is(err, audit.ErrNoRun) {
		return &Error{Code: "not-found", Message: fmt.Sprintf("run %d: there is no such run", wish.Run), Hint: "see \"quorate run ls\""}
	}
	if err != nil {
		return err
	}
	out := &backupWriter{w: w, control: http.NewResponseController(w)}
	_, err = bundle.Write(r.Context(), out, place.Source, content)
	if err != nil && !out.begun {
		return err
	}
	if err != nil {
		if r.Context().Err() == nil {
			h.logger.Error("export of a bundle", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}

// exportedRun reads the number of a run, or "latest".
func (h *Handler) exportedRun(text string) (id uint64, err error) {
	if text == "latest" {
		h.o.View(func(s *engine.State) { id = uint64(len(s.Runs)) })
		if id == 0 {
			return 0, &Error{Code: "not-found", Message: "there is no run yet", Hint: "see \"quorate run ls\""}
		}
		return id, nil
	}
	if id, err = strconv.ParseUint(text, 10, 64); err != nil || id == 0 {
		return 0, badRequest("run=%.32q: want the number of a run, or latest", text)
	}
	return id, nil
}
