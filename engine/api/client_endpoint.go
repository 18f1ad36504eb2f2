package api

import (
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

// Bounds of one try to reach an orchestrator: dialTimeout of connecting,
// answerTimeout of the wait for the head of an answer. The shorter ones count
// where there is another orchestrator to go on with.
const (
	dialTimeout        = 10 * time.Second
	answerTimeout      = 2 * time.Minute
	dialTimeoutShort   = 3 * time.Second
	answerTimeoutShort = 30 * time.Second
	// Questions are answered, or their answer is begun, within a few seconds.
	hastyTimeout = 5 * time.Second
	lastTimeout  = 15 * time.Second // of who is asked last, or alone

	// A connection on which nothing comes for pingAfter is asked whether it lives.
	pingAfter   = 5 * time.Second
	pingTimeout = 5 * time.Second
)

// An endpoint is one orchestrator's API.
type endpoint struct {
	address   string
	base      string
	http      *http.Client
	transport *http.Transport
	dialer    *net.Dialer
}

// A dialing is what the options of [Dial] fill in.
type dialing struct {
	tls    *tls.Config
	notice func(Notice)
}

// WithTLS gives the configuration for https addresses: the operator's
// certificate and the authority that the orchestrator's is checked against.
func WithTLS(config *tls.Config) DialOption {
	return func(d *dialing) error {
		d.tls = config
		return nil
	}
}

func (d *dialing) endpoint(address string) (*endpoint, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	e := &endpoint{address: address, dialer: &net.Dialer{Timeout: dialTimeout}}
	e.transport = &http.Transport{
		DialContext: e.dialer.DialContext, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: answerTimeout, ForceAttemptHTTP2: true,
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	e.http = &http.Client{Transport: e.transport}
	switch u.Scheme {
	case "unix":
		path := u.Path
		if u.Host != "" || path == "" { // unix://relative/path
			path = u.Host + u.Path
		}
		if path == "" {
			return nil, fmt.Errorf("address %q: the path of the socket is missing", address)
		}
		e.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return e.dialer.DialContext(ctx, "unix", path)
		}
		e.base = "http://orchestrator"
	case "https":
		if u.Host == "" {
			return nil, fmt.Errorf("address %q: the host is missing", address)
		}
		if d.tls == nil {
			return nil, fmt.Errorf("address %q: an operator identity is needed for https", address)
		}
		e.transport.TLSClientConfig = d.tls.Clone()
		e.base = "https://" + u.Host
	default:
		return nil, fmt.Errorf("address %q: want unix:///path or https://host:port", address)
	}
	return e, nil
}

// hasten shortens the waits, for an orchestrator that others can stand in for.
func (e *endpoint) hasten() {
	e.dialer.Timeout = dialTimeoutShort
	e.transport.TLSHandshakeTimeout = dialTimeoutShort
	e.transport.ResponseHeaderTimeout = answerTimeoutShort
}

func (e *endpoint) send(ctx context.Context, r request) (*http.Response, error) {
	target := e.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.ReadCloser
	if r.body != nil {
		var err error
		if body, err = r.body(); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, nil)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Body, req.ContentLength = body, r.size
		if r.size == 0 {
			_ = body.Close()
			req.Body = http.NoBody
		}
		req.Header.Set("Content-Type", r.contentType)
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return nil, e.transportError(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, answerError(resp)
}

// try makes a request; last says that no other orchestrator can be tried after.
func (e *endpoint) try(ctx context.Context, r request, last bool) (*http.Response, error) {
	switch {
	case r.method != http.MethodGet:
		return e.send(ctx, r)
	case last:
		return e.ask(ctx, r, lastTimeout)
	}
	return e.ask(ctx, r, hastyTimeout)
}

// ErrSlow is wrapped by the error for a question that nobody answers.
var ErrSlow = errors.New("it takes connections and does not answer")

// ask is send for a question: it waits so long for the head of the answer. An
// orchestrator that is stopped, or cut off, takes a connection and leaves it lying.
func (e *endpoint) ask(ctx context.Context, r request, timeout time.Duration) (*http.Response, error) {
	asking, stop := context.WithCancelCause(ctx)
	slow := time.AfterFunc(timeout, func() { stop(ErrSlow) })
	resp, err := e.send(asking, r)
	inTime := slow.Stop()
	if err != nil {
		stop(nil)
		if !inTime && ctx.Err() == nil {
			return nil, fmt.Errorf("request to %s: %w", e.address, ErrSlow)
		}
		return nil, err
	}
	if !inTime { // the head came just when it was given up
		stop(nil)
		return nil, errors.Join(fmt.Errorf("request to %s: %w", e.address, ErrSlow), resp.Body.Close())
	}
	resp.Body = &releasing{resp.Body, stop}
	return resp, nil
}

// releasing is a body whose request is released when it is closed.
type releasing struct {
	io.ReadCloser
	stop context.CancelCauseFunc
}

// Close implements io.Closer.
func (r *releasing) Close() error {
	err := r.ReadCloser.Close()
	r.stop(nil)
	return err
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

// refusedProtocol is what a server says, in package tls, that knows none of the
// protocols that it was offered and has its own way to choose.
const refusedProtocol = "tls: internal error"

// transportError tells an absent orchestrator from a request that was given up.
func (e *endpoint) transportError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" && op.Err.Error() == refusedProtocol {
		return &Unreachable{
			Address: e.address, Err: err,
			Hint: "that looks like the address for other orchestrators (--raft): name the one for operators (\"quorate server --http\")",
		}
	}
	if !errors.As(err, &op) || op.Op != "dial" {
		return fmt.Errorf("request to %s: %w", e.address, rootCause(err))
	}
	un := &Unreachable{Address: e.address, Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission):
		un.Hint = "the socket is for the user that runs the orchestrator: run as that user, or use https with an operator identity"
	case strings.HasPrefix(e.address, "unix:"):
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
