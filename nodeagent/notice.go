package nodeagent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"quorate/internal/pki"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// errNotice is wrapped by errors about a notice that does not say what it is taken for.
var errNotice = errors.New("the notice does not count")

// notice is the agent's signed word about the end of one of its attempts.
func (id *identity) notice(e journal.Ending) (wire.Notice, error) {
	n := wire.Notice{Key: id.cert.Leaf.RawSubjectPublicKeyInfo, Attempt: e.Attempt, Outcome: e.Outcome, Output: e.Output}
	var err error
	if n.Run, n.Task, n.Host, err = journal.ParseStepName(e.Step); err != nil {
		return n, err
	}
	signer, ok := id.cert.PrivateKey.(crypto.Signer)
	if !ok {
		return n, fmt.Errorf("a key of type %T signs nothing", id.cert.PrivateKey)
	}
	message, err := n.Signed(id.ClusterID)
	if err != nil {
		return n, err
	}
	if _, whole := signer.Public().(ed25519.PublicKey); whole {
		n.Signature, err = signer.Sign(rand.Reader, message, crypto.Hash(0))
	} else {
		sum := sha256.Sum256(message)
		n.Signature, err = signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	}
	if err != nil {
		return n, fmt.Errorf("signing a notice: %w", err)
	}
	return n, n.Check()
}

// verifyNotice reports whether the notice is the word of whom it has to be from about
// what it has to be about. Errors wrap [errNotice].
func verifyNotice(n *wire.Notice, clusterID string, of wire.Elsewhere) error {
	switch {
	case n.Check() != nil:
		return fmt.Errorf("%w: %w", errNotice, n.Check())
	case of.Key == "" || pki.KeyDigest(n.Key) != of.Key:
		return fmt.Errorf("%w: it is another agent's", errNotice)
	case n.Run != of.Run || n.Task != of.Task || n.Host != of.Host:
		return fmt.Errorf("%w: it is about task %s of run %d on %s, and not task %s of run %d on %s",
			errNotice, n.Task, n.Run, n.Host, of.Task, of.Run, of.Host)
	}
	message, err := n.Signed(clusterID)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotice, err)
	}
	key, err := x509.ParsePKIXPublicKey(n.Key)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotice, err)
	}
	sum := sha256.Sum256(message)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(key, sum[:], n.Signature) {
			return nil
		}
	case ed25519.PublicKey:
		if ed25519.Verify(key, message, n.Signature) {
			return nil
		}
	}
	return fmt.Errorf("%w: its signature is not by its agent", errNotice)
}
