package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"quorate/engine/orchestrator"
)

// statusOf is the HTTP status that goes with each code.
func statusOf(code string) int {
	switch code {
	case "invalid":
		return http.StatusUnprocessableEntity
	case "not-found":
		return http.StatusNotFound
	case "conflict", "stale":
		return http.StatusConflict
	case "unauthorized":
		return http.StatusForbidden
	case "unavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// answer writes a document.
func answer(w http.ResponseWriter, status int, document any) error {
	data, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // a client that is gone gets nothing
	return nil
}

func writeError(w http.ResponseWriter, status int, e *Error) {
	e.Schema = Schema
	_ = answer(w, status, e)
}

// asError makes the API's error of any.
func asError(err error) *Error {
	var ours *Error
	var theirs *orchestrator.Error
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &theirs):
		return &Error{Schema: Schema, Code: string(theirs.Code), Message: theirs.Message, Hint: theirs.Hint}
	}
	return &Error{Schema: Schema, Code: "internal", Message: err.Error()}
}

// fail answers a request that met an error.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody reads the answer
	}
	e := asError(err)
	if e.Code == "internal" {
		h.logger.Error("API request", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	writeError(w, statusOf(e.Code), e)
}

func badRequest(format string, args ...any) *Error {
	return &Error{Schema: Schema, Code: "invalid", Message: fmt.Sprintf(format, args...)}
}

// decode reads a JSON body strictly: fields that are not known are refused, since
// a misspelt one would be ignored silently.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return badRequest("the body must be application/json")
	}
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	in.DisallowUnknownFields()
	if err := in.Decode(into); err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			return badRequest("the body has more than %d bytes", bodyBytesMax)
		}
		return badRequest("the body is not what is expected: %v", err)
	}
	if _, err := in.Token(); err != io.EOF {
		return badRequest("the body has something behind its end")
	}
	return nil
}

// checkSchema refuses documents of another version.
func checkSchema(schema string) error {
	if schema != "" && schema != Schema {
		return badRequest("schema %.32q: this orchestrator speaks %s", schema, Schema)
	}
	return nil
}
