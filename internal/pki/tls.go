package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"quorate/nodeagent/wire"
)

// serverName is sent by clients of the agents' port. Nothing is verified by it.
const serverName = "quorate"

// base is what all configurations have in common.
func base() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
}

// require demands the peer's certificate to be of the authority and the role.
func require(ca *x509.Certificate, role Role) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		_, err := verify(cs.PeerCertificates, ca, role, time.Now())
		return err
	}
}

// ServerTLS is the orchestrator's side of the agents' port. A client that speaks one of
// wire.ALPNAgents has to show an agent's certificate, one of wire.ALPNRelays a relay's;
// one that speaks wire.ALPNEnrol shows none; any other is refused.
func ServerTLS(cert tls.Certificate, ca *x509.Certificate) *tls.Config {
	agents := base()
	agents.Certificates = []tls.Certificate{cert}
	agents.NextProtos = wire.ALPNAgents()
	agents.ClientAuth = tls.RequireAnyClientCert
	agents.VerifyConnection = require(ca, RoleAgent)

	enrol := base()
	enrol.Certificates = []tls.Certificate{cert}
	enrol.NextProtos = []string{wire.ALPNEnrol}

	relays := agents.Clone()
	relays.NextProtos = wire.ALPNRelays()
	relays.VerifyConnection = require(ca, RoleRelay)

	c := base()
	c.Certificates = []tls.Certificate{cert}
	c.NextProtos = slices.Concat(agents.NextProtos, enrol.NextProtos, relays.NextProtos)
	c.ClientAuth = tls.RequireAnyClientCert
	c.VerifyConnection = require(ca, RoleAgent)
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		for _, served := range []*tls.Config{agents, enrol, relays} {
			if len(hello.SupportedProtos) == 1 && slices.Contains(served.NextProtos, hello.SupportedProtos[0]) {
				return served, nil
			}
		}
		return nil, fmt.Errorf("%w: %q: want one of %q", ErrProtocol, hello.SupportedProtos, c.NextProtos)
	}
	return c
}

// AgentTLS is an enrolled agent's side: it shows its certificate and accepts the
// orchestrators of its own cluster, whatever their addresses.
func AgentTLS(identity tls.Certificate, ca *x509.Certificate) *tls.Config {
	c := base()
	c.Certificates = []tls.Certificate{identity}
	c.NextProtos = []string{wire.ALPNAgent}
	c.ServerName = serverName
	c.InsecureSkipVerify = true // by host name; VerifyConnection does it by role
	c.VerifyConnection = require(ca, RoleServer)
	return c
}

// EnrolTLS is the side of an agent that has a token and nothing else: it accepts
// an orchestrator whose chain ends in the authority that the pin names.
func EnrolTLS(pin string) *tls.Config {
	c := base()
	c.NextProtos = []string{wire.ALPNEnrol}
	c.ServerName = serverName
	c.InsecureSkipVerify = true // by host name; VerifyConnection does it by pin and role
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		ca, err := PinnedCA(cs.PeerCertificates, pin)
		if err != nil {
			return err
		}
		_, err = verify(cs.PeerCertificates, ca, RoleServer, time.Now())
		return err
	}
	return c
}

// PinnedCA finds the authority that the pin names at the end of a peer's chain.
func PinnedCA(chain []*x509.Certificate, pin string) (*x509.Certificate, error) {
	if len(chain) < 2 {
		return nil, fmt.Errorf("%w: the authority was not sent", ErrIdentity)
	}
	ca := chain[len(chain)-1]
	if pinOf(ca.Raw) != pin {
		return nil, fmt.Errorf("%w: %w than the join token", ErrIdentity, ErrOtherCluster)
	}
	if !ca.IsCA || !isClusterID(ca.Subject.CommonName) {
		return nil, fmt.Errorf("%w: the token's pin names no cluster's authority", ErrIdentity)
	}
	return ca, nil
}

// OperatorServerTLS is the orchestrator's side of the HTTPS API: every client has
// to show an operator's certificate.
func OperatorServerTLS(cert tls.Certificate, ca *x509.Certificate) *tls.Config {
	c := base()
	c.Certificates = []tls.Certificate{cert}
	c.NextProtos = []string{"h2", "http/1.1"}
	c.ClientAuth = tls.RequireAnyClientCert
	c.VerifyConnection = require(ca, RoleOperator)
	return c
}

// OperatorTLS is the client's side of the HTTPS API.
func OperatorTLS(b *Bundle) *tls.Config {
	c := base()
	c.Certificates = []tls.Certificate{b.Certificate}
	c.ServerName = serverName
	c.InsecureSkipVerify = true // by host name; VerifyConnection does it by role
	c.VerifyConnection = require(b.CA, RoleServer)
	return c
}
