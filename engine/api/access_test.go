package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/denial"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/conformance"
	"quorate/internal/pki"
)

func newTestHandler(t *testing.T) (*Handler, *pki.CA) {
	t.Helper()
	return newTestHandlerOf(t, eventlog.NewMemory(), nil)
}

func newTestHandlerOf(t *testing.T, log engine.Log, denials *denial.Ledger) (*Handler, *pki.CA) {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := eventlog.OpenBlobs(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := orchestrator.New(orchestrator.Config{Log: log, Blobs: blobs, CA: ca, Replica: 1, Version: "test", Denials: denials})
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandler(o)
	t.Cleanup(func() { h.Close() })
	return h, ca
}

func withCertificate(r *http.Request, certs ...*x509.Certificate) *http.Request {
	r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: certs}
	return r
}

func operatorOf(t *testing.T, ca *pki.CA, name string) *x509.Certificate {
	t.Helper()
	bundle, err := ca.IssueOperator(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := pki.ParseBundle(bundle)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Certificate.Leaf
}

func certificates(t *testing.T, ca *pki.CA) (operatorCert, agentCert, serverCert *x509.Certificate) {
	t.Helper()
	operatorCert = operatorOf(t, ca, "alice")
	pub, err := x509.MarshalPKIXPublicKey(operatorCert.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ca.IssueAgent(pub, 7)
	if err != nil {
		t.Fatal(err)
	}
	if agentCert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	server, err := ca.IssueServer([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return operatorCert, agentCert, server.Leaf
}

// Every route names a right, and every role gets through exactly where it may.
// A route that is registered without a rule, or a caller that slips in, fails here.
// Every denial is told, by the entry, the caller and the reason.
func TestEveryRouteAndRole(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	denials := denial.NewLedger(func() time.Time { return at })
	log := eventlog.NewMemory()
	append1(t, log, &eventlog.OperatorRevoked{Name: "carol", Reason: "lost"})
	h, ca := newTestHandlerOf(t, unled{log}, denials)
	foldOnce(t, h.o)
	operatorCert, agentCert, serverCert := certificates(t, ca)
	revokedCert := operatorOf(t, ca, "carol")
	// told takes what was told since the last time, of one refusal at most.
	told := func(entry string) (d denied) {
		at = at.Add(24 * time.Hour)
		for _, e := range denials.Take(1) {
			if d != (denied{}) || e.Entry != entry || e.Count != 1 {
				t.Errorf("a refusal at %q is told by %+v", entry, e)
			}
			d = denied{e.Caller, denial.Reason(e.Reason)}
		}
		return d
	}
	expired := *operatorCert
	expired.NotAfter = time.Now().Add(-time.Hour)
	callers := map[string]struct {
		request func(*http.Request) *http.Request
		role    role
	}{
		"no certificate": {func(r *http.Request) *http.Request { return r }, nobody},
		"operator":       {func(r *http.Request) *http.Request { return withCertificate(r, operatorCert) }, operator},
		"expired":        {func(r *http.Request) *http.Request { return withCertificate(r, &expired) }, nobody},
		"agent":          {func(r *http.Request) *http.Request { return withCertificate(r, agentCert) }, nobody},
		"server":         {func(r *http.Request) *http.Request { return withCertificate(r, serverCert) }, nobody},
		"revoked":        {func(r *http.Request) *http.Request { return withCertificate(r, revokedCert) }, nobody},
		"local": {func(r *http.Request) *http.Request {
			return r.WithContext(context.WithValue(r.Context(), localKey{}, "local:root"))
		}, administrator},
	}
	// What each right lets through, written out once more: the code may not be
	// its own oracle.
	want := map[right]map[role]bool{
		anyone:     {nobody: true, operator: true, administrator: true},
		read:       {operator: true, administrator: true},
		operate:    {operator: true, administrator: true},
		administer: {operator: true, administrator: true},
		appoint:    {administrator: true},
	}
	open := []string{"GET /livez", "GET /readyz"}
	local := []string{"POST /v1/operators", "POST /v1/operators/{name}/revoke", "GET /v1/cluster/backup"}
	because := map[string]denied{
		"no certificate": {"", denial.NoCertificate}, "operator": {"operator:alice", denial.NoRight}, "expired": {"operator:alice", denial.Expired},
		"agent": {"agent:7", denial.WrongRole}, "server": {"orchestrator", denial.WrongRole}, "revoked": {"operator:carol", denial.Revoked},
	}
	for _, route := range h.routes() {
		if want[route.right] == nil {
			t.Errorf("%s has no right", route.pattern)
			continue
		}
		if (route.right == anyone) != (route.pattern == open[0] || route.pattern == open[1]) {
			t.Errorf("%s is open to anyone", route.pattern)
		}
		if (route.right == appoint) != slices.Contains(local, route.pattern) {
			t.Errorf("%s has the right %d: %s alone are for local administrators", route.pattern, route.right, local)
		}
		// What proposes must be refused where there is no majority, and not be left open. A
		// question that is too long for a path proposes nothing.
		asks := strings.HasPrefix(route.pattern, "GET ") || route.pattern == "POST /v1/steps/newest"
		if proposes := !asks && !strings.Contains(route.pattern, "/blobs/"); proposes != (route.fresh == majority) {
			t.Errorf("%s has the freshness %d", route.pattern, route.fresh)
		}
		method, path, _ := strings.Cut(route.pattern, " ")
		path = regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, "1")
		for name, caller := range callers {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			r := caller.request(httptest.NewRequest(method, path, strings.NewReader("{}")).WithContext(ctx))
			w := httptest.NewRecorder()
			serveOne(h, w, r)
			cancel()
			if let := w.Code != http.StatusForbidden; let != want[route.right][caller.role] {
				t.Errorf("%s by %s: status %d", route.pattern, name, w.Code)
			}
			why := denied{}
			if !want[route.right][caller.role] {
				why = because[name]
			}
			if got := told("api " + route.pattern); got != why {
				t.Errorf("%s by %s: told is %+v, want %+v", route.pattern, name, got, why)
			}
		}
	}
}

// serveOne serves a request, also where the answer is cut off.
func serveOne(h http.Handler, w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
}

// A denied is what is told of a caller who was refused.
type denied struct {
	caller string
	reason denial.Reason
}

// append1 puts an event into a log.
func append1(t *testing.T, log engine.Log, event eventlog.Event) {
	t.Helper()
	entry, err := eventlog.NewEntry(1, event)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), []eventlog.Entry{entry}); err != nil {
		t.Fatal(err)
	}
}

// An unled log has no leader, who would write into it while the orchestrator ends: its
// reads would wait for what nobody folds any more.
type unled struct{ engine.Log }

func (unled) Leading() (term uint64, leading bool, changed <-chan struct{}) { return 1, false, nil }

// foldOnce has an orchestrator read its log, and ends it: what it is told later stays
// where it is.
func foldOnce(t *testing.T, o *orchestrator.Orchestrator) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	err := o.CaughtUp(ctx)
	cancel()
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
}

// What is not served is not told apart for callers without a right.
func TestUnknownPaths(t *testing.T) {
	h, ca := newTestHandler(t)
	operatorCert, _, _ := certificates(t, ca)
	for _, tc := range []struct {
		method, path string
		operator     int
	}{
		{"GET", "/v1/nothing", http.StatusNotFound},
		{"DELETE", "/v1/runs", http.StatusMethodNotAllowed},
		{"GET", "/", http.StatusNotFound},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, nil))
		if w.Code != http.StatusForbidden {
			t.Errorf("%s %s by nobody: %d", tc.method, tc.path, w.Code)
		}
		w = httptest.NewRecorder()
		h.ServeHTTP(w, withCertificate(httptest.NewRequest(tc.method, tc.path, nil), operatorCert))
		if w.Code != tc.operator {
			t.Errorf("%s %s by an operator: %d, want %d", tc.method, tc.path, w.Code, tc.operator)
		}
	}
}

// Bodies are read strictly and up to a bound.
func TestBodies(t *testing.T) {
	conformance.Case(t, conformance.Directord, "46")
	h, ca := newTestHandler(t)
	operatorCert, _, _ := certificates(t, ca)
	for name, tc := range map[string]struct{ kind, body, want string }{
		"a field that is not known": {"application/json", `{"plan_id":"x","plam_id":"y"}`, "unknown field"},
		"something behind it":       {"application/json", `{"plan_id":"x"}{}`, "behind its end"},
		"no JSON":                   {"application/json", `plan`, "not what is expected"},
		"a form":                    {"application/x-www-form-urlencoded", `plan_id=x`, "application/json"},
		"another version":           {"application/json", `{"schema":"quorate/v9","plan_id":"x"}`, "quorate/v1"},
		"too much":                  {"application/json", `{"plan_id":"` + strings.Repeat("x", bodyBytesMax) + `"}`, "more than"},
	} {
		r := withCertificate(httptest.NewRequest("POST", "/v1/plans", strings.NewReader(tc.body)), operatorCert)
		r.Header.Set("Content-Type", tc.kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), tc.want) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// A token for orchestrators is worth the cluster's keys: an operator from afar,
// whose identity may have leaked, gets none.
func TestOrchestratorTokensAreForLocalAdministrators(t *testing.T) {
	h, ca := newTestHandler(t)
	operatorCert, _, _ := certificates(t, ca)
	ask := func(r *http.Request) int {
		r.Header.Set("Content-Type", "application/json")
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(ctx))
		return w.Code
	}
	request := func() *http.Request {
		return httptest.NewRequest("POST", "/v1/tokens", strings.NewReader(`{"role":"orchestrator","ttl_seconds":60}`))
	}
	if code := ask(withCertificate(request(), operatorCert)); code != http.StatusForbidden {
		t.Errorf("an operator's request for an orchestrator's token was answered %d", code)
	}
	local := request()
	if code := ask(local.WithContext(context.WithValue(local.Context(), localKey{}, "local:root"))); code == http.StatusForbidden {
		t.Errorf("a local administrator's was answered %d", code)
	}
}
