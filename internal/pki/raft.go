package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	raftCertFile = "raft-ca.crt"
	raftKeyFile  = "raft-ca.key"
	// raftPrefix tells the Raft authority's certificate from the cluster's, so
	// that neither is taken for the other.
	raftPrefix = "raft "

	// replicaLifetime is that of a replica's certificate. Its holder has the
	// authority's key and issues the next one itself, so it can be short.
	replicaLifetime = 90 * 24 * time.Hour
)

// A RaftCA is the authority of one cluster's replicas. It is another one than
// [CA], so that no certificate of an agent, an operator or an API server may
// speak Raft, whatever is written in it.
type RaftCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
}

// LoadOrCreateRaft opens the Raft authority in dir (raft-ca.crt and raft-ca.key,
// PEM), and makes one for the cluster where there is neither file. Errors wrap
// [ErrOtherCluster] where the one in dir is of another cluster, and [ErrFiles] as
// those of [LoadOrCreate].
func LoadOrCreateRaft(dir, clusterID string) (*RaftCA, error) {
	there, err := present(dir, raftCertFile, raftKeyFile)
	switch {
	case err != nil:
		return nil, fmt.Errorf("raft authority: %w", err)
	case !there:
		return createRaft(dir, clusterID)
	}
	ra, err := LoadRaft(dir)
	if err != nil {
		return nil, err
	}
	if ra.ClusterID() != clusterID {
		return nil, fmt.Errorf("%s: %w: %s, and this one is %s",
			filepath.Join(dir, raftCertFile), ErrOtherCluster, ra.ClusterID(), clusterID)
	}
	return ra, nil
}

// LoadRaft opens the Raft authority in dir. Errors wrap [ErrFiles], and
// [fs.ErrNotExist] where there is none.
func LoadRaft(dir string) (*RaftCA, error) {
	cert, key, err := readPair(dir, raftCertFile, raftKeyFile)
	if err != nil {
		return nil, fmt.Errorf("raft authority: %w", err)
	}
	ra, err := parseRaft(cert, key)
	if err != nil {
		return nil, damagedPair(dir, raftCertFile, raftKeyFile, err)
	}
	return ra, nil
}

// NewRaft makes a Raft authority for the cluster, in memory only.
func NewRaft(clusterID string) (*RaftCA, error) { return newRaftCA(clusterID, time.Now) }

func newRaftCA(clusterID string, now func() time.Time) (*RaftCA, error) {
	if !isClusterID(clusterID) {
		return nil, fmt.Errorf("raft authority: %w: cluster id %q", ErrIdentity, clusterID)
	}
	cert, key, err := selfSigned(raftPrefix+clusterID, now())
	if err != nil {
		return nil, fmt.Errorf("raft authority: %w", err)
	}
	return &RaftCA{cert: cert, key: key, now: now}, nil
}

func createRaft(dir, clusterID string) (*RaftCA, error) {
	ra, err := newRaftCA(clusterID, time.Now)
	if err != nil {
		return nil, err
	}
	key, err := keyPEM(ra.key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("raft authority's directory: %w", err)
	}
	// The certificate comes last: it is what says that the authority is complete.
	if err := WriteFile(filepath.Join(dir, raftKeyFile), key, 0o600); err != nil {
		return nil, err
	}
	if err := WriteFile(filepath.Join(dir, raftCertFile), EncodeCertificate(ra.cert.Raw), 0o644); err != nil {
		return nil, err
	}
	return ra, nil
}

func parseRaft(certText, keyText []byte) (*RaftCA, error) {
	cert, err := ParseCertificate(certText)
	if err != nil {
		return nil, fmt.Errorf("raft authority's certificate: %w", err)
	}
	id, ok := strings.CutPrefix(cert.Subject.CommonName, raftPrefix)
	if !cert.IsCA || !ok || !isClusterID(id) {
		return nil, fmt.Errorf("raft authority's certificate: %w: it is no cluster's Raft authority", ErrIdentity)
	}
	key, err := parseKey(keyText, cert)
	if err != nil {
		return nil, fmt.Errorf("raft authority's %w", err)
	}
	return &RaftCA{cert: cert, key: key, now: time.Now}, nil
}

// parseKey reads an authority's key and demands that it belongs to the certificate.
func parseKey(text []byte, cert *x509.Certificate) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemKey {
		return nil, fmt.Errorf("key: no PEM block %q", pemKey)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("key does not belong to its certificate")
	}
	return key, nil
}

// ClusterID is the id of the cluster whose replicas the authority certifies.
func (ra *RaftCA) ClusterID() string {
	return strings.TrimPrefix(ra.cert.Subject.CommonName, raftPrefix)
}

// Certificate returns the authority's own certificate.
func (ra *RaftCA) Certificate() *x509.Certificate { return ra.cert }

// IssueReplica makes a key and a certificate for a replica, which serve for both
// ends of a connection, for 90 days.
func (ra *RaftCA) IssueReplica(replica uint64) (tls.Certificate, error) {
	if replica == 0 {
		return tls.Certificate{}, fmt.Errorf("%w: replica 0", ErrIdentity)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("replica's key: %w", err)
	}
	now := ra.now()
	id := Identity{ClusterID: ra.ClusterID(), Role: RoleReplica, Replica: replica}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "quorate " + string(id.Role), Organization: []string{organization}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(replicaLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{id.uri()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ra.cert, &key.PublicKey, ra.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("replica's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("replica's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
