package pki

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"quorate/nodeagent/wire"
	"quorate/raft/port/alpn"
)

func mustRaft(t testing.TB, clusterID string, now func() time.Time) *RaftCA {
	t.Helper()
	ra, err := newRaftCA(clusterID, now)
	if err != nil {
		t.Fatal(err)
	}
	return ra
}

func mustReplica(t testing.TB, ra *RaftCA, replica uint64) tls.Certificate {
	t.Helper()
	cert, err := ra.IssueReplica(replica)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// forged has the Raft authority sign what IssueReplica would not.
func forged(t testing.TB, ra *RaftCA, id Identity, usage ...x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	cert := mustReplica(t, ra, 1)
	template := *cert.Leaf
	template.URIs = []*url.URL{id.uri()}
	template.ExtKeyUsage = usage
	der, err := x509.CreateCertificate(rand.Reader, &template, ra.cert, cert.Leaf.PublicKey, ra.key)
	if err != nil {
		t.Fatal(err)
	}
	cert.Certificate = [][]byte{der}
	return cert
}

// TestPeerEndpoints is the table of who may speak what among orchestrators.
func TestPeerEndpoints(t *testing.T) {
	now := time.Now()
	ca, otherCA := mustCA(t, time.Now), mustCA(t, time.Now)
	ra, other := mustRaft(t, ca.ClusterID(), time.Now), mustRaft(t, otherCA.ClusterID(), time.Now)
	twin := mustRaft(t, ca.ClusterID(), time.Now) // another authority for the same cluster
	server, client, err := PeerTLS(ca, ra, 1, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	mine := certs(t, ca)
	at := func(when time.Time) tls.Certificate {
		return mustReplica(t, &RaftCA{cert: ra.cert, key: ra.key, now: func() time.Time { return when }}, 2)
	}
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	of := func(id Identity, usage ...x509.ExtKeyUsage) tls.Certificate { return forged(t, ra, id, usage...) }
	peers := alpn.Peers()
	for _, c := range []struct {
		name   string
		cert   tls.Certificate
		accept bool
	}{
		{"replica", mustReplica(t, ra, 2), true},
		{"replica of another cluster", mustReplica(t, other, 2), false},
		{"replica by another authority of that name", mustReplica(t, twin, 2), false},
		{"expired", at(now.Add(-replicaLifetime - time.Minute)), false},
		{"not yet", at(now.Add(backdate + time.Minute)), false},
		{"agent", mine[RoleAgent], false},
		{"operator", mine[RoleOperator], false},
		{"API server", mine[RoleServer], false},
		{"none", tls.Certificate{}, false},
		{"the authority itself", tls.Certificate{Certificate: [][]byte{ra.cert.Raw}, PrivateKey: ra.key}, false},
		{"another role of the Raft authority", of(Identity{ClusterID: ra.ClusterID(), Role: RoleServer}, both...), false},
		{"another cluster's name", of(Identity{ClusterID: other.ClusterID(), Role: RoleReplica, Replica: 2}, both...), false},
		{"replica 0", of(Identity{ClusterID: ra.ClusterID(), Role: RoleReplica}, both...), false},
		{"for clients only", of(Identity{ClusterID: ra.ClusterID(), Role: RoleReplica, Replica: 2}, both[0]), false},
		{"for servers only", of(Identity{ClusterID: ra.ClusterID(), Role: RoleReplica, Replica: 2}, both[1]), false},
	} {
		for _, protocol := range peers {
			dial := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
			if c.cert.Certificate != nil {
				// Sent whatever authorities the server names.
				dial.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.cert, nil }
			}
			serverErr, clientErr := handshake(t, server, dial)
			if accepted := serverErr == nil && clientErr == nil; accepted != c.accept {
				t.Errorf("%s dials on %s: accepted %v, want %v (%v, %v)", c.name, protocol, accepted, c.accept, serverErr, clientErr)
			}
			if c.cert.Certificate == nil {
				continue
			}
			answer := client.Clone()
			answer.NextProtos = []string{protocol}
			_, clientErr = handshake(t, &tls.Config{Certificates: []tls.Certificate{c.cert}, NextProtos: peers, ClientAuth: tls.RequestClientCert}, answer)
			if (clientErr == nil) != c.accept {
				t.Errorf("%s answers on %s: %v, want accepted %v", c.name, protocol, clientErr, c.accept)
			}
		}
	}
}

// TestPeerJoin: who joins has only the pin, and reaches nothing but Join.
func TestPeerJoin(t *testing.T) {
	ca := mustCA(t, time.Now)
	ra := mustRaft(t, ca.ClusterID(), time.Now)
	server, _, err := PeerTLS(ca, ra, 1, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := handshake(t, server, JoinTLS(ca.Pin())); a != nil || b != nil {
		t.Errorf("join: %v, %v", a, b)
	}
	if _, err := handshake(t, server, JoinTLS(mustCA(t, time.Now).Pin())); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("another pin: %v", err)
	}
	// A replica of the Raft authority is no server for who has the pin.
	replica := mustReplica(t, ra, 2)
	replica.Certificate = append(replica.Certificate, ca.cert.Raw)
	if _, err := handshake(t, &tls.Config{Certificates: []tls.Certificate{replica}, NextProtos: []string{alpn.Join}}, JoinTLS(ca.Pin())); !errors.Is(err, ErrIdentity) {
		t.Errorf("a replica as the server: %v", err)
	}
	for _, protocols := range [][]string{nil, {wire.ALPNAgent}, {"h2"}, {alpn.Raft, alpn.Join}, {alpn.Join, alpn.Join}} {
		if a, _ := handshake(t, server, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}); a == nil {
			t.Errorf("protocols %q were accepted", protocols)
		}
	}
	// No other endpoint of the cluster takes a replica's certificate.
	dial := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{wire.ALPNAgent},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &replica, nil }}
	if a, _ := handshake(t, ServerTLS(certs(t, ca)[RoleServer], ca.cert), dial); !errors.Is(a, ErrIdentity) {
		t.Errorf("a replica on the agents' port: %v", a)
	}
	dial.NextProtos = []string{"h2"}
	if a, _ := handshake(t, OperatorServerTLS(certs(t, ca)[RoleServer], ca.cert), dial); !errors.Is(a, ErrIdentity) {
		t.Errorf("a replica on the API: %v", a)
	}
}

// TestReplicaOf: the number comes from the certificate, so n cannot claim m.
func TestReplicaOf(t *testing.T) {
	ca := mustCA(t, time.Now)
	ra := mustRaft(t, ca.ClusterID(), time.Now)
	state := func(c tls.Certificate) tls.ConnectionState {
		return tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.Leaf}}
	}
	for _, n := range []uint64{1, 7, 1<<64 - 1} {
		if got, err := ReplicaOf(state(mustReplica(t, ra, n))); err != nil || got != n {
			t.Errorf("replica %d: %d, %v", n, got, err)
		}
	}
	if _, err := ReplicaOf(tls.ConnectionState{}); !errors.Is(err, ErrIdentity) {
		t.Errorf("no certificate: %v", err)
	}
	if _, err := ReplicaOf(state(certs(t, ca)[RoleServer])); !errors.Is(err, ErrIdentity) {
		t.Errorf("a server's certificate: %v", err)
	}
	if _, err := ra.IssueReplica(0); !errors.Is(err, ErrIdentity) {
		t.Errorf("issued replica 0: %v", err)
	}
	if _, _, err := PeerTLS(ca, mustRaft(t, mustCA(t, time.Now).ClusterID(), time.Now), 1, nil); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("authorities of two clusters: %v", err)
	}
}

// TestPeerRenewal runs a year of two replicas that nobody restarts.
func TestPeerRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := mustCA(t, time.Now)
		ra := mustRaft(t, ca.ClusterID(), time.Now)
		server, _, err := PeerTLS(ca, ra, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, client, err := PeerTLS(ca, ra, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		client.NextProtos = []string{alpn.Raft}
		serials := map[string]bool{}
		check := client.VerifyConnection
		client.VerifyConnection = func(cs tls.ConnectionState) error {
			serials[cs.PeerCertificates[0].SerialNumber.String()] = true
			return check(cs)
		}
		const days = 365
		for day := range days {
			if a, b := handshake(t, server, client); a != nil || b != nil {
				t.Fatalf("day %d: %v, %v", day, a, b)
			}
			time.Sleep(24 * time.Hour)
		}
		if want := days/60 + 1; len(serials) != want {
			t.Errorf("%d certificates in a year, want %d: one every 60 days", len(serials), want)
		}
	})
}

func TestRaftAuthorityFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	if _, err := LoadRaft(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	id := mustCA(t, time.Now).ClusterID()
	made, err := LoadOrCreateRaft(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrCreateRaft(dir, id)
	if err != nil || !again.cert.Equal(made.cert) || again.ClusterID() != id {
		t.Errorf("again: %v", err)
	}
	if _, err := LoadOrCreateRaft(dir, mustCA(t, time.Now).ClusterID()); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("another cluster: %v", err)
	}
	if _, err := LoadOrCreateRaft(t.TempDir(), "x"); !errors.Is(err, ErrIdentity) {
		t.Errorf("no cluster id: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, raftKeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v %v", info, err)
	}
	// A lost key is not made anew.
	if err := os.Remove(filepath.Join(dir, raftKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateRaft(dir, id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a certificate without its key: %v", err)
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	ca, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Secrets(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a Raft authority: %v", err)
	}
	if _, err := LoadOrCreateRaft(dir, ca.ClusterID()); err != nil {
		t.Fatal(err)
	}
	files, err := Secrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "new", "pki")
	for range 2 { // once more after an interruption
		if err := Install(elsewhere, files); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]fs.FileMode{certFile: 0o644, keyFile: 0o600, raftCertFile: 0o644, raftKeyFile: 0o600} {
		text, err := os.ReadFile(filepath.Join(elsewhere, name))
		if info, e := os.Stat(filepath.Join(elsewhere, name)); err != nil || e != nil || info.Mode().Perm() != mode || !bytes.Equal(text, files[name]) {
			t.Errorf("%s: %v %v", name, err, info)
		}
	}
	if got, err := LoadOrCreate(elsewhere); err != nil || got.ClusterID() != ca.ClusterID() {
		t.Errorf("the authority there: %v", err)
	}
	occupied := t.TempDir()
	if _, err := LoadOrCreate(occupied); err != nil {
		t.Fatal(err)
	}
	if err := Install(occupied, files); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("over another cluster: %v", err)
	}
}

func TestInstallRefuses(t *testing.T) {
	dir := t.TempDir()
	ca, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreateRaft(dir, ca.ClusterID()); err != nil {
		t.Fatal(err)
	}
	good, err := Secrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	theirs := t.TempDir()
	if _, err := LoadOrCreateRaft(theirs, mustCA(t, time.Now).ClusterID()); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(theirs, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for what, change := range map[string]func(map[string][]byte){
		"a missing file":             func(f map[string][]byte) { delete(f, raftKeyFile) },
		"a path":                     func(f map[string][]byte) { f["../x"] = f[keyFile] },
		"a path in place of one":     func(f map[string][]byte) { f["../x"] = f[keyFile]; delete(f, keyFile) },
		"damage":                     func(f map[string][]byte) { f[certFile] = f[certFile][:50] },
		"no authority for another":   func(f map[string][]byte) { f[raftCertFile], f[raftKeyFile] = f[certFile], f[keyFile] },
		"a Raft authority as the CA": func(f map[string][]byte) { f[certFile], f[keyFile] = f[raftCertFile], f[raftKeyFile] },
		"another's key":              func(f map[string][]byte) { f[raftKeyFile] = read(raftKeyFile) },
		"two clusters":               func(f map[string][]byte) { f[raftKeyFile], f[raftCertFile] = read(raftKeyFile), read(raftCertFile) },
		"too much": func(f map[string][]byte) {
			f[keyFile] = append(slices.Clone(f[keyFile]), make([]byte, secretBytesMax)...)
		},
	} {
		files := map[string][]byte{}
		for name, text := range good {
			files[name] = text
		}
		change(files)
		into := filepath.Join(t.TempDir(), "pki")
		if err := Install(into, files); !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Stat(into); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was written", what)
		}
	}
}
