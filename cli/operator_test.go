package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
)

// lonely starts a node on an embedded log, which serves operators over HTTPS.
func lonely(t *testing.T) *node {
	t.Helper()
	return lonelyTo(t, t.Output())
}

// lonelyTo is lonely with a log of its own.
func lonelyTo(t *testing.T, log io.Writer) *node {
	t.Helper()
	dir := t.TempDir()
	n, err := startNode(t.Context(), nodeConfig{
		dir: dir, socket: filepath.Join(dir, socketName), log: logEmbedded, version: "test", logger: slog.New(slog.NewTextHandler(log, nil)),
		addresses: addresses{Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0", ListenTCP: noListen},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "a leader", func() bool { return n.orch.Ready() == nil })
	return n
}

// leafOf is the certificate of the identity in a file.
func leafOf(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	bundle, err := operatorBundle(path)
	if err != nil {
		t.Fatal(err)
	}
	return bundle.Certificate.Leaf
}

// An identity is renewed when its end is near and not before, in its file, with a key of
// its own, and the renewed one works; what cannot be renewed stays as it is, and is told
// in time. Who was revoked renews nothing, and nor does its orchestrator.
func TestIdentityIsKept(t *testing.T) {
	n := lonely(t)
	bundle, _, err := n.orch.CreateOperator(t.Context(), "alice", time.Hour, "test")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "alice.pem")
	link := path + ".link"
	if err := os.WriteFile(path, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	first := leafOf(t, link)
	keep := func(now time.Time) (said string) {
		t.Helper()
		identity, err := operatorBundle(link)
		if err != nil {
			t.Fatal(err)
		}
		client, err := api.Dial("https://"+n.api.String(), api.WithTLS(pki.OperatorTLS(identity)))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		var out bytes.Buffer
		p := &program{con: &console{out: io.Discard, err: &out, getenv: func(string) string { return "" }}}
		p.keepIdentity(client, link, identity.Certificate.Leaf, now)
		if _, err := client.Status(t.Context()); err != nil && n.revokedIn(first) == nil {
			t.Errorf("the identity does not work: %v", err)
		}
		return out.String()
	}
	if said := keep(pki.RenewFrom(first).Add(-time.Second)); said != "" || !leafOf(t, link).Equal(first) {
		t.Errorf("renewed before it is due: %q", said)
	}
	if said := keep(pki.RenewFrom(first)); said == "" {
		t.Error("nothing is said of a renewal")
	}
	second := leafOf(t, path)
	if second.Equal(first) || bytes.Equal(second.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) || time.Until(second.NotAfter) < pki.OperatorLifetime-time.Hour {
		t.Errorf("renewed until %s", second.NotAfter)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v", err)
	}
	if n.renewalDue(time.Now()) || !n.renewalDue(leafOf(t, n.operatorPath()).NotAfter.Add(time.Hour)) {
		t.Error("the node's own identity is due now, or never")
	}
	for _, name := range []string{"alice", adminName} {
		if err := n.orch.RevokeOperator(t.Context(), name, orchestrator.Change{RequestID: name, Reason: "lost"}, true); err != nil {
			t.Fatal(err)
		}
	}
	if said := keep(second.NotAfter.Add(-time.Minute)); !bytes.Contains([]byte(said), []byte("could not be renewed")) || !leafOf(t, link).Equal(second) {
		t.Errorf("of one that is revoked is said %q", said)
	}
	if n.renewalDue(leafOf(t, n.operatorPath()).NotAfter) {
		t.Error("the node renews what was revoked")
	}
}

// The identity that a log of one process begins with, and one that a recovery has lost
// from the record, is listed and revoked like any other, and one that was revoked by name
// is not put on record again.
func TestFirstIdentityIsOnRecord(t *testing.T) {
	n := lonely(t)
	digest := pki.KeyDigest(leafOf(t, n.operatorPath()).RawSubjectPublicKeyInfo)
	listed := func() (keys []engine.OperatorKey) {
		n.orch.View(func(s *engine.State) {
			if o := s.Operators[adminName]; o != nil {
				keys = o.Certificates(0)
			}
		})
		return keys
	}
	eventually(t, "the first identity on record", func() bool { return len(listed()) == 1 })
	if got := listed()[0]; got.KeyDigest != digest || got.ExpiresAt != leafOf(t, n.operatorPath()).NotAfter.UnixNano() {
		t.Errorf("on record is %+v", got)
	}
	if !n.enlist(t.Context()) || len(listed()) != 1 {
		t.Errorf("it is on record %d times", len(listed()))
	}
	if err := pki.WriteFile(n.operatorPath(), foreignAdmin(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if !n.enlist(t.Context()) || len(listed()) != 1 {
		t.Errorf("an identity of another cluster is on record: %d", len(listed()))
	}
	lost, err := n.orch.CA().IssueOperator(adminName, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.WriteFile(n.operatorPath(), lost, 0o600); err != nil {
		t.Fatal(err)
	}
	if !n.enlist(t.Context()) || len(listed()) != 2 {
		t.Errorf("behind a recovery %d identities are on record", len(listed()))
	}
	if err := n.orch.RevokeOperator(t.Context(), adminName, orchestrator.Change{RequestID: "r", Reason: "lost"}, false); err != nil {
		t.Fatal(err)
	}
	if !n.enlist(t.Context()) || len(listed()) != 0 {
		t.Errorf("what was revoked is on record again: %d", len(listed()))
	}
}

// foreignAdmin is an identity of another cluster's admin.
func foreignAdmin(t *testing.T) []byte {
	t.Helper()
	ca, err := pki.New()
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := ca.IssueOperator(adminName, 0)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// An orchestrator goes on where it cannot write its operator's identity, and writes that
// one, and no other, when it can.
func TestIdentityWaitsForRoom(t *testing.T) {
	n := lonely(t)
	issued := func() (count int) {
		n.orch.View(func(s *engine.State) {
			if o := s.Operators[adminName]; o != nil {
				count = len(o.Certificates(0))
			}
		})
		return count
	}
	eventually(t, "the first identity on record", func() bool { return issued() == 1 })
	full := &node{cfg: n.cfg, orch: n.orch, member: n.member}
	full.cfg.dir = filepath.Join(t.TempDir(), "not there yet")
	a := appointment{wanted: missing(full.operatorPath())}
	for range 3 {
		if pause := full.appointOnce(t.Context(), &a); pause != writePause {
			t.Fatalf("looks again in %s", pause)
		}
	}
	if err := os.Mkdir(full.cfg.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if pause := full.appointOnce(t.Context(), &a); pause != appointEvery || a.wanted {
		t.Errorf("looks again in %s, wanted %t", pause, a.wanted)
	}
	leafOf(t, full.operatorPath())
	if got := issued(); got != 2 {
		t.Errorf("%d identities were issued besides the first", got-1)
	}
}

// Who cannot write its identity has no other issued: each command would have one.
func TestIdentityThatCannotBeKept(t *testing.T) {
	n := lonely(t)
	bundle, _, err := n.orch.CreateOperator(t.Context(), "alice", time.Hour, "test")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := pki.ParseBundle(bundle)
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.Dial("https://"+n.api.String(), api.WithTLS(pki.OperatorTLS(identity)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// Root may write anywhere, but no path is longer than 4095 bytes: there is room for
	// this name, and for none with digits behind it.
	dir := t.TempDir()
	for len(dir) < 4091 {
		dir = filepath.Join(dir, strings.Repeat("d", max(1, min(200, 4090-len(dir)))))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "p")
	if err := os.WriteFile(path, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := renewIdentity(t.Context(), client, path, 0); !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("renewed, or %v", err)
	}
	n.orch.View(func(s *engine.State) {
		if got := len(s.Operators["alice"].Certificates(0)); got != 1 {
			t.Errorf("%d identities on record", got)
		}
	})
}

// revokedIn is the revocation of a certificate as the node knows it.
func (n *node) revokedIn(cert *x509.Certificate) (found *engine.Revocation) {
	name, err := pki.OperatorName(cert)
	if err != nil {
		return nil
	}
	n.orch.View(func(s *engine.State) { found = s.OperatorRevocation(name, pki.KeyDigest(cert.RawSubjectPublicKeyInfo)) })
	return found
}

// Whoever is refused at the HTTPS port or at that of the orchestrators is on record, also
// who wants to join without a token that counts.
func TestPortsTellOfDenials(t *testing.T) {
	dir := t.TempDir()
	n, err := startNode(t.Context(), nodeConfig{
		dir: dir, socket: filepath.Join(dir, socketName), log: logRaft, bootstrap: true, version: "test", logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		addresses: addresses{Listen: "127.0.0.1:0", HTTP: "127.0.0.1:0", ListenTCP: noListen, Raft: "127.0.0.1:0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "a leader", func() bool { return n.orch.Ready() == nil })
	told := map[string]bool{}
	watch := func() {
		head, _ := n.orch.Watch()
		records, err := n.orch.Records(t.Context(), 1, int(head))
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records {
			if rec.Kind != eventlog.KindAccessDenied {
				continue
			}
			event, err := eventlog.Decode(rec.Kind, rec.Data)
			if err != nil {
				t.Fatal(err)
			}
			e := event.(*eventlog.AccessDenied)
			told[e.Entry+" "+e.Caller+" "+e.Reason] = true
		}
	}
	ca := n.orch.CA()
	operator, err := ca.IssueOperator("alice", 0)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := pki.ParseBundle(operator)
	if err != nil {
		t.Fatal(err)
	}
	knock(t, n.api, "h2", nil)
	knock(t, n.peers.port.Addr(), "quorate-raft/1", nil)
	knock(t, n.peers.port.Addr(), "quorate-blob/1", &bundle.Certificate)
	knock(t, n.peers.port.Addr(), "h2", nil)
	token, _, err := pki.NewToken(ca.Pin())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := pki.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	joiner := &node{cfg: nodeConfig{logger: n.cfg.logger}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, _, err := joiner.askOne(ctx, n.peers.port.Addr().String(), parsed, orchestrator.JoinRequest{
		Secret: parsed.Secret, RequestID: "r", Name: "stranger", RaftAddress: "127.0.0.1:1",
	}); err == nil {
		t.Error("a stranger has joined")
	}
	for _, want := range []string{
		"api  no-certificate", "orchestrators  no-certificate", "orchestrators claimed operator:alice unknown-certificate",
		"orchestrators  unknown-protocol", "join  unknown-token",
	} {
		eventually(t, want, func() bool { watch(); return told[want] })
	}
}

// Who hammers at a port is told of in the node's own log as on record, and not each time.
func TestStrangersFillNoLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	n := lonelyTo(t, file)
	said := func(what string) int {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(text, []byte(what))
	}
	for range 50 {
		knock(t, n.api, "h2", nil)
	}
	eventually(t, "a word of it", func() bool { return said("msg=refused entry=api") > 0 })
	if each := said("127.0.0.1:"); each > 10 { // addresses with ports are of connections, and a few of the node
		t.Errorf("the log tells of %d addresses", each)
	}
}

// knock shakes hands at a port, and waits to be refused.
func knock(t *testing.T, at net.Addr, protocol string, cert *tls.Certificate) {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
	if cert != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	conn, err := tls.Dial("tcp", at.String(), config)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%s at %s was let in", protocol, at)
	}
}
