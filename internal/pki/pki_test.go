package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorate/nodeagent/wire"
)

func mustCA(t testing.TB, now func() time.Time) *CA {
	t.Helper()
	ca, err := newCA(now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// certs are one certificate of every role.
func certs(t testing.TB, ca *CA) map[Role]tls.Certificate {
	t.Helper()
	server, err := ca.IssueServer([]string{"localhost", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ca.IssueAgent(pub, 42)
	if err != nil {
		t.Fatal(err)
	}
	text, err := ca.IssueOperator("ann", 0)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := ParseBundle(text)
	if err != nil {
		t.Fatal(err)
	}
	return map[Role]tls.Certificate{RoleServer: server, RoleOperator: bundle.Certificate,
		RoleAgent: {Certificate: [][]byte{der}, PrivateKey: key}}
}

// handshake connects the two over a pipe, and exchanges a byte so that the
// client hears of a refusal by the server.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	deadline := time.Now().Add(time.Minute)
	_ = a.SetDeadline(deadline)
	_ = b.SetDeadline(deadline)
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	b.Close()
	return <-done, clientErr
}

// TestEndpoints is the table of who may speak to whom.
func TestEndpoints(t *testing.T) {
	now := time.Now()
	ours, theirs := mustCA(t, time.Now), mustCA(t, time.Now)
	old := mustCA(t, func() time.Time { return now.Add(-2 * lifetime) })
	mine, foreign := certs(t, ours), certs(t, theirs)
	expired := certs(t, &CA{cert: ours.cert, key: ours.key, now: func() time.Time { return now.Add(-lifetime - time.Hour) }})
	oldOnes := certs(t, old)
	client := func(c tls.Certificate, alpn ...string) *tls.Config {
		conf := &tls.Config{InsecureSkipVerify: true, NextProtos: alpn}
		if c.Certificate != nil {
			conf.Certificates = []tls.Certificate{c}
		}
		return conf
	}
	agents := ServerTLS(mine[RoleServer], ours.Certificate())
	api := OperatorServerTLS(mine[RoleServer], ours.Certificate())
	server := func(c tls.Certificate) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{c}, NextProtos: []string{wire.ALPNAgent, wire.ALPNEnrol, "h2"}, ClientAuth: tls.RequestClientCert}
	}
	withCA := func(c tls.Certificate, ca *CA) tls.Certificate {
		c.Certificate = append(c.Certificate[:1:1], ca.cert.Raw)
		return c
	}
	toServers := AgentTLS(mine[RoleAgent], ours.Certificate())
	enrol := EnrolTLS(ours.Pin())
	operator := OperatorTLS(&Bundle{Certificate: mine[RoleOperator], CA: ours.Certificate()})
	none := tls.Certificate{}
	tls12 := client(mine[RoleAgent], wire.ALPNAgent)
	tls12.MaxVersion = tls.VersionTLS12

	for _, row := range []struct {
		name           string
		server, client *tls.Config
		ok             bool
	}{
		{"agents' port, agent", agents, client(mine[RoleAgent], wire.ALPNAgent), true},
		{"agents' port, server", agents, client(mine[RoleServer], wire.ALPNAgent), false},
		{"agents' port, operator", agents, client(mine[RoleOperator], wire.ALPNAgent), false},
		{"agents' port, nobody", agents, client(none, wire.ALPNAgent), false},
		{"agents' port, other cluster's agent", agents, client(foreign[RoleAgent], wire.ALPNAgent), false},
		{"agents' port, expired agent", agents, client(expired[RoleAgent], wire.ALPNAgent), false},
		{"agents' port, agent, TLS 1.2", agents, tls12, false},
		{"agents' port, enrolment", agents, client(none, wire.ALPNEnrol), true},
		{"agents' port, both protocols", agents, client(mine[RoleAgent], wire.ALPNEnrol, wire.ALPNAgent), false},
		{"agents' port, no protocol", agents, client(mine[RoleAgent]), false},
		{"agents' port, another protocol", agents, client(mine[RoleAgent], "h2"), false},
		{"api, operator", api, client(mine[RoleOperator], "h2"), true},
		{"api, agent", api, client(mine[RoleAgent], "h2"), false},
		{"api, server", api, client(mine[RoleServer], "h2"), false},
		{"api, nobody", api, client(none, "h2"), false},
		{"api, other cluster's operator", api, client(foreign[RoleOperator], "h2"), false},
		{"api, expired operator", api, client(expired[RoleOperator], "h2"), false},
		{"agent to server", server(mine[RoleServer]), toServers, true},
		{"agent to agent", server(mine[RoleAgent]), toServers, false},
		{"agent to operator", server(mine[RoleOperator]), toServers, false},
		{"agent to other cluster's server", server(foreign[RoleServer]), toServers, false},
		{"agent to expired server", server(expired[RoleServer]), toServers, false},
		{"enrolment to server", server(mine[RoleServer]), enrol, true},
		{"enrolment to agent", server(withCA(mine[RoleAgent], ours)), enrol, false},
		{"enrolment to server without its authority", server(tls.Certificate{Certificate: mine[RoleServer].Certificate[:1], PrivateKey: mine[RoleServer].PrivateKey}), enrol, false},
		{"enrolment to other cluster's server", server(foreign[RoleServer]), enrol, false},
		{"enrolment to other cluster's server with our authority", server(withCA(foreign[RoleServer], ours)), enrol, false},
		{"enrolment to a cluster of the past", server(oldOnes[RoleServer]), EnrolTLS(old.Pin()), false},
		{"operator to server", server(mine[RoleServer]), operator, true},
		{"operator to agent", server(mine[RoleAgent]), operator, false},
		{"operator to other cluster's server", server(foreign[RoleServer]), operator, false},
		{"whole way of an agent", agents, toServers, true},
		{"whole way of an enrolment", agents, enrol, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			serverErr, clientErr := handshake(t, row.server, row.client)
			if ok := serverErr == nil && clientErr == nil; ok != row.ok {
				t.Errorf("accepted: %v, want %v (server: %v, client: %v)", ok, row.ok, serverErr, clientErr)
			}
		})
	}
}

// TestClusterInURI: a certificate of our authority that names another cluster is
// refused, whoever made it.
func TestClusterInURI(t *testing.T) {
	ca := mustCA(t, time.Now)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for uri, ok := range map[string]bool{
		"quorate://" + ca.ClusterID() + "/server":                  true,
		"quorate://" + strings.Repeat("0", 32) + "/server":         false,
		"quorate://" + ca.ClusterID() + "/server/1":                false,
		"quorate://" + ca.ClusterID() + "/Server":                  false,
		"quorate://" + strings.ToUpper(ca.ClusterID()) + "/server": false,
		"other://" + ca.ClusterID() + "/server":                    false,
		"quorate://" + ca.ClusterID() + "/agent/7":                 false,
	} {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: serial(), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, URIs: []*url.URL{u}}
		der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		_, err = verify([]*x509.Certificate{cert}, ca.cert, RoleServer, time.Now())
		if (err == nil) != ok || err != nil && !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestLoadOrCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first.ClusterID() != second.ClusterID() || first.Pin() != second.Pin() || len(first.ClusterID()) != 32 {
		t.Errorf("%s %s, then %s %s", first.ClusterID(), first.Pin(), second.ClusterID(), second.Pin())
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	other := mustCA(t, time.Now)
	if err := os.WriteFile(filepath.Join(dir, certFile), EncodeCertificate(other.cert.Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreate(dir); err == nil {
		t.Error("a key was accepted that is not the certificate's")
	}
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadOrCreate(dir); err == nil {
		t.Error("a new authority was made over one whose key is gone")
	}
}

// A key outlives the loss of its certificate: it may be the only copy.
func TestKeyIsNeverReplaced(t *testing.T) {
	type pair struct {
		cert, key string
		open      func(dir string) error
	}
	id := mustCA(t, time.Now).ClusterID()
	for _, p := range []pair{
		{certFile, keyFile, func(dir string) error { _, err := LoadOrCreate(dir); return err }},
		{raftCertFile, raftKeyFile, func(dir string) error { _, err := LoadOrCreateRaft(dir, id); return err }},
	} {
		dir := t.TempDir()
		if err := p.open(dir); err != nil {
			t.Fatal(err)
		}
		cert, err := os.ReadFile(filepath.Join(dir, p.cert))
		if err != nil {
			t.Fatal(err)
		}
		key, err := os.ReadFile(filepath.Join(dir, p.key))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, p.cert)); err != nil {
			t.Fatal(err)
		}
		if err := p.open(dir); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), filepath.Join(dir, p.cert)) {
			t.Errorf("without %s: %v", p.cert, err)
		}
		if now, err := os.ReadFile(filepath.Join(dir, p.key)); err != nil || !bytes.Equal(now, key) {
			t.Errorf("%s was replaced: %v", p.key, err)
		}
		for name, text := range map[string][]byte{"zeroed": make([]byte, len(cert)), "half": cert[:len(cert)/2], "empty": nil} {
			if err := os.WriteFile(filepath.Join(dir, p.cert), text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := p.open(dir); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), filepath.Join(dir, p.cert)) {
				t.Errorf("%s is %s: %v", p.cert, name, err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, p.cert), cert, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.open(dir); err != nil {
			t.Errorf("with %s put back: %v", p.cert, err)
		}
	}
}

// A creation that was interrupted leaves a key without its certificate.
func TestInterruptedCreationIsBegunAnew(t *testing.T) {
	dir := t.TempDir()
	whole, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, raftKeyFile), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := DropUnfinished(dir); err != nil {
		t.Fatal(err)
	}
	if again, err := LoadOrCreate(dir); err != nil || again.Pin() != whole.Pin() {
		t.Errorf("a whole authority was dropped: %v", err)
	}
	if _, err := LoadOrCreateRaft(dir, whole.ClusterID()); err != nil {
		t.Errorf("an unfinished one was not: %v", err)
	}
}

func TestIdentities(t *testing.T) {
	ca := mustCA(t, time.Now)
	for role, c := range certs(t, ca) {
		cert, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		id, err := IdentityOf(cert)
		if err != nil || id.Role != role || id.ClusterID != ca.ClusterID() {
			t.Errorf("%s: %+v %v", role, id, err)
		}
		cluster, agent, err := AgentID(cert)
		if role == RoleAgent && (err != nil || agent != 42 || cluster != ca.ClusterID()) || role != RoleAgent && err == nil {
			t.Errorf("%s: agent %d, %v", role, agent, err)
		}
		name, err := OperatorName(cert)
		if role == RoleOperator && (err != nil || name != "ann") || role != RoleOperator && err == nil {
			t.Errorf("%s: operator %q, %v", role, name, err)
		}
	}
	for _, name := range []string{"", "a/b", "a b", strings.Repeat("x", 65), "é"} {
		if _, err := ca.IssueOperator(name, 0); !errors.Is(err, ErrIdentity) {
			t.Errorf("operator %q: %v", name, err)
		}
	}
}

func TestAgentKeys(t *testing.T) {
	ca := mustCA(t, time.Now)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pub, _ := x509.MarshalPKIXPublicKey(&weak.PublicKey)
	for _, bad := range [][]byte{nil, []byte("x"), pub} {
		if _, err := ca.IssueAgent(bad, 1); err == nil {
			t.Errorf("key %x was certified", bad)
		}
	}
}

func TestToken(t *testing.T) {
	ca := mustCA(t, time.Now)
	text, hash, err := NewToken(ca.Pin())
	if err != nil {
		t.Fatal(err)
	}
	token, err := ParseToken(text)
	if err != nil || token.Hash() != hash || token.Pin != ca.Pin() || HashSecret(token.Secret) != hash || strings.Contains(hash, token.Secret) {
		t.Errorf("%+v %v", token, err)
	}
	for _, bad := range []string{"", "qrt1", text + ".", text + "=", text[:len(text)-1], "qrt2" + text[4:], " " + text, text + "\n",
		strings.ToUpper(text), "qrt1." + ca.Pin() + "."} {
		if _, err := ParseToken(bad); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", bad, err)
		} else if strings.Contains(err.Error(), token.Secret) {
			t.Error("the error tells the secret")
		}
	}
	if _, _, err := NewToken("x"); !errors.Is(err, ErrToken) {
		t.Errorf("a pin that is none: %v", err)
	}
}

func FuzzParseToken(f *testing.F) {
	ca := mustCA(f, time.Now)
	text, _, _ := NewToken(ca.Pin())
	f.Add(text)
	f.Fuzz(func(t *testing.T, s string) {
		if token, err := ParseToken(s); err == nil && token.String() != s {
			t.Errorf("%q was read as %q", s, token)
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	// Seeds must not be made by chance: every worker makes them anew, and would
	// be told of coverage that it cannot find again.
	const certificate = "-----BEGIN CERTIFICATE-----\nMIIBADCBqKADAgECAgEBMAoGCCqGSM49BAMCMAAwHhcNMjYwMTAxMDAwMDAwWhcN\n-----END CERTIFICATE-----\n"
	const key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n"
	for _, seed := range []string{"", certificate, key, certificate + key, certificate + key + certificate, key + certificate + "x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bundle, err := ParseBundle(b); err == nil && (bundle.CA == nil || bundle.Certificate.PrivateKey == nil) {
			t.Error("half a bundle")
		}
	})
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"one", "two"} {
		if err := WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); !bytes.Equal(b, []byte(text)) {
			t.Errorf("%q", b)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files", len(left))
	}
}
