package api

import (
	"encoding/json"
	"net/http"
	"time"
)

// lines writes an NDJSON answer. Everything is written under a deadline, so
// that a client that does not read costs a goroutine for a while and nothing else.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buf     []byte
}

// newLines begins the answer.
func newLines(w http.ResponseWriter) (*lines, error) {
	l := &lines{w: w, control: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	return l, l.flush()
}

// add appends a line to what the next flush writes.
func (l *lines) add(document any) error {
	data, err := json.Marshal(document)
	if err != nil {
		return err
	}
	l.buf = append(append(l.buf, data...), '\n')
	return nil
}

// flush writes what was added.
func (l *lines) flush() error {
	if err := l.control.SetWriteDeadline(time.Now().Add(streamTimeout)); err != nil {
		return err
	}
	if len(l.buf) > 0 {
		_, err := l.w.Write(l.buf)
		if l.buf = l.buf[:0]; cap(l.buf) > blobChunkBytes {
			l.buf = nil
		}
		if err != nil {
			return err
		}
	}
	return l.control.Flush()
}

// heartbeat writes a blank line: a client that is gone is noticed by it.
func (l *lines) heartbeat() error {
	l.buf = append(l.buf, '\n')
	return l.flush()
}

// fail ends a stream that has begun with the error as its last line.
func (l *lines) fail(err error) error {
	if l.add(asError(err)) != nil || l.flush() != nil {
		return nil // nobody reads it
	}
	return nil
}
