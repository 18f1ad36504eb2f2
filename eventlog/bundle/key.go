package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"quorate/internal/checkpoint"
)

const noteBytesMax = checkpoint.NoteBytesMax

// A Checkpoint is one that was signed, of a log's first Size records.
type Checkpoint = checkpoint.Checkpoint

// Trust is what somebody who checks a log knows of it from elsewhere. Without any of
// it a bundle, or a log, can only be checked against itself.
type Trust struct {
	// Key is what the cluster's signatures are verified with, as note.NewVerifier takes
	// it, or empty.
	Key string
	// CA is the certificate of the cluster's authority, or nil.
	CA *x509.Certificate
	// Checkpoints are signed notes that were kept outside of the cluster.
	Checkpoints [][]byte
}

// A key verifies checkpoints.
type key struct {
	text     string
	public   ed25519.PublicKey
	verifier note.Verifier
	cluster  string
	cert     *x509.Certificate // of the key, or nil
}

// parseKey reads what note.NewVerifier takes and a newline, of the key of a cluster.
func parseKey(line []byte, cluster string) (*key, error) {
	text, ok := strings.CutSuffix(string(line), "\n")
	if !ok {
		return nil, errors.New("it is no line")
	}
	k := &key{text: text, cluster: cluster}
	var err error
	if k.verifier, err = note.NewVerifier(text); err != nil {
		return nil, err
	}
	if want := checkpoint.OriginPrefix + cluster; k.verifier.Name() != want {
		return nil, fmt.Errorf("it is the key of %.80q, and not of %q", k.verifier.Name(), want)
	}
	// Behind the name are its hash, and in base64 the algorithm's number and the key.
	_, encoded, _ := strings.Cut(text[len(k.verifier.Name())+1:], "+")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return nil, errors.New("it is no Ed25519 key")
	}
	k.public = raw[1:]
	if again, err := note.NewEd25519VerifierKey(k.verifier.Name(), k.public); err != nil || again != text {
		return nil, errors.New("it is not in canonical form")
	}
	return k, nil
}

// open reads a note that the key alone signed.
func (k *key) open(signed []byte) (*Checkpoint, error) {
	c, err := checkpoint.Open(signed, k.verifier)
	if err != nil {
		return nil, err
	}
	n, err := note.Open(signed, note.VerifierList(k.verifier))
	if err != nil {
		return nil, err
	}
	sig := n.Sigs[0]
	raw, err := base64.StdEncoding.DecodeString(sig.Base64)
	if err != nil {
		return nil, err
	}
	again := fmt.Sprintf("%s\n— %s %s\n", n.Text, sig.Name, base64.StdEncoding.EncodeToString(raw))
	if len(n.Sigs) != 1 || len(n.UnverifiedSigs) > 0 || again != string(signed) {
		return nil, errors.New("it has more than one signature, or not in canonical form")
	}
	return c, nil
}

// certify reads the certificate of the key. Whose it is is for Trust to say.
func (k *key) certify(text []byte) error {
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 || block.Type != "CERTIFICATE" || !bytes.Equal(pem.EncodeToMemory(block), text) {
		return errors.New("it is no certificate in PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	public, _ := cert.PublicKey.(ed25519.PublicKey)
	if !k.public.Equal(public) {
		return errors.New("it is of another key")
	}
	if want := CertificateURI(k.cluster); cert.IsCA || len(cert.URIs) != 1 || cert.URIs[0].String() != want {
		return fmt.Errorf("it does not say that the key is of %s", want)
	}
	k.cert = cert
	return nil
}

// CertificateURI is what a certificate of the key that signs a cluster's log has as
// its only URI. Agents have certificates of the same authority, and of keys of their
// choosing: this is what tells them apart.
func CertificateURI(cluster string) string { return "quorate://" + cluster + "/log" }

// judge compares the key with what is known of it from elsewhere, and says whether
// that was anything.
func (t *Trust) judge(k *key) (trusted bool, err error) {
	if t.Key != "" {
		if k == nil {
			return false, &BadError{Reason: "nothing in it is signed, and so nothing shows that it is of the key that you named"}
		}
		if k.text != t.Key {
			return false, &BadError{Part: keyName, Reason: "it is signed with another key than the one that you named"}
		}
		trusted = true
	}
	if t.CA != nil {
		switch {
		case k == nil:
			return false, &BadError{Reason: "nothing in it is signed, and so nothing shows that it is of the authority that you named"}
		case k.cert == nil:
			return false, &BadError{Part: keyName, Reason: "no certificate shows that the key is of the authority that you named: name the key itself"}
		case t.CA.Subject.CommonName != k.cluster:
			return false, &BadError{Part: certName, Reason: "the authority that you named is of another cluster"}
		}
		if err := k.cert.CheckSignatureFrom(t.CA); err != nil {
			return false, &BadError{Part: certName, Reason: "the authority that you named has not certified the key: " + err.Error()}
		}
		trusted = true
	}
	return trusted, nil
}

// outside opens the checkpoints that were kept elsewhere, by ascending size.
func (t *Trust) outside(k *key) ([]Checkpoint, error) {
	var all []Checkpoint
	for i, signed := range t.Checkpoints {
		if k == nil {
			return nil, &BadError{Reason: "nothing in it is signed, and so it has no key to check your checkpoints with"}
		}
		c, err := k.open(signed)
		if err != nil {
			return nil, &BadError{Reason: fmt.Sprintf("your checkpoint %d is not signed with its key: %v", i+1, err)}
		}
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Checkpoint) int {
		switch {
		case a.Size < b.Size:
			return -1
		case a.Size > b.Size:
			return 1
		}
		return 0
	})
	return all, nil
}
