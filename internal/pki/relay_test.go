package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"quorate/nodeagent/wire"
)

func relayCert(t *testing.T, ca *CA) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ca.IssueRelay(pub, 9)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestRelayEndpoints is the table of what a relay may be taken for: neither an agent nor
// an orchestrator, whatever it does with its key.
func TestRelayEndpoints(t *testing.T) {
	ours, theirs := mustCA(t, time.Now), mustCA(t, time.Now)
	mine, foreign := certs(t, ours), certs(t, theirs)
	relay, stranger := relayCert(t, ours), relayCert(t, theirs)
	none := tls.Certificate{}
	client := func(c tls.Certificate, alpn string) *tls.Config {
		conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn}}
		if c.Certificate != nil {
			conf.Certificates = []tls.Certificate{c}
		}
		return conf
	}
	server := func(c tls.Certificate, alpn string) *tls.Config {
		c.Certificate = append(c.Certificate[:1:1], ours.cert.Raw)
		return &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{alpn}, ClientAuth: tls.RequestClientCert}
	}
	cluster := ServerTLS(mine[RoleServer], ours.Certificate())
	tunnel := TunnelTLS(cluster)
	site := SiteServerTLS(relay, ours.Certificate())
	toRelay, toServer := SiteTLS(mine[RoleAgent], ours.Certificate()), AgentTLS(mine[RoleAgent], ours.Certificate())
	for _, row := range []struct {
		name           string
		server, client *tls.Config
		ok             bool
	}{
		{"relay to orchestrator", cluster, RelayTLS(relay, ours.Certificate()), true},
		{"relay to other cluster's orchestrator", ServerTLS(foreign[RoleServer], theirs.Certificate()), RelayTLS(relay, ours.Certificate()), false},
		{"agent as a relay", cluster, client(mine[RoleAgent], wire.ALPNRelay), false},
		{"relay as an agent", cluster, client(relay, wire.ALPNAgent), false},
		{"other cluster's relay", cluster, client(stranger, wire.ALPNRelay), false},
		{"relay as an operator", OperatorServerTLS(mine[RoleServer], ours.Certificate()), client(relay, "h2"), false},
		{"agent through a relay", tunnel, toServer, true},
		{"enrolment through a relay", tunnel, EnrolTLS(ours.Pin()), true},
		{"relay through a relay", tunnel, RelayTLS(relay, ours.Certificate()), false},
		{"relay in the place of an orchestrator", server(relay, wire.ALPNAgent), toServer, false},
		{"relay in the place of an orchestrator that enrols", server(relay, wire.ALPNEnrol), EnrolTLS(ours.Pin()), false},
		{"agent to relay", site, toRelay, true},
		{"other cluster's agent to relay", site, client(foreign[RoleAgent], wire.ALPNSite), false},
		{"nobody to relay", site, client(none, wire.ALPNSite), false},
		{"operator to relay", site, client(mine[RoleOperator], wire.ALPNSite), false},
		{"relay to relay", site, client(relay, wire.ALPNSite), false},
		{"agent's protocol to relay", site, client(mine[RoleAgent], wire.ALPNAgent), false},
		{"enrolment to relay", site, SiteEnrolTLS(ours.Pin()), true},
		{"enrolment to other cluster's relay", site, SiteEnrolTLS(theirs.Pin()), false},
		{"agent in the place of a relay", server(mine[RoleAgent], wire.ALPNSite), toRelay, false},
		{"orchestrator in the place of a relay", server(mine[RoleServer], wire.ALPNSite), toRelay, false},
		{"other cluster's relay to agent", server(stranger, wire.ALPNSite), toRelay, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			serverErr, clientErr := handshake(t, row.server, row.client)
			if ok := serverErr == nil && clientErr == nil; ok != row.ok {
				t.Errorf("accepted: %v, want %v (server: %v, client: %v)", ok, row.ok, serverErr, clientErr)
			}
		})
	}
	if _, id, err := RelayID(relay.Leaf); err != nil || id != 9 {
		t.Errorf("relay %d, %v", id, err)
	}
	if _, _, err := AgentID(relay.Leaf); err == nil {
		t.Error("a relay's certificate is taken for an agent's")
	}
	if _, err := VerifyAgent(relay.Leaf, ours.Certificate()); err == nil {
		t.Error("a relay's certificate is taken for an agent's")
	}
}
