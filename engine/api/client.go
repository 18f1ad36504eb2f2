package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// A Client talks to the API of an orchestrator, or of any of several: where one
// does not answer, or knows of no majority, it goes on with the next. Its methods
// may be called concurrently. Answers that are not 2xx come back as *[Error];
// where there is no orchestrator, the error is an *[Unreachable].
type Client struct {
	endpoints []*endpoint
	// at is the endpoint that answered last: the first to be asked.
	at     atomic.Int64
	notice func(Notice)
}

// A Notice is what a caller may want to tell its user about a request that
// succeeded all the same, or that is still being tried.
type Notice struct {
	// Stale: the answer may be out of date, since no majority could be asked.
	Stale bool
	// Moved is the address that the client goes on with, where it left another one.
	Moved string
}

// A DialOption changes how [Dial] sets up a client.
type DialOption func(*dialing) error

// WithNotice has f called with what happens beside an answer. It may be called
// concurrently.
func WithNotice(f func(Notice)) DialOption {
	return func(d *dialing) error {
		d.notice = f
		return nil
	}
}

// Dial returns a client for unix:///path/to/quorate.sock or https://host:port, or
// for several of them, separated by commas: any of a cluster's orchestrators will
// do. It opens no connection: the first request does.
func Dial(addresses string, opts ...DialOption) (*Client, error) {
	d := &dialing{notice: func(Notice) {}}
	for _, opt := range opts {
		if err := opt(d); err != nil {
			return nil, err
		}
	}
	c := &Client{notice: d.notice}
	for _, address := range splitAddresses(addresses) {
		e, err := d.endpoint(address)
		if err != nil {
			return nil, err
		}
		c.endpoints = append(c.endpoints, e)
	}
	if len(c.endpoints) > 1 {
		for _, e := range c.endpoints {
			e.hasten()
		}
	}
	return c, nil
}

// splitAddresses splits a list at its commas; one that no address follows is part
// of a socket's path.
func splitAddresses(text string) []string {
	var out []string
	for i, part := range strings.Split(text, ",") {
		if i > 0 && !strings.Contains(part, "://") && strings.TrimSpace(part) != "" {
			out[len(out)-1] += "," + part
			continue
		}
		if part = strings.TrimSpace(part); part != "" || i == 0 {
			out = append(out, part)
		}
	}
	return out
}

// Close drops the idle connections.
func (c *Client) Close() error {
	for _, e := range c.endpoints {
		e.http.CloseIdleConnections()
	}
	return nil
}

// Address is of the orchestrator that answered last.
func (c *Client) Address() string { return c.endpoints[c.at.Load()].address }

// A request is one that can be made again.
type request struct {
	method, path string
	query        url.Values
	// body opens what is sent; nil sends nothing.
	body        func() (io.ReadCloser, error)
	size        int64
	contentType string
	// once: the body cannot be opened again.
	once bool
}

// send makes a request, of each orchestrator in turn until one knows the answer,
// and returns the answer where it is 2xx. To ask a second one is safe: every
// command carries an id under which a repeat changes nothing.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	first, n := int(c.at.Load()), len(c.endpoints)
	var failures []error
	for i := range n {
		at := (first + i) % n
		try := c.endpoints[at].send
		if r.method == http.MethodGet && i < n-1 {
			try = c.endpoints[at].sendHasty
		}
		resp, err := try(ctx, r)
		if err == nil {
			c.answered(first, at, resp)
			return resp, nil
		}
		failures = append(failures, err)
		if r.once || ctx.Err() != nil || !elsewhere(err) {
			if i > 0 && !elsewhere(err) { // an answer, which counts
				c.answered(first, at, nil)
			}
			return nil, err
		}
	}
	// The next request begins with another one: this one may be gone for long.
	c.at.CompareAndSwap(int64(first), int64((first+1)%n))
	if r.method == http.MethodPost && n > 1 && !strings.HasPrefix(r.path, "/v1/blobs/") {
		if err := open(failures); err != nil {
			return nil, err
		}
	}
	return nil, worst(failures)
}

// answered remembers who answered, and passes on what goes with the answer.
func (c *Client) answered(first, at int, resp *http.Response) {
	if at != first && c.at.Swap(int64(at)) != int64(at) {
		c.notice(Notice{Moved: c.endpoints[at].address})
	}
	if resp != nil && resp.Header.Get(staleHeader) != "" {
		c.notice(Notice{Stale: true})
	}
}

// elsewhere reports whether another orchestrator may do better.
func elsewhere(err error) bool {
	var answered *Error
	return !errors.As(err, &answered) || answered.Code == "unavailable"
}

// open is the failure of a command that leaves open whether it was recorded, or
// nil. That another orchestrator turned the same command away says nothing of it.
func open(failures []error) error {
	for _, err := range failures {
		var un *Unreachable
		var answered *Error
		switch {
		case errors.As(err, &un):
		case !errors.As(err, &answered):
			return fmt.Errorf("not known whether the command was recorded: %w", err)
		case !answered.Unrecorded:
			return err
		}
	}
	return nil
}

// worst is the one error for a request that no orchestrator answered: what one of
// them said, or else that none is there.
func worst(failures []error) error {
	var absent []string
	for _, err := range failures {
		var answered *Error
		if errors.As(err, &answered) {
			return err
		}
		var un *Unreachable
		if errors.As(err, &un) {
			absent = append(absent, un.Address)
		}
	}
	last := failures[len(failures)-1]
	var un *Unreachable
	if len(absent) != len(failures) || len(absent) == 1 || !errors.As(last, &un) {
		return last
	}
	return &Unreachable{
		Address: strings.Join(absent, " or "), Err: un.Err,
		Hint: "check the addresses, and that orchestrators listen there (\"quorate server --http\")",
	}
}

// call sends in as JSON, where there is one, and decodes the answer into out.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	r := request{method: method, path: path, query: query, contentType: "application/json"}
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("request body: %w", err)
		}
		r.body = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
		r.size = int64(len(data))
	}
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, errorBytesMax))
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("answer to %s %s: %w", method, path, err)
	}
	return nil
}
