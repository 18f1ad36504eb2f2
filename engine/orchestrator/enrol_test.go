package orchestrator_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/internal/pki"
)

// An agent that shows the token of somebody else is told which one it needs.
func TestEnrolWithAnotherToken(t *testing.T) {
	s := newShared(t)
	s.elect(1)
	o := s.start(1).o
	until(t, o, "the founder on record", func(s *engine.State) bool { return s.IsMember(1) })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	enrol := func(secret string) error {
		_, err := o.Enrol(t.Context(), orchestrator.EnrolRequest{Secret: secret, PublicKey: public, Name: "n1", JournalID: "j"})
		return err
	}
	secret := func(role string) string {
		text, _, err := o.CreateToken(t.Context(), orchestrator.TokenRequest{Role: role})
		if err != nil {
			t.Fatal(err)
		}
		token, err := pki.ParseToken(text)
		if err != nil {
			t.Fatal(err)
		}
		return token.Secret
	}
	wantCode(t, enrol(secret("orchestrator")), orchestrator.Unauthorized, `the token is for an orchestrator, which joins otherwise; "quorate token create" makes one`)
	wantCode(t, enrol("nobody's"), orchestrator.Unauthorized, "not one of this cluster's")
	if err := enrol(secret("agent")); err != nil {
		t.Error(err)
	}
}
