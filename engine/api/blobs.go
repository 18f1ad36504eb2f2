package api

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"quorate/eventlog"
)

// missingBlobs says which of the given blobs are not here.
func (h *Handler) missingBlobs(w http.ResponseWriter, r *http.Request) error {
	var in BlobsMissing
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if err := checkSchema(in.Schema); err != nil {
		return err
	}
	if len(in.Digests) > blobsMissingMax {
		return badRequest("%d digests, more than %d", len(in.Digests), blobsMissingMax)
	}
	out := BlobsMissing{Schema: Schema, Digests: []string{}}
	for _, digest := range in.Digests {
		err := h.o.Blobs().Check(digest) // a damaged one is as good as none
		switch {
		case errors.Is(err, eventlog.ErrDigest):
			return badRequest("digest %.80q: want a SHA-256 in lower-case hex", digest)
		case err != nil:
			out.Digests = append(out.Digests, digest)
		}
	}
	return answer(w, http.StatusOK, out)
}

// putBlob stores a blob as it arrives; nothing is kept unless its SHA-256 is the
// digest.
func (h *Handler) putBlob(w http.ResponseWriter, r *http.Request) error {
	digest := r.PathValue("digest")
	if r.ContentLength > blobBytesMax {
		return badRequest("the blob has %d bytes, more than %d", r.ContentLength, int64(blobBytesMax))
	}
	body := &moving{in: http.MaxBytesReader(w, r.Body, blobBytesMax), control: http.NewResponseController(w)}
	err := h.o.Blobs().Put(body, digest)
	var other *eventlog.BlobError
	var tooLong *http.MaxBytesError
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
		return nil
	case errors.Is(err, eventlog.ErrDigest):
		return badRequest("digest %.80q: want a SHA-256 in lower-case hex", digest)
	case errors.As(err, &other):
		return badRequest("the content has SHA-256 %s, not %s", other.Got, digest)
	case errors.As(err, &tooLong):
		return badRequest("the blob has more than %d bytes", int64(blobBytesMax))
	case body.failed != nil:
		return badRequest("the body ended early: %v", body.failed)
	}
	return err
}

// moving reads a body that may take long, as long as it moves.
type moving struct {
	in      io.Reader
	control *http.ResponseController
	failed  error // what reading met, io.EOF aside
}

func (m *moving) Read(p []byte) (int, error) {
	if err := m.control.SetReadDeadline(time.Now().Add(streamTimeout)); err != nil {
		return 0, fmt.Errorf("read deadline: %w", err)
	}
	n, err := m.in.Read(p)
	if err != nil && err != io.EOF {
		m.failed = err
	}
	return n, err
}

func (h *Handler) getBlob(w http.ResponseWriter, r *http.Request) error {
	digest := r.PathValue("digest")
	file, err := h.o.OpenBlob(r.Context(), digest)
	switch {
	case errors.Is(err, eventlog.ErrDigest):
		return badRequest("digest %.80q: want a SHA-256 in lower-case hex", digest)
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Code: "not-found", Message: fmt.Sprintf("no blob %.12s here", digest)}
	case err != nil:
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	control := http.NewResponseController(w)
	for {
		if err := control.SetWriteDeadline(time.Now().Add(streamTimeout)); err != nil {
			return err
		}
		if _, err := io.CopyN(w, file, blobChunkBytes); err != nil {
			return nil // the end, or a client that is gone: its length tells it which
		}
	}
}
