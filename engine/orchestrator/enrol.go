package orchestrator

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"

	"quorate/engine"
	"quorate/engine/denial"
	"quorate/eventlog"
	"quorate/internal/pki"
)

// Bounds of what an enrolling agent may claim, in bytes.
const (
	publicKeyBytesMax = 1024
	journalIDBytesMax = 128
	hostnameBytesMax  = 253
)

// An EnrolRequest is what an agent shows to get an identity. Nothing in it is
// trusted but that the sender knows the token's secret.
type EnrolRequest struct {
	Secret    string
	PublicKey []byte // PKIX
	Name      string // counts only where the token has none
	JournalID string
	Hostname  string
	Relay     bool // it is a relay that asks
}

// An Enrolment is an agent's new identity.
type Enrolment struct {
	Agent       uint64
	Name        string
	Pending     bool   // an operator has to approve the agent first
	Certificate []byte // DER
}

// Enrol spends a token. An agent that lost the answer may ask again with the
// same key and gets the same identity.
func (o *Orchestrator) Enrol(ctx context.Context, req EnrolRequest) (*Enrolment, error) {
	if err := checkEnrol(req); err != nil {
		return nil, err
	}
	hash, key := pki.HashSecret(req.Secret), pki.KeyDigest(req.PublicKey)
	var agent uint64
	var name string
	err := o.fresh(ctx, func() (err error) {
		agent, name, err = o.admit(hash, key, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	if agent == 0 {
		agent, err = o.propose(ctx, &eventlog.AgentEnrolled{
			TokenHash: hash, Name: name, KeyDigest: key, JournalID: req.JournalID, Hostname: req.Hostname,
		})
		if isVoid(err) {
			o.View(func(s *engine.State) {
				if a, again := s.Enrolled(hash, key); again { // an earlier append of it has landed
					agent, err = a.ID, nil
				}
			})
		}
		if err != nil {
			return nil, err
		}
	}
	out := &Enrolment{Agent: agent}
	o.View(func(s *engine.State) {
		if a := s.Agent(agent); a != nil {
			out.Name, out.Pending = a.Name, a.Pending
		}
	})
	issue := o.cfg.CA.IssueAgent
	if req.Relay {
		issue = o.cfg.CA.IssueRelay
	}
	if out.Certificate, err = issue(req.PublicKey, agent); err != nil {
		return nil, &Error{Code: Internal, Message: "certificate: " + err.Error(), Err: err}
	}
	return out, nil
}

// admit checks the token and returns the agent that has spent it already with
// the same key, or the name that a new one is to have.
func (o *Orchestrator) admit(hash, key string, req EnrolRequest) (agent uint64, name string, err error) {
	now := o.cfg.Now().UnixNano()
	o.View(func(s *engine.State) {
		token := s.Tokens[hash]
		if token == nil {
			err = &Error{Code: Unauthorized, Message: "the token is not one of this cluster's", Err: denial.UnknownToken}
			return
		}
		if err = rightToken(token.Role, req.Relay); err != nil {
			return
		}
		if a, again := s.Enrolled(hash, key); again {
			agent, name = a.ID, a.Name
			return
		}
		if token.SpentBy != 0 {
			err = &Error{Code: Unauthorized, Message: "the token has been used", Err: denial.SpentToken}
			return
		}
		if token.Expired(now) {
			err = &Error{Code: Unauthorized, Message: "the token has expired", Err: denial.ExpiredToken}
			return
		}
		name = token.Name
		if name == "" {
			name = req.Name
		}
	})
	if err == nil && agent == 0 {
		err = checkName("agent name", name)
	}
	return agent, name, err
}

// rightToken refuses a token that is for somebody else: it would be spent in vain.
func rightToken(role string, relay bool) error {
	switch {
	case relay && role != engine.RelayRole:
		return &Error{Code: Unauthorized, Message: "the token is for an " + role + "; \"quorate token create --role relay --name SITE\" makes one for a relay", Err: denial.WrongToken}
	case !relay && role == engine.RelayRole:
		return &Error{Code: Unauthorized, Message: "the token is for a relay, which \"quorate relay\" runs; \"quorate token create\" makes one for an agent", Err: denial.WrongToken}
	case !relay && role != "agent":
		return &Error{Code: Unauthorized, Message: "the token is for an " + role + ", which joins otherwise; \"quorate token create\" makes one for an agent", Err: denial.WrongToken}
	}
	return nil
}

func checkEnrol(req EnrolRequest) error {
	switch {
	case req.Secret == "" || len(req.Secret) > requestIDBytesMax:
		return &Error{Code: Unauthorized, Message: "a token is needed", Err: denial.UnknownToken}
	case req.JournalID == "" || len(req.JournalID) > journalIDBytesMax:
		return invalid("journal id: want 1 to %d characters", journalIDBytesMax)
	case len(req.Hostname) > hostnameBytesMax:
		return invalid("host name: more than %d characters", hostnameBytesMax)
	case len(req.PublicKey) > publicKeyBytesMax:
		return invalid("public key: more than %d bytes", publicKeyBytesMax)
	}
	key, err := x509.ParsePKIXPublicKey(req.PublicKey)
	if err != nil {
		return invalid("public key: %v", err)
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return invalid("public key: want ECDSA on P-256 or Ed25519")
}
