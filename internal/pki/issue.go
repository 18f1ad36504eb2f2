package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// IssueServer makes a key and a certificate for an orchestrator. The hosts, names
// or IP addresses, are for clients that verify those, such as browsers.
func (ca *CA) IssueServer(hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("server's key: %w", err)
	}
	der, err := ca.issue(Identity{ClusterID: ca.ClusterID(), Role: RoleServer}, &key.PublicKey, hosts)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("server's certificate: %w", err)
	}
	// The authority goes along: an agent that enrols knows no more than its hash.
	return tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// IssueAgent certifies an agent's public key (PKIX; ECDSA P-256, P-384 or
// Ed25519) under its id.
func (ca *CA) IssueAgent(pubPKIX []byte, agent uint64) (der []byte, err error) {
	return ca.issueMember(RoleAgent, pubPKIX, agent)
}

// IssueRelay certifies a relay's public key under its id, likewise.
func (ca *CA) IssueRelay(pubPKIX []byte, relay uint64) (der []byte, err error) {
	return ca.issueMember(RoleRelay, pubPKIX, relay)
}

func (ca *CA) issueMember(role Role, pubPKIX []byte, agent uint64) (der []byte, err error) {
	if agent == 0 {
		return nil, fmt.Errorf("%w: %s id 0", ErrIdentity, role)
	}
	pub, err := memberKey(pubPKIX)
	if err != nil {
		return nil, fmt.Errorf("agent's %w", err)
	}
	return ca.issue(Identity{ClusterID: ca.ClusterID(), Role: role, Agent: agent}, pub, nil)
}

// Lifetimes of operators' certificates: what 0 stands for, and the bounds.
const (
	OperatorLifetime    = 365 * 24 * time.Hour
	OperatorLifetimeMin = time.Minute
	OperatorLifetimeMax = 5 * OperatorLifetime
)

// IssueOperator makes a bundle for a person or a program that uses the API: their
// certificate, its key and the authority's certificate, in PEM, in this order. It is in
// force for the lifetime; 0 is [OperatorLifetime].
func (ca *CA) IssueOperator(name string, lifetime time.Duration) (bundlePEM []byte, err error) {
	key, err := NewOperatorKey()
	if err != nil {
		return nil, err
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("operator's key: %w", err)
	}
	der, err := ca.CertifyOperator(name, pub, lifetime)
	if err != nil {
		return nil, err
	}
	return OperatorBundle(der, key, ca.cert)
}

// NewOperatorKey makes the key of an operator.
func NewOperatorKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("operator's key: %w", err)
	}
	return key, nil
}

// CertifyOperator certifies an operator's public key (PKIX; as those of agents). The
// error wraps [ErrIdentity] where the name, the key or the lifetime is not one.
func (ca *CA) CertifyOperator(name string, pubPKIX []byte, lifetime time.Duration) (der []byte, err error) {
	if lifetime == 0 {
		lifetime = OperatorLifetime
	}
	switch {
	case !isOperatorName(name):
		return nil, fmt.Errorf("%w: operator name %q: want 1 to %d of a-z A-Z 0-9 - _ . @", ErrIdentity, name, operatorBytesMax)
	case lifetime < OperatorLifetimeMin || lifetime > OperatorLifetimeMax:
		return nil, fmt.Errorf("%w: lifetime %s: want %s to %s", ErrIdentity, lifetime, OperatorLifetimeMin, OperatorLifetimeMax)
	}
	pub, err := memberKey(pubPKIX)
	if err != nil {
		return nil, fmt.Errorf("%w: operator's %w", ErrIdentity, err)
	}
	return ca.issueFor(Identity{ClusterID: ca.ClusterID(), Role: RoleOperator, Name: name}, pub, nil, lifetime)
}

// OperatorBundle is what [ParseBundle] reads.
func OperatorBundle(der []byte, key *ecdsa.PrivateKey, ca *x509.Certificate) ([]byte, error) {
	text, err := keyPEM(key)
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{EncodeCertificate(der), text, EncodeCertificate(ca.Raw)}, nil), nil
}

// RenewFrom is when an operator's certificate should be renewed: when a third of its life
// is left, or a month of a long one.
func RenewFrom(cert *x509.Certificate) time.Time {
	const monthLeft = 30 * 24 * time.Hour
	life := cert.NotAfter.Sub(cert.NotBefore.Add(backdate))
	return cert.NotAfter.Add(-min(life/3, monthLeft))
}

// memberKey reads a public key of a kind that is certified.
func memberKey(pubPKIX []byte) (crypto.PublicKey, error) {
	pub, err := x509.ParsePKIXPublicKey(pubPKIX)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return nil, fmt.Errorf("public key: curve %s is not supported", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("public key: type %T is not supported", pub)
	}
	return pub, nil
}

func (ca *CA) issue(id Identity, pub crypto.PublicKey, hosts []string) ([]byte, error) {
	return ca.issueFor(id, pub, hosts, lifetime)
}

func (ca *CA) issueFor(id Identity, pub crypto.PublicKey, hosts []string, lifetime time.Duration) ([]byte, error) {
	now := ca.now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "quorate " + string(id.Role), Organization: []string{organization}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           id.Role.keyUsages(),
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{id.uri()},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if h != "" {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, pub, ca.key)
	if err != nil {
		return nil, fmt.Errorf("%s's certificate: %w", id.Role, err)
	}
	return der, nil
}

// A Bundle is what [CA.IssueOperator] made, parsed.
type Bundle struct {
	Certificate tls.Certificate
	CA          *x509.Certificate
}

// ParseBundle reads an operator's bundle.
func ParseBundle(text []byte) (*Bundle, error) {
	var certs [][]byte
	var key []byte
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case pemCert:
			certs = append(certs, block.Bytes)
		case pemKey:
			key = block.Bytes
		}
	}
	if len(certs) != 2 || key == nil {
		return nil, errors.New("operator's bundle: want a certificate, its key and the authority's certificate")
	}
	pair, err := tls.X509KeyPair(EncodeCertificate(certs[0]), pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: key}))
	if err != nil {
		return nil, fmt.Errorf("operator's bundle: %w", err)
	}
	ca, err := x509.ParseCertificate(certs[1])
	if err != nil {
		return nil, fmt.Errorf("operator's bundle: authority: %w", err)
	}
	return &Bundle{Certificate: pair, CA: ca}, nil
}
