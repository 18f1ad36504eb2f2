package api_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/gateway/gatewaytest"
	"quorate/internal/pki"
)

// remotely returns what dials the handler's HTTPS address.
func remotely(t *testing.T, ca *pki.CA, h *api.Handler) func(*tls.Config) *api.Client {
	t.Helper()
	server := gatewaytest.Must(ca.IssueServer([]string{"127.0.0.1"}))
	ln := gatewaytest.Must(net.Listen("tcp", "127.0.0.1:0"))
	run(t, func(ctx context.Context) error {
		return api.ServeTLS(ctx, h, ln, pki.OperatorServerTLS(server, ca.Certificate()))
	})
	return func(config *tls.Config) *api.Client {
		c := gatewaytest.Must(api.Dial("https://"+ln.Addr().String(), api.WithTLS(config)))
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// Who administers the machine issues an identity, and its holder works with it
// from elsewhere, under the name on record, but issues no others.
func TestOperators(t *testing.T) {
	rig, local, h := serve(t)
	dial := remotely(t, rig.CA, h)
	issued, err := local.CreateOperator(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := pki.ParseBundle([]byte(issued.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	if issued.Schema != api.Schema || issued.Name != "alice" || !issued.ExpiresAt.Equal(bundle.Certificate.Leaf.NotAfter) {
		t.Errorf("answered %s %s until %s", issued.Schema, issued.Name, issued.ExpiresAt)
	}
	rig.O.View(func(s *engine.State) {
		if on := s.Operators["alice"]; on == nil || !strings.HasPrefix(on.By, "local:") {
			t.Errorf("on record: %+v", on)
		}
	})

	remote := dial(pki.OperatorTLS(bundle))
	if _, err := remote.Runs(t.Context(), 0); err != nil {
		t.Errorf("runs: %v", err)
	}
	if _, err := remote.CreateToken(t.Context(), api.TokenCreate{Name: "n1"}); err != nil {
		t.Errorf("token: %v", err)
	}
	rig.O.View(func(s *engine.State) {
		for _, token := range s.Tokens {
			if token.By != "operator:alice" {
				t.Errorf("the token is by %q", token.By)
			}
		}
	})
	var denied *api.Error
	if _, err := remote.CreateOperator(t.Context(), "mallory"); !errors.As(err, &denied) || denied.Code != "unauthorized" {
		t.Errorf("an operator issued another one: %v", err)
	} else if !strings.Contains(denied.Hint, "unix socket") || strings.Contains(denied.Hint, "certificate") {
		t.Errorf("hint %q", denied.Hint)
	}
	var refused *api.Error
	if _, err := local.CreateOperator(t.Context(), ""); !errors.As(err, &refused) || refused.Code != "invalid" {
		t.Errorf("an operator without name: %v", err)
	}
	rig.O.View(func(s *engine.State) {
		if len(s.Operators) != 1 {
			t.Errorf("%d operators on record", len(s.Operators))
		}
	})
}

// HTTPS takes operators of its own cluster and nobody else, whoever they trust.
func TestIdentitiesRefused(t *testing.T) {
	rig, local, h := serve(t)
	dial := remotely(t, rig.CA, h)
	issued := gatewaytest.Must(local.CreateOperator(t.Context(), "alice"))
	ours := gatewaytest.Must(pki.ParseBundle([]byte(issued.Bundle)))
	foreign := gatewaytest.Must(pki.ParseBundle(gatewaytest.Must(gatewaytest.Must(pki.New()).IssueOperator("alice"))))
	server := gatewaytest.Must(rig.CA.IssueServer(nil))
	for name, cert := range map[string]tls.Certificate{
		"an agent's":          rig.Enrol(t, "n1").Identity,
		"a server's":          server,
		"another cluster's":   foreign.Certificate,
		"none (nothing sent)": {},
	} {
		config := pki.OperatorTLS(ours) // trusts the server, so that only the server can refuse
		config.Certificates = []tls.Certificate{cert}
		_, err := dial(config).Status(t.Context())
		var answered *api.Error
		var absent *api.Unreachable
		if err == nil || errors.As(err, &answered) || errors.As(err, &absent) {
			t.Errorf("certificate %s got past the handshake, or never to it: %v", name, err)
		}
	}
	if _, err := dial(pki.OperatorTLS(foreign)).Status(t.Context()); !errors.Is(err, pki.ErrIdentity) {
		t.Errorf("an operator of another cluster took the server for theirs: %v", err)
	}
	if _, err := dial(pki.OperatorTLS(ours)).Status(t.Context()); err != nil {
		t.Errorf("the certificate that was issued: %v", err)
	}
}
