package denial

import (
	"errors"

	"quorate/internal/pki"
)

// A Reason is why somebody was refused, in a word. It is an error, so that one that wraps
// it tells that it is a refusal.
type Reason string

// The reasons.
const (
	NoCertificate      Reason = "no-certificate"      // none was shown
	UnknownCertificate Reason = "unknown-certificate" // it is not of this cluster, or on no record
	Expired            Reason = "expired"             // it is not in force
	WrongRole          Reason = "wrong-role"          // it is for something else
	Revoked            Reason = "revoked"             // an operator has ended its right
	Quarantined        Reason = "quarantined"         // the agent's journal was lost, cloned or rolled back
	Removed            Reason = "removed"             // an orchestrator that is no member any more
	NoRight            Reason = "no-right"            // the caller is known, and may not do this
	UnknownToken       Reason = "unknown-token"       // it is not one of this cluster's
	SpentToken         Reason = "spent-token"
	ExpiredToken       Reason = "expired-token"
	WrongToken         Reason = "wrong-token"      // it is for another role
	Guesses            Reason = "too-many-guesses" // of tokens, lately
	Protocol           Reason = "unknown-protocol" // nothing that is spoken here
)

// Error implements error.
func (r Reason) Error() string { return string(r) }

// Of is the reason that an error of a TLS handshake or of a request tells, or "" where it
// is about something else than a right.
func Of(err error) Reason {
	var r Reason
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, pki.ErrNoCertificate):
		return NoCertificate
	case errors.Is(err, pki.ErrExpired):
		return Expired
	case errors.Is(err, pki.ErrRole):
		return WrongRole
	case errors.Is(err, pki.ErrProtocol):
		return Protocol
	case errors.Is(err, pki.ErrIdentity):
		return UnknownCertificate
	}
	return ""
}
