package orchestrator_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/eventlog"
	"quorate/internal/pki"
)

// An operator's identity is on record, by its key, when it is handed out.
func TestCreateOperator(t *testing.T) {
	o := start(t, newElectable(t), nil)
	var before string
	for range 2 {
		text, expires, err := o.CreateOperator(t.Context(), "ann@example.org", 0, "local:root")
		if err != nil {
			t.Fatal(err)
		}
		bundle, err := pki.ParseBundle(text)
		if err != nil {
			t.Fatal(err)
		}
		cert := bundle.Certificate.Leaf
		key, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if name, err := pki.OperatorName(cert); err != nil || name != "ann@example.org" {
			t.Errorf("the certificate is for %q, %v", name, err)
		}
		if !expires.Equal(cert.NotAfter) || time.Until(expires) <= 0 {
			t.Errorf("expires %s, the certificate %s", expires, cert.NotAfter)
		}
		want := eventlog.OperatorIssued{
			Name: "ann@example.org", KeyDigest: pki.KeyDigest(key), By: "local:root", ExpiresAt: expires.UnixNano(),
		}
		o.View(func(s *engine.State) {
			if got := s.Operators["ann@example.org"]; got == nil || got.OperatorIssued != want {
				t.Errorf("on record is %+v, want %+v", got, want)
			}
		})
		if want.KeyDigest == before {
			t.Error("one key for two identities")
		}
		before = want.KeyDigest
	}
}

// What the certificates take for a name and what the log does is the same, and
// nothing is on record of what is refused.
func TestOperatorNames(t *testing.T) {
	log := newElectable(t)
	o := start(t, log, nil)
	for _, name := range []string{"", " ", "a b", "a/b", "a\n", "ä", strings.Repeat("x", 65)} {
		text, _, err := o.CreateOperator(t.Context(), name, 0, "test")
		var e *orchestrator.Error
		if text != nil || !errors.As(err, &e) || e.Code != orchestrator.Invalid || !strings.HasPrefix(e.Message, "operator name ") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if head, _ := log.Head(); head != 0 {
		t.Errorf("%d records were written", head)
	}
	for c := byte(' '); c < 0x7f; c++ {
		name := string(c)
		text, _, err := o.CreateOperator(t.Context(), name, 0, "test")
		var e *orchestrator.Error
		if errors.As(err, &e) && e.Code == orchestrator.Conflict {
			t.Errorf("%q: certified, but void: %v", name, err)
		}
		if _, reasons, _ := o.Propose(t.Context(), &eventlog.OperatorIssued{Name: name, KeyDigest: "k"}); (reasons[0] == "") != (text != nil) {
			t.Errorf("%q: void %q, certificate %v", name, reasons[0], err)
		}
	}
}

// Nobody gets an identity that is not on record.
func TestOperatorNotOnRecord(t *testing.T) {
	log := newElectable(t)
	o := start(t, log, nil)
	log.fail(fmt.Errorf("full: %w", eventlog.ErrRefused))
	if text, _, err := o.CreateOperator(t.Context(), "ann", 0, "test"); err == nil || text != nil {
		t.Errorf("issued %d bytes, %v", len(text), err)
	}
}
