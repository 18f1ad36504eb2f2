package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// lineBytesMax bounds one line of a stream: a job's output is capped far below.
const lineBytesMax = 16 << 20

// Watch yields a run's events from its beginning, or after the record since, up
// to run-ended. A connection that is lost in between is made again, without
// missing or repeating an event, as long as that succeeds within resumeMax.
// The id is a number or "latest".
func (c *Client) Watch(ctx context.Context, id string, since uint64) iter.Seq2[RunEvent, error] {
	return func(yield func(RunEvent, error) bool) {
		w := watching{client: c, id: id, since: since}
		for {
			more, err := w.connect(ctx, yield)
			if !more {
				return
			}
			if err := w.pause(ctx, err); err != nil {
				yield(RunEvent{}, err)
				return
			}
		}
	}
}

// resumeMax is how long a watch tries to reconnect, resumePause how long it
// waits in between.
const (
	resumeMax   = 30 * time.Second
	resumePause = 250 * time.Millisecond
)

// watching is a watch across its connections. One record may lead to several
// events: a new connection starts at the record of the last event and passes
// over those of it that were seen.
type watching struct {
	client *Client
	id     string
	since  uint64
	last   uint64 // record of the last event seen
	seen   int    // how many events of it
	lostAt time.Time
}

// connect reads one connection to its end and reports whether to try another.
func (w *watching) connect(ctx context.Context, yield func(RunEvent, error) bool) (more bool, cause error) {
	since, skip := w.since, 0
	if w.last > 0 {
		since, skip = w.last-1, w.seen
	}
	query := url.Values{"since": {strconv.FormatUint(since, 10)}}
	for event, err := range stream[RunEvent](ctx, w.client, runPath(w.id, "/watch"), query) {
		if err != nil {
			var answered *Error
			refused := errors.As(err, &answered) && answered.Code != "unavailable"
			if w.last == 0 && w.lostAt.IsZero() || refused || ctx.Err() != nil {
				yield(event, err)
				return false, nil
			}
			return true, err
		}
		if skip > 0 && event.Seq == w.last {
			skip--
			continue
		}
		if event.Seq != w.last {
			w.last, w.seen = event.Seq, 0
		}
		w.seen++
		w.lostAt = time.Time{}
		if w.id == "latest" { // a later run must not slip in
			w.id = strconv.FormatUint(event.Run, 10)
		}
		if !yield(event, nil) || event.Type == "run-ended" {
			return false, nil
		}
	}
	return true, fmt.Errorf("the stream of run %s ended before the run: %w", w.id, io.ErrUnexpectedEOF)
}

// pause waits before the next connection, or returns why there is none.
func (w *watching) pause(ctx context.Context, cause error) error {
	if w.lostAt.IsZero() {
		w.lostAt = time.Now()
	} else if time.Since(w.lostAt) > resumeMax {
		return cause
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(resumePause):
		return nil
	}
}

// Output yields the outputs of a run's jobs, of one task and host where they are
// not empty.
func (c *Client) Output(ctx context.Context, id, task, host string) iter.Seq2[Output, error] {
	query := url.Values{}
	if task != "" {
		query.Set("task", task)
	}
	if host != "" {
		query.Set("host", host)
	}
	return stream[Output](ctx, c, runPath(id, "/output"), query)
}

// LogQuery selects records of the log.
type LogQuery struct {
	// Since: records after this index.
	Since uint64
	// From: records of this time and later; it counts where Since is 0.
	From time.Time
	// Follow goes on with new records until the caller stops.
	Follow bool
	// Kind and Run filter; empty and 0 do not.
	Kind string
	Run  uint64
	// Limit bounds the number of records; 0 does not.
	Limit int
}

// Log yields records of the log. A connection that is lost in between is made
// again, with another orchestrator where there is one, without missing or
// repeating a record, as long as that succeeds within resumeMax.
func (c *Client) Log(ctx context.Context, q LogQuery) iter.Seq2[LogEvent, error] {
	return func(yield func(LogEvent, error) bool) {
		var lostAt time.Time
		for seen := 0; ; {
			var cause error
			for event, err := range stream[LogEvent](ctx, c, "/v1/log", q.values()) {
				if cause = err; err != nil {
					break
				}
				lostAt = time.Time{}
				seen++
				if !yield(event, nil) || seen == q.Limit && q.Limit > 0 {
					return
				}
				q.Since = event.Seq
			}
			if cause == nil && !q.Follow {
				return
			}
			if cause == nil {
				cause = fmt.Errorf("the stream of the log ended: %w", io.ErrUnexpectedEOF)
			}
			if lostAt.IsZero() {
				lostAt = time.Now()
			}
			if seen == 0 || !elsewhere(cause) || time.Since(lostAt) > resumeMax || !pause(ctx) {
				yield(LogEvent{}, cause)
				return
			}
		}
	}
}

// pause waits before a next connection and reports whether there is to be one.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(resumePause):
		return true
	}
}

func (q *LogQuery) values() url.Values {
	query := url.Values{}
	set := func(name string, value uint64) {
		if value > 0 {
			query.Set(name, strconv.FormatUint(value, 10))
		}
	}
	set("since", q.Since)
	set("run", q.Run)
	set("limit", uint64(max(q.Limit, 0)))
	if q.Since == 0 && !q.From.IsZero() {
		query.Set("since", q.From.UTC().Format(time.RFC3339Nano))
	}
	if q.Follow {
		query.Set("follow", "1")
	}
	if q.Kind != "" {
		query.Set("kind", q.Kind)
	}
	return query
}

// stallMax is how long a stream may show no sign of life: an orchestrator writes
// a heartbeat every heartbeatPeriod, and one that is stopped or cut off does not.
const stallMax = 3 * heartbeatPeriod

// errStalled ends a stream on which nothing came for too long.
var errStalled = errors.New("nothing was heard of the orchestrator for too long")

// stream yields the lines of an NDJSON answer. Blank lines are heartbeats; a
// line with an error's code ends the stream with that error.
func stream[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		reading, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		resp, err := c.send(reading, request{method: "GET", path: path, query: query})
		if err != nil {
			yield(zero, err)
			return
		}
		defer resp.Body.Close()
		stalled := time.AfterFunc(stallMax, func() { stop(errStalled) })
		defer stalled.Stop()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(make([]byte, 0, 64<<10), lineBytesMax)
		for lines.Scan() {
			stalled.Stop() // what the caller does with a line takes what it takes
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) > 0 {
				value, err := decodeLine[T](line)
				if !yield(value, err) || err != nil {
					return
				}
			}
			stalled.Reset(stallMax)
		}
		if err := lines.Err(); err != nil {
			yield(zero, c.streamError(ctx, reading, err))
		}
	}
}

// streamError tells a stream that its reader gave up from one that broke off.
func (c *Client) streamError(ctx, reading context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(context.Cause(reading), errStalled):
		// It might well take the next request and leave it lying.
		c.at.Store((c.at.Load() + 1) % int64(len(c.endpoints)))
		return errStalled
	}
	return fmt.Errorf("stream from the orchestrator: %w", rootCause(err))
}

// decodeLine decodes one line, which is a T or the error that ended the stream.
func decodeLine[T any](line []byte) (T, error) {
	var value T
	if bytes.Contains(line[:min(len(line), 64)], []byte(`"code":`)) {
		var failed Error
		if err := json.Unmarshal(line, &failed); err == nil && failed.Code != "" {
			return value, &failed
		}
	}
	// Numbers of an event are kept as they are written: as float64 they would
	// lose nanoseconds.
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return value, fmt.Errorf("line of the answer: %w", err)
	}
	return value, nil
}
