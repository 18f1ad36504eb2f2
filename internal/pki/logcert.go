package pki

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/url"
	"strings"
)

// CertifyLog returns the authority's certificate of the key that signs its cluster's
// log, in PEM. It is the same every time. Its only URI, quorate://<cluster id>/log,
// gives it no part in any connection.
func (ca *CA) CertifyLog() ([]byte, error) {
	_, verifierKey, err := ca.LogSigner(ca.ClusterID())
	if err != nil {
		return nil, err
	}
	// Behind the name and its hash are the algorithm's number and the key.
	parts := strings.SplitN(verifierKey, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return nil, fmt.Errorf("certificate of the log's key: %q is no Ed25519 key", verifierKey)
	}
	sum := sha256.Sum256(raw)
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(sum[:16]),
		Subject:               pkix.Name{CommonName: "quorate log", Organization: []string{organization}},
		NotBefore:             ca.cert.NotBefore,
		NotAfter:              ca.cert.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{{Scheme: uriScheme, Host: ca.ClusterID(), Path: "/log"}},
	}
	// Without a source of chance ECDSA signs as RFC 6979 says.
	der, err := x509.CreateCertificate(nil, template, ca.cert, ed25519.PublicKey(raw[1:]), ca.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the log's key: %w", err)
	}
	return EncodeCertificate(der), nil
}
