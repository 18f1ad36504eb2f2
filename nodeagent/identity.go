package nodeagent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"quorate/internal/pki"
)

const (
	fileCert = "identity.crt"
	fileKey  = "identity.key"
	fileCA   = "ca.crt"
	fileInfo = "agent.json"
	pemKey   = "PRIVATE KEY"
)

// errNoIdentity says that the agent has not joined a cluster.
var errNoIdentity = errors.New("agent has no identity")

// ErrIncomplete is wrapped by the error about a data directory that holds a part
// of an identity only.
var ErrIncomplete = errors.New("the identity is incomplete")

// An identity is what an agent got when it joined.
type identity struct {
	Agent     uint64 `json:"agent"`
	Name      string `json:"name"`
	ClusterID string `json:"cluster_id"`
	// Servers are where the cluster said last that its orchestrators are.
	Servers []string `json:"servers,omitempty"`

	cert tls.Certificate
	ca   *x509.Certificate
}

// loadIdentity reads the identity from the data directory, an agent's or a relay's. The
// certificate is written last, so that without it there is none.
func loadIdentity(dir string, relay bool) (*identity, error) {
	certText, err := os.ReadFile(filepath.Join(dir, fileCert))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoIdentity
	}
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	keyText, err := readPart(dir, fileKey)
	if err != nil {
		return nil, err
	}
	caText, err := readPart(dir, fileCA)
	if err != nil {
		return nil, err
	}
	info, err := readPart(dir, fileInfo)
	if err != nil {
		return nil, err
	}
	id := new(identity)
	if err := json.Unmarshal(info, id); err != nil {
		return nil, fmt.Errorf("identity: %s: %w", fileInfo, err)
	}
	if id.cert, err = tls.X509KeyPair(certText, keyText); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if id.ca, err = pki.ParseCertificate(caText); err != nil {
		return nil, fmt.Errorf("identity: %s: %w", fileCA, err)
	}
	shown, err := verifier(relay)(id.cert.Leaf, id.ca)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if shown.Agent != id.Agent || shown.ClusterID != id.ClusterID {
		return nil, fmt.Errorf("identity: %s does not fit the certificate", fileInfo)
	}
	return id, nil
}

// verifier is what a certificate has to stand.
func verifier(relay bool) func(cert, ca *x509.Certificate) (pki.Identity, error) {
	if relay {
		return pki.VerifyRelay
	}
	return pki.VerifyAgent
}

// readPart reads a file that is there wherever the certificate is.
func readPart(dir, name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return text, nil
}

// saveInfo writes what is not a certificate.
func (id *identity) saveInfo(dir string) error {
	info, err := json.MarshalIndent(id, "", "  ")
	if err == nil {
		err = pki.WriteFile(filepath.Join(dir, fileInfo), append(info, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return nil
}

func (id *identity) save(dir string) error {
	if err := id.saveInfo(dir); err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{
		{fileCA, pki.EncodeCertificate(id.ca.Raw)},
		{fileCert, pki.EncodeCertificate(id.cert.Certificate[0])},
	} {
		if err := pki.WriteFile(filepath.Join(dir, f.name), f.content, 0o600); err != nil {
			return fmt.Errorf("identity: %w", err)
		}
	}
	return nil
}

// loadOrCreateKey returns the agent's key. It is kept before it is used to join,
// so that an attempt to join whose answer was lost can be repeated.
func loadOrCreateKey(dir string) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(dir, fileKey)
	text, err := os.ReadFile(path)
	if err == nil {
		block, _ := pem.Decode(text)
		if block == nil || block.Type != pemKey {
			return nil, fmt.Errorf("identity: %s holds no key", path)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("identity: %s: %w", path, err)
		}
		key, ok := parsed.(*ecdsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("identity: %s holds a key of type %T", path, parsed)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("identity: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return key, pki.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), 0o600)
}
