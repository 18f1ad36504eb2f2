package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorate/engine/api"
	"quorate/internal/pki"
	"quorate/raft/port"
)

// barred expects that no orchestrator speaks Raft with one that was removed, which has its
// keys, that each of them has put that on record, and that it may still ask what it is.
func (c *trio) barred(t *testing.T, removed uint64, process int) {
	raftCA, err := pki.LoadRaft(filepath.Join(c.dirOf(process), "pki"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := raftCA.IssueReplica(removed)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range c.servers {
		if i == process {
			continue
		}
		for protocol, want := range map[string]bool{port.Raft: false, port.Snapshot: false, port.Blob: true} {
			eventually(t, fmt.Sprintf("%s of the removed one at %s: %t", protocol, serverName(i), want), func() bool {
				return welcomed(c.raft[i], protocol, cert) == want
			})
		}
	}
	told := map[string]bool{}
	eventually(t, "the refusals of the removed one on record", func() bool {
		for event, err := range c.client.Log(t.Context(), api.LogQuery{Kind: "access_denied"}) {
			if err != nil {
				return false
			}
			e, _ := event.Event.(map[string]any)
			if e["entry"] == entryOrchestrators && e["caller"] == fmt.Sprintf("orchestrator:%d", removed) && e["reason"] == "removed" && fmt.Sprint(e["addresses"]) == "[127.0.0.1]" {
				told[fmt.Sprint(e["replica"])] = true
			}
		}
		return len(told) == len(c.servers)-1
	})
}

// welcomed reports whether an orchestrator takes a replica's connection.
func welcomed(address, protocol string, cert tls.Certificate) bool {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{protocol},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
	})
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	n, _ := conn.Read(make([]byte, 1))
	return n == 1
}

// operatorRevoked has an operator connected to each orchestrator, and revokes it at one:
// what streams is cut off at each, and what is asked on a connection that was there is
// refused, with the reason.
func (c *trio) operatorRevoked(t *testing.T) {
	issued, err := c.client.CreateOperator(t.Context(), api.OperatorCreate{Name: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := pki.ParseBundle([]byte(issued.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	remote := map[int]*api.Client{}
	cut := map[int]chan error{}
	for _, i := range c.servers {
		client, err := api.Dial("https://"+c.api[i], api.WithTLS(pki.OperatorTLS(bundle)))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		remote[i], cut[i] = client, make(chan error, 1)
		streams := make(chan struct{}, 1)
		go func() {
			for _, err := range client.Log(t.Context(), api.LogQuery{Follow: true}) {
				if err != nil {
					cut[i] <- err
					return
				}
				select {
				case streams <- struct{}{}:
				default:
				}
			}
			cut[i] <- errors.New("it ended as if that were all")
		}()
		select {
		case <-streams:
		case err := <-cut[i]:
			t.Fatalf("the stream of %s: %v", serverName(i), err)
		case <-time.After(patience):
			t.Fatalf("%s streams nothing", serverName(i))
		}
	}
	if revoke := c.quorate("operator", "revoke", "alice", "--yes", "--reason", "the laptop was stolen"); revoke.code() != 0 {
		t.Fatal(revoke)
	}
	for i, ended := range cut {
		var denied *api.Error
		select {
		case err := <-ended:
			if !errors.As(err, &denied) || denied.Code != "unauthorized" || !strings.Contains(denied.Message, "alice was revoked") {
				t.Errorf("the stream of %s ended with %v", serverName(i), err)
			}
		case <-time.After(patience):
			t.Errorf("%s goes on to stream to a revoked operator", serverName(i))
		}
		if _, err := remote[i].Status(t.Context()); !errors.As(err, &denied) || denied.Code != "unauthorized" {
			t.Errorf("%s answers a revoked operator: %v", serverName(i), err)
		}
	}
}
