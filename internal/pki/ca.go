package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

const (
	certFile     = "ca.crt"
	keyFile      = "ca.key"
	pemCert      = "CERTIFICATE"
	pemKey       = "PRIVATE KEY"
	organization = "Quorate"

	// lifetime is that of the authority and of all that it issues but to operators: an
	// agent's right ends when the log revokes it, not by its certificate's age.
	lifetime = 20 * 365 * 24 * time.Hour
	// backdate lets machines use certificates whose clock is behind.
	backdate = 24 * time.Hour
)

// A CA is the authority of one cluster.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
}

// LoadOrCreate opens the authority in dir (ca.crt and ca.key, PEM), and makes one,
// with a new random cluster id, where there is neither file. Errors wrap [ErrFiles]
// where one of them is missing or damaged: a key that is there is never replaced.
func LoadOrCreate(dir string) (*CA, error) {
	there, err := present(dir, certFile, keyFile)
	switch {
	case err != nil:
		return nil, fmt.Errorf("authority: %w", err)
	case !there:
		return create(dir)
	}
	return Load(dir)
}

// Load opens the authority in dir, and makes none. The error wraps [ErrFiles], and
// fs.ErrNotExist where there is none.
func Load(dir string) (*CA, error) {
	cert, key, err := readPair(dir, certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	ca, err := parse(cert, key)
	if err != nil {
		return nil, damagedPair(dir, certFile, keyFile, err)
	}
	return ca, nil
}

// New makes an authority with a new random cluster id, in memory only.
func New() (*CA, error) { return newCA(time.Now) }

func newCA(now func() time.Time) (*CA, error) {
	var id [clusterIDBytes]byte
	rand.Read(id[:])
	cert, key, err := selfSigned(hex.EncodeToString(id[:]), now())
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return &CA{cert: cert, key: key, now: now}, nil
}

// selfSigned makes the key and the certificate of an authority.
func selfSigned(name string, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name, Organization: []string{organization}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate: %w", err)
	}
	return cert, key, nil
}

func create(dir string) (*CA, error) {
	ca, err := newCA(time.Now)
	if err != nil {
		return nil, err
	}
	key, err := keyPEM(ca.key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("authority's directory: %w", err)
	}
	// The certificate comes last: it is what says that the authority is complete.
	if err := WriteFile(filepath.Join(dir, keyFile), key, 0o600); err != nil {
		return nil, err
	}
	if err := WriteFile(filepath.Join(dir, certFile), EncodeCertificate(ca.cert.Raw), 0o644); err != nil {
		return nil, err
	}
	return ca, nil
}

func parse(certText, keyText []byte) (*CA, error) {
	cert, err := ParseCertificate(certText)
	if err != nil {
		return nil, fmt.Errorf("authority's certificate: %w", err)
	}
	if !cert.IsCA || !isClusterID(cert.Subject.CommonName) {
		return nil, fmt.Errorf("authority's certificate: %w: it is no cluster's authority", ErrIdentity)
	}
	key, err := parseKey(keyText, cert)
	if err != nil {
		return nil, fmt.Errorf("authority's %w", err)
	}
	return &CA{cert: cert, key: key, now: time.Now}, nil
}

// ClusterID is the cluster's identity: 16 random bytes in lower-case hex.
func (ca *CA) ClusterID() string { return ca.cert.Subject.CommonName }

// Certificate returns the authority's own certificate.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert }

// Pin is what a join token carries so that an agent knows the cluster before it
// has seen it: the SHA-256 of the authority's certificate, base64url.
func (ca *CA) Pin() string { return pinOf(ca.cert.Raw) }

func pinOf(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ParseCertificate reads the first PEM certificate in text.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemCert {
		return nil, fmt.Errorf("no PEM block %q", pemCert)
	}
	return x509.ParseCertificate(block.Bytes)
}

// EncodeCertificate returns the certificate as PEM.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: der})
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}
