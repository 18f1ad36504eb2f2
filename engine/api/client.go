package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// A Client talks to an orchestrator's API. Its methods may be called
// concurrently. Answers that are not 2xx come back as *[Error]; where there is
// no orchestrator, the error is an *[Unreachable].
type Client struct {
	address string
	base    string
	http    *http.Client
}

// Unreachable says that no orchestrator answered at an address.
type Unreachable struct {
	Address string
	Hint    string
	Err     error
}

func (e *Unreachable) Error() string {
	return fmt.Sprintf("no orchestrator at %s: %v", e.Address, rootCause(e.Err))
}

func (e *Unreachable) Unwrap() error { return e.Err }

// rootCause drops the request line that net/http puts in front of dial errors,
// and the address, which the message has already.
func rootCause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		var errno syscall.Errno
		if errors.As(op.Err, &errno) {
			return errno
		}
		return op.Err
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// dialTimeout bounds connecting, answerTimeout the wait for the head of an answer.
const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 2 * time.Minute
)

// A DialOption changes how [Dial] sets up a client.
type DialOption func(*http.Transport) error

// WithTLS gives the configuration for https addresses: the operator's
// certificate and the authority that the orchestrator's is checked against.
func WithTLS(config *tls.Config) DialOption {
	return func(t *http.Transport) error {
		t.TLSClientConfig = config.Clone()
		return nil
	}
}

// Dial returns a client for unix:///path/to/quorate.sock or https://host:port.
// It opens no connection: the first request does.
func Dial(address string, opts ...DialOption) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: answerTimeout, ForceAttemptHTTP2: true,
	}
	c := &Client{address: address, http: &http.Client{Transport: transport}}
	switch u.Scheme {
	case "unix":
		path := u.Path
		if u.Host != "" || path == "" { // unix://relative/path
			path = u.Host + u.Path
		}
		if path == "" {
			return nil, fmt.Errorf("address %q: the path of the socket is missing", address)
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
		c.base = "http://orchestrator"
	case "https":
		if u.Host == "" {
			return nil, fmt.Errorf("address %q: the host is missing", address)
		}
		c.base = "https://" + u.Host
	default:
		return nil, fmt.Errorf("address %q: want unix:///path or https://host:port", address)
	}
	for _, opt := range opts {
		if err := opt(transport); err != nil {
			return nil, err
		}
	}
	if u.Scheme == "https" && transport.TLSClientConfig == nil {
		return nil, fmt.Errorf("address %q: an operator identity is needed for https", address)
	}
	return c, nil
}

// Close drops the idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// send makes a request and returns the answer where it is 2xx.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body io.Reader, size int64, contentType string) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.ContentLength = size
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.transportError(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, answerError(resp)
}

// transportError tells an absent orchestrator from a request that was given up.
func (c *Client) transportError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		return fmt.Errorf("request to %s: %w", c.address, rootCause(err))
	}
	un := &Unreachable{Address: c.address, Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission):
		un.Hint = "the socket is for the user that runs the orchestrator: run as that user, or use https with an operator identity"
	case strings.HasPrefix(c.address, "unix:"):
		un.Hint = `start one with "quorate server", or try everything in one process with "quorate dev"`
	default:
		un.Hint = "check the address, and that the orchestrator listens there (\"quorate server --http\")"
	}
	return un
}

// errorBytesMax bounds what is read of an error's body.
const errorBytesMax = 64 << 10

// answerError makes an *Error of an answer that is not 2xx.
func answerError(resp *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, errorBytesMax))
	var e Error
	if err := json.Unmarshal(data, &e); err == nil && e.Code != "" {
		return &e
	}
	return &Error{Schema: Schema, Code: codeOf(resp.StatusCode), Message: fmt.Sprintf("the orchestrator answered %s", resp.Status)}
}

// codeOf is the code for an answer without a body of ours.
func codeOf(status int) string {
	switch status {
	case http.StatusNotFound:
		return "not-found"
	case http.StatusUnauthorized, http.StatusForbidden:
		return "unauthorized"
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return "unavailable"
	}
	if status/100 == 4 {
		return "invalid"
	}
	return "internal"
}

// call sends in as JSON, where there is one, and decodes the answer into out.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	var size int64
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("request body: %w", err)
		}
		body, size = bytes.NewReader(data), int64(len(data))
	}
	resp, err := c.send(ctx, method, path, query, body, size, "application/json")
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
