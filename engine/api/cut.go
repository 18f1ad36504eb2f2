package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"quorate/engine"
	"quorate/engine/denial"
	"quorate/eventlog"
)

// Why the requests of an operator are cut off while they are under way.
var (
	errRevoked = errors.New("the operator was revoked")
	errExpired = errors.New("the operator's certificate has expired")
)

// lookEvery is how often it is looked whether the clock has passed the end of an identity
// whose request is under way.
const lookEvery = time.Second

// underWay are the requests of operators that were let through, so that those of one who
// is revoked end at once, and those of one whose identity ends not much later.
//
// An identity has ended for a request under way when the clock says so, which may jump, or
// when the time has gone by that was left when the request began, whichever is first: a
// clock that is set back prolongs nothing, and who is cut off by one that is wrong may ask
// again when it is right.
type underWay struct {
	now func() time.Time

	mu      sync.Mutex
	next    uint64
	open    map[uint64]admitted
	looking bool // there will be another look
}

type admitted struct {
	caller caller
	cancel context.CancelCauseFunc
}

// admit adds an operator's request. Its context ends when the identity does, or when the
// operator is revoked.
func (u *underWay) admit(ctx context.Context, c caller) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if c.role != operator {
		return ctx, func() { cancel(nil) }
	}
	ctx, stop := context.WithDeadlineCause(ctx, c.until, errExpired)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.open == nil {
		u.open = map[uint64]admitted{}
	}
	id := u.next
	u.next++
	u.open[id] = admitted{c, cancel}
	u.lookLater()
	return ctx, func() {
		u.mu.Lock()
		delete(u.open, id)
		u.mu.Unlock()
		stop()
		cancel(nil)
	}
}

// lookLater has the clock looked at in a while, as long as anything is under way. The
// caller holds mu.
func (u *underWay) lookLater() {
	if !u.looking && len(u.open) > 0 {
		u.looking = true
		time.AfterFunc(lookEvery, u.look)
	}
}

// look cuts off the requests of those whose identity is not in force by the clock.
func (u *underWay) look() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, a := range u.open {
		if u.now().After(a.caller.until) {
			a.cancel(errExpired)
		}
	}
	u.looking = false
	u.lookLater()
}

// observe cuts off the requests of an operator who is revoked. It is an observer.
func (u *underWay) observe(s *engine.State, _ *eventlog.Record, event eventlog.Event, void string) {
	e, ok := event.(*eventlog.OperatorRevoked)
	if !ok || void != "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, a := range u.open {
		if a.caller.operator == e.Name && s.OperatorRevocation(e.Name, a.caller.key) != nil {
			a.cancel(errRevoked)
		}
	}
}

// cutOff is why a caller has lost its right while its request is under way, or "".
func cutOff(ctx context.Context) denial.Reason {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errRevoked):
		return denial.Revoked
	case errors.Is(cause, errExpired):
		return denial.Expired
	}
	return ""
}

// A cutWriter writes an answer as long as its context goes on.
type cutWriter struct {
	http.ResponseWriter
	ctx   context.Context
	begun bool
}

// Unwrap lets [http.ResponseController] find what it needs.
func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (w *cutWriter) WriteHeader(status int) {
	if cutOff(w.ctx) == "" {
		w.begun = true
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements [http.ResponseWriter].
func (w *cutWriter) Write(p []byte) (int, error) {
	if cutOff(w.ctx) != "" {
		return 0, context.Cause(w.ctx)
	}
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// A cutBody is read as long as its context goes on.
type cutBody struct {
	io.ReadCloser
	ctx context.Context
}

// Read implements [io.Reader].
func (b cutBody) Read(p []byte) (int, error) {
	if cutOff(b.ctx) != "" {
		return 0, context.Cause(b.ctx)
	}
	return b.ReadCloser.Read(p)
}
