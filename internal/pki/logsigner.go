package pki

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

const (
	// logSigning separates the key that signs the log from all others that are ever
	// derived from the authority's.
	logSigning = "quorate log signing 1"
	// logKeyPrefix is in front of the cluster's id in the name of its key.
	logKeyPrefix = "quorate/"
	// noteEd25519 is how package note numbers Ed25519.
	noteEd25519 = 1
)

// LogSigner returns who signs the log of a cluster in notes, under the name
// quorate/<cluster id>, and the key that its signatures are verified with, as
// note.NewVerifier takes it. Both are derived from the authority's key: every
// orchestrator of the cluster has them, and nobody else.
func (ca *CA) LogSigner(clusterID string) (signer note.Signer, verifierKey string, err error) {
	secret, err := ca.key.Bytes()
	if err != nil {
		return nil, "", fmt.Errorf("key of the log: %w", err)
	}
	seed, err := hkdf.Key(sha256.New, secret, []byte(clusterID), logSigning, ed25519.SeedSize)
	if err != nil {
		return nil, "", fmt.Errorf("key of the log: %w", err)
	}
	public, _ := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	verifierKey, err = note.NewEd25519VerifierKey(logKeyPrefix+clusterID, public)
	if err != nil {
		return nil, "", fmt.Errorf("key of the log: %w", err)
	}
	parts := strings.SplitN(verifierKey, "+", 3) // name, hash of name and key, key
	signer, err = note.NewSigner("PRIVATE+KEY+" + parts[0] + "+" + parts[1] + "+" + base64.StdEncoding.EncodeToString(append([]byte{noteEd25519}, seed...)))
	if err != nil {
		return nil, "", fmt.Errorf("key of the log: %w", err)
	}
	return signer, verifierKey, nil
}
