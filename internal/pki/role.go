package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Role is what a certificate of the cluster entitles to.
type Role string

// The roles.
const (
	RoleAgent    Role = "agent"
	RoleServer   Role = "server"
	RoleOperator Role = "operator"
	// RoleReplica is an orchestrator's towards other orchestrators. Only the
	// cluster's [RaftCA] gives it.
	RoleReplica Role = "replica"
	// RoleRelay is of a site's relay: a client of orchestrators and a server of agents.
	RoleRelay Role = "relay"
)

// ErrIdentity is wrapped by every error about a certificate that is not what it
// would have to be.
var ErrIdentity = errors.New("certificate refused")

// ErrOtherCluster is wrapped besides ErrIdentity by errors about a certificate that
// another authority has issued.
var ErrOtherCluster = errors.New("it is of another cluster")

const (
	uriScheme        = "quorate"
	clusterIDBytes   = 16
	operatorBytesMax = 64
)

// An Identity is what a certificate says about its holder.
type Identity struct {
	ClusterID string
	Role      Role
	// Agent is the id of an agent, or of a relay.
	Agent uint64
	// Name is the name of an operator.
	Name string
	// Replica is the number of a replica.
	Replica uint64
}

// Caller is the identity as it goes on record, such as operator:alice or agent:7; empty
// for a zero one.
func (id Identity) Caller() string {
	switch id.Role {
	case RoleAgent, RoleRelay:
		return string(id.Role) + ":" + strconv.FormatUint(id.Agent, 10)
	case RoleOperator:
		return string(id.Role) + ":" + id.Name
	case RoleReplica:
		return "orchestrator:" + strconv.FormatUint(id.Replica, 10)
	case RoleServer:
		return "orchestrator"
	}
	return ""
}

// uri is the identity as it stands in a certificate.
func (id Identity) uri() *url.URL {
	path := "/" + string(id.Role)
	switch id.Role {
	case RoleAgent, RoleRelay:
		path += "/" + strconv.FormatUint(id.Agent, 10)
	case RoleOperator:
		path += "/" + id.Name
	case RoleReplica:
		path += "/" + strconv.FormatUint(id.Replica, 10)
	}
	return &url.URL{Scheme: uriScheme, Host: id.ClusterID, Path: path}
}

// keyUsages are the extended key usages in a certificate of the role.
func (r Role) keyUsages() []x509.ExtKeyUsage {
	if r == RoleRelay {
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	return []x509.ExtKeyUsage{r.keyUsage()}
}

// keyUsage is the extended key usage that goes with the role.
func (r Role) keyUsage() x509.ExtKeyUsage {
	if r == RoleServer {
		return x509.ExtKeyUsageServerAuth
	}
	return x509.ExtKeyUsageClientAuth
}

// IdentityOf reads the identity out of a certificate. It does not verify the
// certificate.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 {
		return Identity{}, fmt.Errorf("%w: %d URIs, want one", ErrIdentity, len(cert.URIs))
	}
	text := cert.URIs[0].String()
	rest, ok := strings.CutPrefix(text, uriScheme+"://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 2 || !isClusterID(parts[0]) {
		return Identity{}, fmt.Errorf("%w: %q names no role", ErrIdentity, text)
	}
	id := Identity{ClusterID: parts[0], Role: Role(parts[1])}
	switch {
	case id.Role == RoleServer && len(parts) == 2:
	case (id.Role == RoleAgent || id.Role == RoleRelay) && len(parts) == 3:
		n, err := strconv.ParseUint(parts[2], 10, 64)
		if err != nil || n == 0 {
			return Identity{}, fmt.Errorf("%w: %q names no %s", ErrIdentity, text, id.Role)
		}
		id.Agent = n
	case id.Role == RoleReplica && len(parts) == 3:
		n, err := strconv.ParseUint(parts[2], 10, 64)
		if err != nil || n == 0 {
			return Identity{}, fmt.Errorf("%w: %q names no replica", ErrIdentity, text)
		}
		id.Replica = n
	case id.Role == RoleOperator && len(parts) == 3 && isOperatorName(parts[2]):
		id.Name = parts[2]
	default:
		return Identity{}, fmt.Errorf("%w: %q names no role", ErrIdentity, text)
	}
	if id.uri().String() != text {
		return Identity{}, fmt.Errorf("%w: %q is not in canonical form", ErrIdentity, text)
	}
	return id, nil
}

// AgentID reads the cluster and the agent's id out of an agent's certificate,
// which the TLS configuration has verified.
func AgentID(cert *x509.Certificate) (clusterID string, agent uint64, err error) {
	id, err := IdentityOf(cert)
	if err != nil {
		return "", 0, err
	}
	if id.Role != RoleAgent {
		return "", 0, fmt.Errorf("%w: role %s, want agent", ErrIdentity, id.Role)
	}
	return id.ClusterID, id.Agent, nil
}

// OperatorName reads the name out of an operator's certificate, which the TLS
// configuration has verified.
func OperatorName(cert *x509.Certificate) (string, error) {
	id, err := IdentityOf(cert)
	if err != nil {
		return "", err
	}
	if id.Role != RoleOperator {
		return "", fmt.Errorf("%w: role %s, want operator", ErrIdentity, id.Role)
	}
	return id.Name, nil
}

// RelayID reads the cluster and the relay's id out of a relay's certificate, which
// the TLS configuration has verified.
func RelayID(cert *x509.Certificate) (clusterID string, relay uint64, err error) {
	id, err := IdentityOf(cert)
	if err != nil {
		return "", 0, err
	}
	if id.Role != RoleRelay {
		return "", 0, fmt.Errorf("%w: role %s, want relay", ErrIdentity, id.Role)
	}
	return id.ClusterID, id.Agent, nil
}

// KeyDigest is how the log names a public key: the SHA-256 of its PKIX form, in
// lower-case hex.
func KeyDigest(pubPKIX []byte) string {
	sum := sha256.Sum256(pubPKIX)
	return hex.EncodeToString(sum[:])
}

// VerifyAgent demands that the certificate is an agent's of the authority and is
// in force.
func VerifyAgent(cert, ca *x509.Certificate) (Identity, error) {
	return verify([]*x509.Certificate{cert}, ca, RoleAgent, time.Now())
}

// VerifyRelay demands that the certificate is a relay's of the authority and is in
// force.
func VerifyRelay(cert, ca *x509.Certificate) (Identity, error) {
	return verify([]*x509.Certificate{cert}, ca, RoleRelay, time.Now())
}

// verify demands that the chain's first certificate was issued by the cluster's
// authority, is in force at the time, and has the role in its cluster.
func verify(chain []*x509.Certificate, ca *x509.Certificate, role Role, now time.Time) (Identity, error) {
	return verifyChain(chain, ca, role.keyUsage(), Identity{ClusterID: ca.Subject.CommonName, Role: role}, now)
}

// verifyChain demands that the chain's first certificate was issued by the
// authority, is in force at the time and for the usage, and has the cluster and
// the role that are wanted.
func verifyChain(chain []*x509.Certificate, ca *x509.Certificate, usage x509.ExtKeyUsage, want Identity, now time.Time) (Identity, error) {
	if len(chain) == 0 {
		return Identity{}, fmt.Errorf("%w: %w", ErrIdentity, ErrNoCertificate)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return Identity{}, fmt.Errorf("%w: %w: %w", ErrIdentity, ErrOtherCluster, err)
	}
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && chain[0].CheckSignatureFrom(ca) == nil:
		return Identity{}, fmt.Errorf("%w: %w: %w", ErrIdentity, ErrExpired, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return Identity{}, fmt.Errorf("%w: %w: %w", ErrIdentity, ErrRole, err)
	case err != nil:
		return Identity{}, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if chain[0].IsCA {
		return Identity{}, fmt.Errorf("%w: it is an authority's", ErrIdentity)
	}
	id, err := IdentityOf(chain[0])
	if err != nil {
		return Identity{}, err
	}
	if id.Role != want.Role {
		return Identity{}, fmt.Errorf("%w: %w: role %s, want %s", ErrIdentity, ErrRole, id.Role, want.Role)
	}
	if id.ClusterID != want.ClusterID {
		return Identity{}, fmt.Errorf("%w: cluster %s, want %s", ErrIdentity, id.ClusterID, want.ClusterID)
	}
	return id, nil
}

func isClusterID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == clusterIDBytes && s == strings.ToLower(s)
}

func isOperatorName(s string) bool {
	if s == "" || len(s) > operatorBytesMax {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '@':
		default:
			return false
		}
	}
	return true
}
