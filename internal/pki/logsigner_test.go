package pki

import (
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func TestLogSigner(t *testing.T) {
	dir := t.TempDir()
	ca, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	signer, key, err := ca.LogSigner(ca.ClusterID())
	if err != nil {
		t.Fatal(err)
	}
	if want := "quorate/" + ca.ClusterID(); signer.Name() != want || !strings.HasPrefix(key, want+"+") {
		t.Errorf("signs as %q with the key %q, want %q", signer.Name(), key, want)
	}
	signed, err := note.Sign(&note.Note{Text: "a log\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, sameKey, err := again.LogSigner(again.ClusterID())
	if err != nil || sameKey != key {
		t.Errorf("the key of the same authority is %q and %q, %v", key, sameKey, err)
	}
	verifier, err := note.NewVerifier(sameKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
		t.Errorf("its own signature: %v", err)
	}
	other, err := New()
	if err != nil {
		t.Fatal(err)
	}
	forger, _, err := other.LogSigner(ca.ClusterID()) // the name alone is no key
	if err != nil {
		t.Fatal(err)
	}
	forged, err := note.Sign(&note.Note{Text: "a log\n"}, forger)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(forged, note.VerifierList(verifier)); err == nil {
		t.Error("another authority's signature passed")
	}
	if _, elsewhere, err := ca.LogSigner("another"); err != nil || elsewhere == key {
		t.Errorf("the key is the same for another cluster: %v", err)
	}
}
