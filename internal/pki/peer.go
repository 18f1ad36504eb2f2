package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"

	"quorate/raft/port/alpn"
)

// PeerTLS are both ends of the port on which orchestrators speak to each other.
//
// The server picks by the protocol that the client names, exactly one: on those
// of alpn.Peers both ends show a replica's certificate of the Raft authority; on
// alpn.Join the server shows a certificate of the cluster's authority, with the
// hosts in it, and asks for none. The client demands a replica of the same
// cluster; which one, its caller has to compare with [ReplicaOf]. It has to set
// NextProtos as well.
//
// A replica's certificate is issued here and again when two thirds of its life
// are over, at the next handshake.
func PeerTLS(ca *CA, raftCA *RaftCA, replica uint64, hosts []string) (server, client *tls.Config, err error) {
	if ca.ClusterID() != raftCA.ClusterID() {
		return nil, nil, fmt.Errorf("%w: %w: authority of %s, Raft authority of %s",
			ErrIdentity, ErrOtherCluster, ca.ClusterID(), raftCA.ClusterID())
	}
	joinCert, err := ca.IssueServer(hosts)
	if err != nil {
		return nil, nil, err
	}
	own := &renewed{ra: raftCA, replica: replica}
	if _, err := own.get(); err != nil {
		return nil, nil, err
	}

	peers := base()
	// Replicas send much at once and know it: the largest records from the first.
	peers.DynamicRecordSizingDisabled = true
	peers.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own.get() }
	peers.ClientAuth = tls.RequireAnyClientCert
	peers.VerifyConnection = requireReplica(raftCA)

	join := base()
	join.Certificates = []tls.Certificate{joinCert}
	join.NextProtos = []string{alpn.Join}

	server = peers.Clone()
	server.NextProtos = append(alpn.Peers(), alpn.Join)
	server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Equal(hello.SupportedProtos, join.NextProtos) {
			return join, nil
		}
		if len(hello.SupportedProtos) == 1 && slices.Contains(alpn.Peers(), hello.SupportedProtos[0]) {
			c := peers.Clone()
			c.NextProtos = hello.SupportedProtos
			return c, nil
		}
		return nil, fmt.Errorf("%w: %q: want one of %q", ErrProtocol, hello.SupportedProtos, server.NextProtos)
	}

	client = base()
	client.DynamicRecordSizingDisabled = true
	client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own.get() }
	client.ServerName = serverName
	client.InsecureSkipVerify = true // by host name; VerifyConnection does it by role
	client.VerifyConnection = requireReplica(raftCA)
	return server, client, nil
}

// JoinTLS is the side of an orchestrator that has a token and nothing else: it
// accepts one whose chain ends in the authority that the pin names.
func JoinTLS(pin string) *tls.Config {
	c := EnrolTLS(pin)
	c.NextProtos = []string{alpn.Join}
	return c
}

// ReplicaOf reads the replica's number out of the peer's certificate, which the
// TLS configuration has verified. Errors wrap [ErrIdentity].
func ReplicaOf(cs tls.ConnectionState) (uint64, error) {
	if len(cs.PeerCertificates) == 0 {
		return 0, fmt.Errorf("%w: none was sent", ErrIdentity)
	}
	id, err := IdentityOf(cs.PeerCertificates[0])
	if err != nil {
		return 0, err
	}
	if id.Role != RoleReplica {
		return 0, fmt.Errorf("%w: role %s, want %s", ErrIdentity, id.Role, RoleReplica)
	}
	return id.Replica, nil
}

// requireReplica demands a certificate of the Raft authority, in force, which
// names a replica of its cluster.
func requireReplica(ra *RaftCA) func(tls.ConnectionState) error {
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return func(cs tls.ConnectionState) error {
		// Verify is satisfied by any one of the usages, and a peer needs both.
		for _, usage := range usages {
			_, err := verifyChain(cs.PeerCertificates, ra.cert, usage, Identity{ClusterID: ra.ClusterID(), Role: RoleReplica}, ra.now())
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// renewed is a replica's certificate that never gets old.
type renewed struct {
	ra      *RaftCA
	replica uint64

	mu   sync.Mutex
	cert *tls.Certificate
}

func (r *renewed) get() (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.ra.now()
	if r.cert != nil && now.Before(r.cert.Leaf.NotAfter.Add(-replicaLifetime/3)) && now.After(r.cert.Leaf.NotBefore) {
		return r.cert, nil
	}
	cert, err := r.ra.IssueReplica(r.replica)
	switch {
	case err == nil:
		r.cert = &cert
	case r.cert == nil || now.After(r.cert.Leaf.NotAfter):
		return nil, err
	}
	return r.cert, nil
}
