package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrToken is wrapped by every error about the form of a join token.
var ErrToken = errors.New("join token is not valid")

const (
	tokenPrefix      = "qrt1"
	tokenSecretBytes = 32
)

// A Token lets one agent join. Only the hash of its secret is ever on record.
type Token struct {
	Secret string
	// Pin is the hash of the authority that the agent expects, see [CA.Pin].
	Pin string
}

// NewToken makes a token for the cluster of the pin, and the hash to record.
func NewToken(pin string) (token, hash string, err error) {
	if err := checkPart("pin", pin, sha256.Size); err != nil {
		return "", "", err
	}
	var b [tokenSecretBytes]byte
	rand.Read(b[:])
	t := Token{Secret: base64.RawURLEncoding.EncodeToString(b[:]), Pin: pin}
	return t.String(), t.Hash(), nil
}

// ParseToken reads the text of a token, qrt1.<pin>.<secret>.
func ParseToken(s string) (Token, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || parts[0] != tokenPrefix {
		return Token{}, fmt.Errorf("%w: want %s.PIN.SECRET", ErrToken, tokenPrefix)
	}
	if err := checkPart("pin", parts[1], sha256.Size); err != nil {
		return Token{}, err
	}
	if err := checkPart("secret", parts[2], tokenSecretBytes); err != nil {
		return Token{}, err
	}
	return Token{Pin: parts[1], Secret: parts[2]}, nil
}

// String is the token's text: a secret.
func (t Token) String() string { return tokenPrefix + "." + t.Pin + "." + t.Secret }

// Hash is how the log knows the token.
func (t Token) Hash() string { return HashSecret(t.Secret) }

// HashSecret is [Token.Hash] for who has only the secret part, as it arrives in
// wire.Enrol.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// checkPart demands the canonical base64url form of so many bytes. The text is
// not part of the error: it may be a secret.
func checkPart(name, s string, size int) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != size || base64.RawURLEncoding.EncodeToString(b) != s {
		return fmt.Errorf("%w: its %s is damaged", ErrToken, name)
	}
	return nil
}
