package api

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"quorate/engine/denial"
	"quorate/engine/orchestrator"
)

// A Handler serves the API of one orchestrator.
type Handler struct {
	o       *orchestrator.Orchestrator
	logger  *slog.Logger
	mux     *http.ServeMux
	history *history
	retells chan struct{} // slots of watches that fold the log again
	open    underWay
	denied  prometheus.Counter
	metrics http.Handler
	stop    []func()
	backup  Backup // nil where there are none
	ask     Probe  // nil where there is nobody to ask
}

var _ http.Handler = (*Handler)(nil)

// retellsMax bounds the watches that fold the log from its beginning at once.
const retellsMax = 2

// NewHandler returns the handler of an orchestrator's API. Make it before the
// orchestrator runs, so that it sees all records; Close ends it.
//
// It lets through who is marked by [ServeListener] as local or has shown an
// operator's certificate to [ServeTLS].
func NewHandler(o *orchestrator.Orchestrator, opts ...Option) *Handler {
	h := &Handler{
		o: o, logger: o.Logger(), mux: http.NewServeMux(), history: newHistory(historyEventsMax),
		retells: make(chan struct{}, retellsMax), open: underWay{now: o.Now},
		denied: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quorate_api_denied_total", Help: "Requests whose caller had no right to them.",
		}),
	}
	for _, opt := range opts {
		opt(h)
	}
	h.metrics = h.newMetrics()
	h.stop = []func(){o.Observe(h.history.observe, h.history.begin), o.Observe(h.open.observe, nil)}
	for _, route := range h.routes() {
		h.mux.Handle(route.pattern, h.guard(route))
	}
	return h
}

// Close stops following the orchestrator. Requests under way are not ended by it.
func (h *Handler) Close() error {
	for _, stop := range h.stop {
		stop()
	}
	return nil
}

// A route is one entry point. Its right is checked before anything of the
// request is looked at.
type route struct {
	pattern string
	right   right
	handle  func(w http.ResponseWriter, r *http.Request) error
	// fresh is how much the route minds what it does not know yet.
	fresh freshness
	// streams: the answer, or the body, may take as long as it moves.
	streams bool
}

// routes is the one table of entry points and what each asks for.
func (h *Handler) routes() []route {
	return []route{
		{pattern: "GET /livez", right: anyone, handle: h.livez},
		{pattern: "GET /readyz", right: anyone, handle: h.readyz},
		{pattern: "GET /metrics", right: read, handle: h.serveMetrics},
		{pattern: "GET /v1/status", right: read, handle: h.status},
		{pattern: "GET /v1/cluster", right: read, handle: h.cluster},
		{pattern: "POST /v1/cluster/remove", right: administer, fresh: majority, handle: h.removeMember},
		{pattern: "POST /v1/cluster/transfer", right: administer, fresh: majority, handle: h.transferLead},
		{pattern: "GET /v1/cluster/backup", right: appoint, fresh: newest, handle: h.serveBackup, streams: true},
		{pattern: "POST /v1/blobs/missing", right: operate, handle: h.missingBlobs},
		{pattern: "PUT /v1/blobs/{digest}", right: operate, handle: h.putBlob, streams: true},
		{pattern: "GET /v1/blobs/{digest}", right: read, handle: h.getBlob, streams: true},
		{pattern: "POST /v1/plans", right: operate, fresh: majority, handle: h.submitPlan},
		{pattern: "GET /v1/plans/{id}", right: read, fresh: newest, handle: h.plan},
		{pattern: "POST /v1/steps/newest", right: read, fresh: newest, handle: h.newestSteps},
		{pattern: "GET /v1/runs", right: read, fresh: newest, handle: h.runs},
		{pattern: "POST /v1/runs", right: operate, fresh: majority, handle: h.createRun},
		{pattern: "GET /v1/runs/{id}", right: read, fresh: newest, handle: h.run},
		{pattern: "GET /v1/runs/{id}/watch", right: read, fresh: newest, handle: h.watch, streams: true},
		{pattern: "GET /v1/runs/{id}/output", right: read, fresh: newest, handle: h.output, streams: true},
		{pattern: "GET /v1/runs/{id}/analysis", right: read, fresh: newest, handle: h.analysis},
		{pattern: "POST /v1/runs/{id}/cancel", right: operate, fresh: majority, handle: h.cancelRun},
		{pattern: "POST /v1/runs/{id}/resolve", right: operate, fresh: majority, handle: h.resolve},
		{pattern: "POST /v1/runs/{id}/retry", right: operate, fresh: majority, handle: h.retry},
		{pattern: "GET /v1/state", right: read, fresh: newest, handle: h.pastState, streams: true},
		{pattern: "GET /v1/records", right: read, fresh: newest, handle: h.rawRecords, streams: true},
		{pattern: "GET /v1/log", right: read, fresh: newest, handle: h.log, streams: true},
		{pattern: "GET /v1/checkpoint", right: read, fresh: newest, handle: h.checkpoint},
		{pattern: "POST /v1/checkpoint", right: operate, fresh: majority, handle: h.signCheckpoint},
		{pattern: "GET /v1/audit/bundle", right: read, fresh: newest, handle: h.exportBundle, streams: true},
		{pattern: "GET /v1/agents", right: read, fresh: newest, handle: h.agents},
		{pattern: "GET /v1/agents/{name}", right: read, fresh: newest, handle: h.agent},
		{pattern: "GET /v1/agents/{name}/facts", right: read, fresh: newest, handle: h.facts},
		{pattern: "POST /v1/agents/{name}/approve", right: administer, fresh: majority, handle: h.approve},
		{pattern: "POST /v1/agents/{name}/revoke", right: administer, fresh: majority, handle: h.revoke},
		{pattern: "POST /v1/agents/{name}/calm", right: operate, fresh: majority, handle: h.calm},
		{pattern: "POST /v1/agents/{name}/drain", right: operate, fresh: majority, handle: h.drain},
		{pattern: "POST /v1/agents/{name}/undrain", right: operate, fresh: majority, handle: h.undrain},
		{pattern: "GET /v1/damping", right: read, fresh: newest, handle: h.damping},
		{pattern: "POST /v1/damping", right: administer, fresh: majority, handle: h.setDamping},
		{pattern: "POST /v1/tokens", right: administer, fresh: majority, handle: h.createToken},
		{pattern: "GET /v1/operators", right: read, fresh: newest, handle: h.operators},
		{pattern: "POST /v1/operators", right: appoint, fresh: majority, handle: h.createOperator},
		{pattern: "POST /v1/operators/renew", right: operate, fresh: majority, handle: h.renewOperator},
		{pattern: "POST /v1/operators/{name}/revoke", right: appoint, fresh: majority, handle: h.revokeOperator},
	}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, pattern := h.mux.Handler(r)
	if pattern != "" {
		h.mux.ServeHTTP(w, r)
		return
	}
	if c := h.identify(r); !c.role.may(read) {
		h.deny(w, r, "", c)
		return
	}
	rec := &statusOnly{header: http.Header{}}
	h.mux.ServeHTTP(rec, r) // finds out whether the path or the method is wrong
	if rec.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", rec.header.Get("Allow"))
		writeError(w, rec.status, &Error{Code: "invalid", Message: "method " + r.Method + " is not for " + r.URL.Path})
		return
	}
	writeError(w, http.StatusNotFound, &Error{Code: "not-found", Message: "nothing is served at " + r.URL.Path})
}

// guard checks the caller's right and turns errors into answers.
func (h *Handler) guard(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := h.identify(r)
		if !c.role.may(route.right) {
			h.deny(w, r, route.pattern, c)
			return
		}
		ctx, done := h.open.admit(context.WithValue(r.Context(), callerKey{}, c), c)
		defer done()
		if c.role == operator && h.revocation(c) != nil { // before it was among those that are cut off
			c.role, c.reason = nobody, denial.Revoked
			h.deny(w, r, route.pattern, c)
			return
		}
		out := &cutWriter{ResponseWriter: w, ctx: ctx}
		r = r.WithContext(ctx)
		r.Body = cutBody{r.Body, ctx}
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler {
					panic(v)
				}
				h.logger.Error("API handler panicked", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
				panic(http.ErrAbortHandler)
			}
		}()
		if !route.streams {
			control := http.NewResponseController(w)
			// Where a deadline cannot be set the server's own bounds hold.
			_ = control.SetReadDeadline(time.Now().Add(requestTimeout))
			_ = control.SetWriteDeadline(time.Now().Add(requestTimeout))
		}
		if err := h.serveRoute(route, out, r); err != nil {
			h.fail(out, r, err)
		}
		reason := cutOff(ctx)
		switch {
		case reason == "":
		case out.begun:
			panic(http.ErrAbortHandler) // an end would look like that of the whole answer
		default:
			c.role, c.reason = nobody, reason
			h.deny(w, r, route.pattern, c)
		}
	})
}

// serveRoute runs a route when the log that was there at start is read.
func (h *Handler) serveRoute(route route, w http.ResponseWriter, r *http.Request) error {
	if route.right != anyone {
		if err := h.caughtUp(r.Context()); err != nil {
			return err
		}
	}
	return h.handle(route, w, r)
}

// handle runs a route on a state as fresh as it asks for.
func (h *Handler) handle(route route, w http.ResponseWriter, r *http.Request) error {
	stale, err := h.freshen(w, r, route.fresh)
	if err == nil { // what was just heard may be that the caller is revoked
		err = r.Context().Err()
	}
	if err != nil {
		return err
	}
	if route.fresh == majority {
		ctx, cancel := context.WithTimeout(r.Context(), writeTimeout)
		defer cancel()
		r = r.WithContext(ctx)
	}
	if err := route.handle(w, r); err != nil && stale {
		return notKnown(err)
	} else if err != nil {
		return err
	}
	return nil
}

// caughtUp waits until the log that was there at start is read: before that, a
// run that exists would be answered with not-found.
func (h *Handler) caughtUp(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	if err := h.o.CaughtUp(limited); err != nil {
		return &Error{Code: "unavailable", Message: "the orchestrator is still reading its log", Hint: "try again in a moment"}
	}
	return nil
}

// statusOnly keeps the status and the header of an answer.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
