package pki

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"quorate/nodeagent/wire"
	"quorate/raft/port/alpn"
)

// TestObserved is the table of every protocol and every certificate: each that is refused
// is told once, with whose certificate was shown and why, and nobody else is.
func TestObserved(t *testing.T) {
	now := time.Now()
	ca, foreign := mustCA(t, time.Now), mustCA(t, time.Now)
	ra := mustRaft(t, ca.ClusterID(), time.Now)
	long := func() time.Time { return now.Add(-lifetime - time.Hour) }
	mine, past, theirs := certs(t, ca), certs(t, &CA{cert: ca.cert, key: ca.key, now: long}), certs(t, foreign)
	relayOf := func(ca *CA) tls.Certificate {
		key := mine[RoleAgent].PrivateKey.(*ecdsa.PrivateKey)
		pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		der, err := ca.IssueRelay(pub, 43)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	mine[RoleRelay], mine[RoleReplica] = relayOf(ca), mustReplica(t, ra, 2)
	past[RoleRelay] = relayOf(&CA{cert: ca.cert, key: ca.key, now: long})
	past[RoleReplica] = mustReplica(t, &RaftCA{cert: ra.cert, key: ra.key, now: long}, 2)
	theirs[RoleRelay], theirs[RoleReplica] = relayOf(foreign), mustReplica(t, mustRaft(t, foreign.ClusterID(), time.Now), 2)
	callers := map[Role]string{RoleAgent: "agent:42", RoleRelay: "relay:43", RoleOperator: "operator:ann", RoleServer: "orchestrator", RoleReplica: "orchestrator:2"}

	agents := ServerTLS(mine[RoleServer], ca.cert)
	peers, _, err := PeerTLS(ca, ra, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	api := OperatorServerTLS(mine[RoleServer], ca.cert)
	type endpoint struct {
		name     string
		config   *tls.Config
		protocol string
		role     Role // who may; empty is anybody
	}
	endpoints := []endpoint{
		{"agents", agents, wire.ALPNAgent, RoleAgent}, {"relays", agents, wire.ALPNRelay, RoleRelay}, {"enrolment", agents, wire.ALPNEnrol, ""},
		{"agents in a tunnel", TunnelTLS(agents), wire.ALPNAgent, RoleAgent}, {"enrolment in a tunnel", TunnelTLS(agents), wire.ALPNEnrol, ""},
		{"api", api, "h2", RoleOperator}, {"join", peers, alpn.Join, ""},
		{"site", SiteServerTLS(mine[RoleRelay], ca.cert), wire.ALPNSite, RoleAgent},
	}
	for _, protocol := range alpn.Peers() {
		endpoints = append(endpoints, endpoint{protocol, peers, protocol, RoleReplica})
	}
	for _, e := range endpoints {
		var told []Refusal
		server := Observed(e.config, func(r Refusal) { told = append(told, r) }, ca.cert, ra.cert)
		try := func(name string, cert tls.Certificate, caller string, want error) {
			t.Helper()
			told = nil
			serverErr, clientErr := handshake(t, server, &tls.Config{
				InsecureSkipVerify: true, NextProtos: []string{e.protocol},
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
			})
			if accepted := serverErr == nil && clientErr == nil; accepted != (want == nil) {
				t.Errorf("%s by %s: accepted %v (%v, %v)", e.name, name, accepted, serverErr, clientErr)
			}
			switch {
			case want == nil && len(told) != 0:
				t.Errorf("%s by %s: told %+v", e.name, name, told)
			case want == nil:
			case len(told) != 1 || !errors.Is(told[0].Err, want) || !errors.Is(told[0].Err, ErrIdentity):
				t.Errorf("%s by %s: told %+v, want %v", e.name, name, told, want)
			case told[0].Shown.Caller() != caller || !slices.Equal(told[0].Protocols, []string{e.protocol}) || told[0].Address == nil:
				t.Errorf("%s by %s: told %+v, want %q", e.name, name, told[0], caller)
			}
		}
		need := func(err error) error {
			if e.role == "" {
				return nil
			}
			return err
		}
		try("nobody", tls.Certificate{}, "", need(ErrNoCertificate))
		for role, caller := range callers {
			switch {
			case role == e.role || e.role == "":
				try(string(role), mine[role], caller, nil)
			case role == RoleReplica || e.role == RoleReplica: // of the other authority
				try(string(role), mine[role], caller, need(ErrOtherCluster))
			default:
				try(string(role), mine[role], caller, need(ErrRole))
			}
			try("foreign "+string(role), theirs[role], "", need(ErrOtherCluster))
			if role == e.role {
				try("expired "+string(role), past[role], caller, need(ErrExpired))
			}
		}
	}
	// What nobody speaks is refused, and told, too.
	for name, config := range map[string]*tls.Config{"agents": agents, "peers": peers, "tunnel": TunnelTLS(agents)} {
		var told []Refusal
		_, _ = handshake(t, Observed(config, func(r Refusal) { told = append(told, r) }, ca.cert), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if len(told) != 1 || !errors.Is(told[0].Err, ErrProtocol) {
			t.Errorf("%s: told %+v", name, told)
		}
	}
}

// TestObservedForgery: a certificate that somebody made up names nobody.
func TestObservedForgery(t *testing.T) {
	ca := mustCA(t, time.Now)
	other := mustCA(t, func() time.Time { return time.Now().Add(-2 * lifetime) })
	other.cert.Subject = ca.cert.Subject
	other.cert.RawSubject = ca.cert.RawSubject
	fake, err := other.IssueOperator("ann", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := ParseBundle(fake)
	if err != nil {
		t.Fatal(err)
	}
	var told []Refusal
	server := Observed(OperatorServerTLS(certs(t, ca)[RoleServer], ca.cert), func(r Refusal) { told = append(told, r) }, ca.cert)
	_, _ = handshake(t, server, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &bundle.Certificate, nil }})
	if len(told) != 1 || told[0].Shown != (Identity{}) || errors.Is(told[0].Err, ErrExpired) {
		t.Errorf("told %+v", told)
	}
}

// TestOperatorLifetimes: an operator's certificate is in force for as long as was asked,
// within bounds, and is due in time before its end.
func TestOperatorLifetimes(t *testing.T) {
	ca := mustCA(t, time.Now)
	for _, tt := range []struct {
		ask, want, left time.Duration
	}{
		{0, OperatorLifetime, 30 * 24 * time.Hour}, {30 * time.Minute, 30 * time.Minute, 10 * time.Minute},
		{OperatorLifetimeMin, OperatorLifetimeMin, OperatorLifetimeMin / 3}, {OperatorLifetimeMax, OperatorLifetimeMax, 30 * 24 * time.Hour},
		{-time.Second, 0, 0}, {OperatorLifetimeMin - 1, 0, 0}, {OperatorLifetimeMax + 1, 0, 0},
	} {
		before := time.Now().Truncate(time.Second)
		text, err := ca.IssueOperator("ann", tt.ask)
		if tt.want == 0 {
			if !errors.Is(err, ErrIdentity) {
				t.Errorf("%s: %v", tt.ask, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		bundle, err := ParseBundle(text)
		if err != nil {
			t.Fatal(err)
		}
		cert := bundle.Certificate.Leaf
		if end := cert.NotAfter; end.Before(before.Add(tt.want)) || end.After(time.Now().Add(tt.want)) {
			t.Errorf("%s: it ends at %s", tt.ask, end)
		}
		if left := cert.NotAfter.Sub(RenewFrom(cert)); left != tt.left {
			t.Errorf("%s: due %s before its end, want %s", tt.ask, left, tt.left)
		}
	}
}
