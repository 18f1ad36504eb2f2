package api_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

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
	issued, err := local.CreateOperator(t.Context(), api.OperatorCreate{Name: "alice"})
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
	if _, err := remote.CreateOperator(t.Context(), api.OperatorCreate{Name: "mallory"}); !errors.As(err, &denied) || denied.Code != "unauthorized" {
		t.Errorf("an operator issued another one: %v", err)
	} else if !strings.Contains(denied.Hint, "unix socket") || strings.Contains(denied.Hint, "certificate") {
		t.Errorf("hint %q", denied.Hint)
	}
	var refused *api.Error
	if _, err := local.CreateOperator(t.Context(), api.OperatorCreate{Name: ""}); !errors.As(err, &refused) || refused.Code != "invalid" {
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
	issued := gatewaytest.Must(local.CreateOperator(t.Context(), api.OperatorCreate{Name: "alice"}))
	ours := gatewaytest.Must(pki.ParseBundle([]byte(issued.Bundle)))
	foreign := gatewaytest.Must(pki.ParseBundle(gatewaytest.Must(gatewaytest.Must(pki.New()).IssueOperator("alice", 0))))
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

// A revoked operator is out on every connection: what streams is cut off, what is asked on
// a connection that was there is refused with the reason, and the refusal is on record. An
// identity that is issued later counts, and the one before cannot renew itself.
func TestRevokedOperators(t *testing.T) {
	rig, local, h := serve(t)
	dial := remotely(t, rig.CA, h)
	issue := func(name string) *pki.Bundle {
		t.Helper()
		issued := gatewaytest.Must(local.CreateOperator(t.Context(), api.OperatorCreate{Name: name, LifetimeSeconds: 3600}))
		return gatewaytest.Must(pki.ParseBundle([]byte(issued.Bundle)))
	}
	lost, kept := dial(pki.OperatorTLS(issue("alice"))), dial(pki.OperatorTLS(issue("bob")))
	began := make(chan struct{})
	cut := make(chan error, 1)
	go func() {
		first := sync.OnceFunc(func() { close(began) })
		for _, err := range lost.Log(t.Context(), api.LogQuery{Follow: true}) {
			first()
			if err != nil {
				cut <- err
				return
			}
		}
		cut <- errors.New("the stream ended as if that were all")
	}()
	<-began
	pub := func() []byte { return gatewaytest.PublicKey() }
	if _, err := lost.RenewOperator(t.Context(), api.OperatorRenew{PublicKey: pub()}); err != nil {
		t.Fatalf("renewal: %v", err)
	}
	if _, err := local.RenewOperator(t.Context(), api.OperatorRenew{PublicKey: pub()}); err == nil {
		t.Error("a local administrator was issued an identity without a name")
	}
	var denied *api.Error
	if _, err := kept.RevokeOperator(t.Context(), "alice", api.OperatorRevoke{RequestID: "x", Reason: "war"}); !errors.As(err, &denied) || denied.Code != "unauthorized" {
		t.Errorf("an operator revoked another: %v", err)
	}
	for name, in := range map[string]api.OperatorRevoke{"alice": {RequestID: "y"}, "nobody": {RequestID: "z", Reason: "typo"}} {
		if _, err := local.RevokeOperator(t.Context(), name, in); !errors.As(err, &denied) {
			t.Errorf("%s was revoked with %+v: %v", name, in, err)
		}
	}
	revoke := api.OperatorRevoke{RequestID: "lost", Reason: "the laptop was stolen"}
	status := gatewaytest.Must(local.RevokeOperator(t.Context(), "alice", revoke))
	if status.Status != "revoked" || status.Identities != 0 || status.Revoked == nil || status.Revoked.Reason != revoke.Reason {
		t.Errorf("revoked: %+v", status)
	}
	if again := gatewaytest.Must(local.RevokeOperator(t.Context(), "alice", revoke)); again.Revoked.Seq != status.Revoked.Seq {
		t.Errorf("a repeat is %+v", again)
	}
	select {
	case err := <-cut:
		if !errors.As(err, &denied) || denied.Code != "unauthorized" || !strings.Contains(denied.Message, "alice was revoked") {
			t.Errorf("the stream ended with %v", err)
		}
	case <-time.After(gatewaytest.Patience):
		t.Fatal("the stream of a revoked operator goes on")
	}
	if _, err := lost.Status(t.Context()); !errors.As(err, &denied) || denied.Code != "unauthorized" || !strings.Contains(denied.Hint, "--name alice") {
		t.Errorf("a revoked operator was answered: %v", err)
	}
	if _, err := kept.Status(t.Context()); err != nil {
		t.Errorf("the other operator: %v", err)
	}
	renewed := dial(pki.OperatorTLS(issue("alice")))
	if _, err := renewed.Status(t.Context()); err != nil {
		t.Errorf("the new identity: %v", err)
	}
	if _, err := lost.Status(t.Context()); err == nil {
		t.Error("a new identity made the old one count again")
	}
	list := gatewaytest.Must(renewed.Operators(t.Context()))
	if len(list.Operators) != 2 || list.Operators[0].Name != "alice" || list.Operators[0].Status != "active" || list.Operators[0].Identities != 1 || list.Operators[1].Status != "active" {
		t.Errorf("listed %+v", list.Operators)
	}
	for event, err := range local.Log(t.Context(), api.LogQuery{Kind: "access_denied", Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		e := event.Event.(map[string]any)
		if e["caller"] == "operator:alice" && e["reason"] == "revoked" {
			break
		}
	}
}

// Whatever name an identity can have, an administrator can end it, also one that a path
// would take for its own.
func TestRevokeByAnyName(t *testing.T) {
	rig, local, h := serve(t)
	dial := remotely(t, rig.CA, h)
	for _, name := range []string{".", "..", "a.b", "renew", "o@x.example"} {
		issued := gatewaytest.Must(local.CreateOperator(t.Context(), api.OperatorCreate{Name: name}))
		remote := dial(pki.OperatorTLS(gatewaytest.Must(pki.ParseBundle([]byte(issued.Bundle)))))
		gatewaytest.Must(remote.Runs(t.Context(), 0))
		if _, err := local.RevokeOperator(t.Context(), name, api.OperatorRevoke{RequestID: "revoke " + name, Reason: "war"}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := remote.Runs(t.Context(), 0); err == nil {
			t.Errorf("%q goes on", name)
		}
	}
}
