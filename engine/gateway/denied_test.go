package gateway_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quorate/engine"
	"quorate/engine/denial"
	"quorate/engine/gateway"
	"quorate/engine/gateway/gatewaytest"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// Every way into the gateway that is barred leaves a record of who tried, where, from where
// and why: enrolment, agents and relays, over UDP and TCP. Who is let in leaves none.
func TestDenialsAreOnRecord(t *testing.T) {
	ln := gatewaytest.Must(net.Listen("tcp", "127.0.0.1:0"))
	told := make(chan *eventlog.AccessDenied, 64)
	rig := gatewaytest.Start(t, gatewaytest.Options{TCP: ln, Limits: gateway.Limits{GuessesPerAddress: 3}, BeforeRun: func(o *orchestrator.Orchestrator) {
		o.Observe(func(_ *engine.State, _ *eventlog.Record, event eventlog.Event, void string) {
			if e, ok := event.(*eventlog.AccessDenied); ok && void == "" {
				told <- e
			}
		}, nil)
	}})
	want := func(entry, caller string, reason denial.Reason) {
		t.Helper()
		select {
		case e := <-told:
			if e.Entry != entry || e.Caller != caller || e.Reason != string(reason) || fmt.Sprint(e.Addresses) != "[127.0.0.1]" || e.Count != 1 || e.Replica != 1 {
				t.Errorf("told %+v, want %s by %q: %s", e, entry, caller, reason)
			}
		case <-time.After(gatewaytest.Patience):
			t.Errorf("nothing is told of %s by %q: %s", entry, caller, reason)
		}
	}
	good := rig.Enrol(t, "n1")
	good.MustConnect(t).Close()

	enrol := func(token string, secret string) {
		t.Helper()
		parsed := gatewaytest.Must(pki.ParseToken(token))
		if secret == "" {
			secret = parsed.Secret
		}
		answer, err := rig.EnrolWith(t.Context(), parsed, &wire.Enrol{Token: secret, PublicKey: gatewaytest.PublicKey(), JournalID: "j"})
		if err == nil && answer.Error == "" {
			t.Error("let in")
		}
	}
	spent, _, err := rig.O.CreateToken(t.Context(), orchestrator.TokenRequest{Name: "n2"})
	if err != nil {
		t.Fatal(err)
	}
	parsed := gatewaytest.Must(pki.ParseToken(spent))
	gatewaytest.Must(rig.EnrolWith(t.Context(), parsed, &wire.Enrol{Token: parsed.Secret, PublicKey: gatewaytest.PublicKey(), JournalID: "j"}))
	enrol(spent, strings.Repeat("A", 43))
	want("enrolment", "", denial.UnknownToken)
	enrol(spent, "")
	want("enrolment", "", denial.SpentToken)
	other, _, err := rig.O.CreateToken(t.Context(), orchestrator.TokenRequest{Name: "s1", Role: engine.RelayRole})
	if err != nil {
		t.Fatal(err)
	}
	enrol(other, "")
	want("enrolment", "", denial.WrongToken)
	enrol(spent, strings.Repeat("B", 43))
	want("enrolment", "", denial.Guesses)

	unknown := rig.Enrol(t, "n3")
	unknown.Identity.Certificate = [][]byte{gatewaytest.Must(rig.CA.IssueAgent(unknown.PublicKey(), 999))}
	if _, err := unknown.Connect(t.Context(), unknown.Hello()); err == nil {
		t.Error("an agent that is on no record was let in")
	}
	want("agents", "agent:999", denial.UnknownCertificate)
	revoked := rig.Enrol(t, "n4")
	if err := rig.O.Revoke(t.Context(), "n4", orchestrator.Change{RequestID: "r", Reason: "gone"}); err != nil {
		t.Fatal(err)
	}
	if _, err := revoked.Connect(t.Context(), revoked.Hello()); err == nil {
		t.Error("a revoked agent was let in")
	}
	want("agents", fmt.Sprintf("agent:%d", revoked.ID), denial.Revoked)

	foreign := gatewaytest.Must(pki.ParseBundle(gatewaytest.Must(gatewaytest.Must(pki.New()).IssueOperator("eve", 0))))
	operator := gatewaytest.Must(pki.ParseBundle(gatewaytest.Must(rig.CA.IssueOperator("alice", 0))))
	for _, tt := range []struct {
		cert          tls.Certificate
		alpn          string
		entry, caller string
		reason        denial.Reason
	}{
		{tls.Certificate{}, wire.ALPNAgent, "agents", "", denial.NoCertificate},
		{foreign.Certificate, wire.ALPNAgent, "agents", "", denial.UnknownCertificate},
		{operator.Certificate, wire.ALPNAgent, "agents", "claimed operator:alice", denial.WrongRole},
		{good.Identity, wire.ALPNRelay, "relays", fmt.Sprintf("claimed agent:%d", good.ID), denial.WrongRole},
		{operator.Certificate, wire.ALPNRelay, "relays", "claimed operator:alice", denial.WrongRole},
	} {
		config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{tt.alpn}, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tt.cert, nil }}
		knock(t, rig.Address, config)
		want(tt.entry, tt.caller, tt.reason)
	}
	conn := gatewaytest.Must(tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.ALPNRelay}}))
	_, _ = conn.Read(make([]byte, 1))
	conn.Close()
	want("relays", "", denial.NoCertificate)
	select {
	case e := <-told:
		t.Errorf("told besides: %+v", e)
	default:
	}
}

// knock shakes hands over QUIC, and waits to be refused.
func knock(t *testing.T, address string, config *tls.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), gatewaytest.Patience)
	defer cancel()
	conn, err := quic.DialAddr(ctx, address, config, nil)
	if err != nil {
		return
	}
	defer conn.CloseWithError(0, "")
	if _, err := conn.AcceptStream(ctx); err == nil || ctx.Err() != nil {
		t.Error("let in")
	}
}
