package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"quorate/nodeagent/wire"
)

// RelayTLS is a relay's side of its connection to an orchestrator.
func RelayTLS(identity tls.Certificate, ca *x509.Certificate) *tls.Config {
	c := AgentTLS(identity, ca)
	c.NextProtos = []string{wire.ALPNRelay}
	return c
}

// TunnelTLS is the orchestrator's side of what is said through a relay: that of the
// agents' port, for agents alone.
func TunnelTLS(server *tls.Config) *tls.Config {
	c := server.Clone()
	c.NextProtos = append(wire.ALPNAgents(), wire.ALPNEnrol)
	pick := server.GetConfigForClient
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.ContainsFunc(hello.SupportedProtos, wire.ForRelay) {
			return nil, fmt.Errorf("%w: %q: a relay cannot be behind another one", ErrProtocol, hello.SupportedProtos)
		}
		return pick(hello)
	}
	return c
}

// SiteServerTLS is a relay's side of the port for the agents of its site. Who speaks
// wire.ALPNSite has to show an agent's certificate; who speaks wire.ALPNSiteEnrol shows
// none; any other is refused.
func SiteServerTLS(identity tls.Certificate, ca *x509.Certificate) *tls.Config {
	// The authority goes along: an agent that enrols knows no more than its hash.
	shown := tls.Certificate{Certificate: [][]byte{identity.Certificate[0], ca.Raw}, PrivateKey: identity.PrivateKey, Leaf: identity.Leaf}
	agents := base()
	agents.Certificates = []tls.Certificate{shown}
	agents.NextProtos = []string{wire.ALPNSite}
	agents.ClientAuth = tls.RequireAnyClientCert
	agents.VerifyConnection = require(ca, RoleAgent)

	enrol := base()
	enrol.Certificates = []tls.Certificate{shown}
	enrol.NextProtos = []string{wire.ALPNSiteEnrol}

	c := agents.Clone()
	c.NextProtos = []string{wire.ALPNSite, wire.ALPNSiteEnrol}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		switch {
		case slices.Equal(hello.SupportedProtos, agents.NextProtos):
			return agents, nil
		case slices.Equal(hello.SupportedProtos, enrol.NextProtos):
			return enrol, nil
		}
		return nil, fmt.Errorf("%w: %q: want one of %q", ErrProtocol, hello.SupportedProtos, c.NextProtos)
	}
	return c
}

// SiteTLS is an enrolled agent's side of its connection to a relay: it accepts the
// relays of its own cluster, whatever their addresses.
func SiteTLS(identity tls.Certificate, ca *x509.Certificate) *tls.Config {
	c := AgentTLS(identity, ca)
	c.NextProtos = []string{wire.ALPNSite}
	c.VerifyConnection = requireServing(ca)
	return c
}

// SiteEnrolTLS is the side of an agent that has a token and nothing else: it accepts a
// relay whose chain ends in the authority that the pin names.
func SiteEnrolTLS(pin string) *tls.Config {
	c := EnrolTLS(pin)
	c.NextProtos = []string{wire.ALPNSiteEnrol}
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		ca, err := PinnedCA(cs.PeerCertificates, pin)
		if err != nil {
			return err
		}
		return requireServing(ca)(cs)
	}
	return c
}

// requireServing demands a relay's certificate that is good for a server.
func requireServing(ca *x509.Certificate) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		want := Identity{ClusterID: ca.Subject.CommonName, Role: RoleRelay}
		_, err := verifyChain(cs.PeerCertificates, ca, x509.ExtKeyUsageServerAuth, want, time.Now())
		return err
	}
}
