package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"quorate/engine/snapshot"
	"quorate/eventlog"
)

// A state of the past is not folded here: who asks gets a snapshot from before it and
// the records behind that, so that any number of questions costs reading.

// pastState answers GET /v1/state?at=SEQ with the newest snapshot at an index or
// before it, in the form of package engine/snapshot, or with no content where there
// is none.
func (h *Handler) pastState(w http.ResponseWriter, r *http.Request) error {
	folded, _ := h.o.Watch()
	at, err := numberIn(r, "at", folded)
	if err != nil {
		return err
	}
	file, err := h.o.OpenState(r.Context(), at)
	if err != nil {
		return err
	}
	if file == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	_, _ = io.Copy(&pacedWriter{w: w, control: http.NewResponseController(w)}, file) // a client that is gone gets no more
	return nil
}

// pacedWriter writes each piece under a deadline of its own.
type pacedWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// Write implements io.Writer.
func (p *pacedWriter) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(streamTimeout)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

// rawRecordsMax bounds the records of an answer, and rawBytesMax, for the client, its
// length.
const (
	rawRecordsMax  = 4096
	rawHeaderBytes = 8 + 8 + 2 + 32 + 4
	rawBytesMax    = 256 << 20
)

// rawRecords answers GET /v1/records?from=SEQ&limit=N with records as they are stored:
// for each its index (8 bytes), time (8), kind (2), hash (32), the length of its data
// (4), all big-endian, and its data. The answer is empty behind the newest.
func (h *Handler) rawRecords(w http.ResponseWriter, r *http.Request) error {
	from, err := numberIn(r, "from", 1)
	if err != nil {
		return err
	}
	limit, err := numberIn(r, "limit", rawRecordsMax)
	if err != nil {
		return err
	}
	folded, _ := h.o.Watch()
	var records []eventlog.Record
	if from <= folded {
		if records, err = h.o.Records(r.Context(), from, int(min(limit, rawRecordsMax, folded+1-from))); err != nil {
			return err
		}
	}
	var b []byte
	for i := range records {
		rec := &records[i]
		b = binary.BigEndian.AppendUint64(b, rec.Index)
		b = binary.BigEndian.AppendUint64(b, uint64(rec.Time))
		b = binary.BigEndian.AppendUint16(b, uint16(rec.Kind))
		b = append(b, rec.Hash[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(rec.Data)))
		b = append(b, rec.Data...)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.Copy(&pacedWriter{w: w, control: http.NewResponseController(w)}, bytes.NewReader(b))
	return nil
}

// Snapshot returns the newest snapshot of the state at an index or before it, or nil
// where the orchestrator has none. Errors are of the connection, or those of
// [snapshot.Read].
func (c *Client) Snapshot(ctx context.Context, at uint64) (*snapshot.Snapshot, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/v1/state", query: url.Values{"at": {strconv.FormatUint(at, 10)}}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	return snapshot.Read(resp.Body, func(p snapshot.Place) bool { return p.Index <= at })
}

// Records returns up to limit records from an index on, and at least one where there
// is one.
func (c *Client) Records(ctx context.Context, from uint64, limit int) (records []eventlog.Record, err error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/v1/records", query: url.Values{
		"from": {strconv.FormatUint(from, 10)}, "limit": {strconv.Itoa(limit)},
	}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, rawBytesMax))
	if err != nil {
		return nil, fmt.Errorf("records from %d: %w", from, err)
	}
	return parseRaw(b, from)
}

// parseRaw reads an answer of rawRecords that begins with an index.
func parseRaw(b []byte, from uint64) (records []eventlog.Record, err error) {
	for len(b) > 0 {
		if len(b) < rawHeaderBytes {
			return nil, errRaw
		}
		rec := eventlog.Record{
			Index: binary.BigEndian.Uint64(b), Time: int64(binary.BigEndian.Uint64(b[8:])), Kind: eventlog.Kind(binary.BigEndian.Uint16(b[16:])),
		}
		copy(rec.Hash[:], b[18:])
		n := binary.BigEndian.Uint32(b[50:])
		b = b[rawHeaderBytes:]
		if uint64(n) > uint64(len(b)) || rec.Index != from+uint64(len(records)) {
			return nil, errRaw
		}
		rec.Data, b = b[:n:n], b[n:]
		records = append(records, rec)
	}
	return records, nil
}

var errRaw = errors.New("the orchestrator's answer is cut off, or not of records in their order")

// IndexAt returns the last record that is not later than a time, unix nanoseconds, or
// 0 where there is none.
func (c *Client) IndexAt(ctx context.Context, nanos int64) (uint64, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return 0, err
	}
	for event, err := range c.Log(ctx, LogQuery{From: time.Unix(0, nanos+1), Limit: 1}) {
		if err != nil {
			return 0, err
		}
		return event.Seq - 1, nil
	}
	return status.Seq, nil
}
