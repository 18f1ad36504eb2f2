package orchestrator

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"quorate/eventlog"
	"quorate/internal/pki"
)

// CreateOperator issues an identity for the HTTPS API: a certificate, its key and
// the authority's certificate in PEM. It is returned this once, and only when it is
// on record: the log has the digest of the key. Another one for the same name
// leaves the earlier ones valid.
func (o *Orchestrator) CreateOperator(ctx context.Context, name, by string) (bundle []byte, expires time.Time, err error) {
	bundle, err = o.cfg.CA.IssueOperator(name)
	if errors.Is(err, pki.ErrIdentity) {
		message := strings.TrimPrefix(err.Error(), pki.ErrIdentity.Error()+": ")
		return nil, time.Time{}, &Error{Code: Invalid, Message: message, Err: err}
	}
	if err != nil {
		return nil, time.Time{}, operatorFault(err)
	}
	parsed, err := pki.ParseBundle(bundle)
	if err != nil {
		return nil, time.Time{}, operatorFault(err)
	}
	cert := parsed.Certificate.Leaf
	key, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		return nil, time.Time{}, operatorFault(err)
	}
	expires = cert.NotAfter.UTC()
	_, err = o.propose(ctx, &eventlog.OperatorIssued{
		Name: name, KeyDigest: pki.KeyDigest(key), By: by, ExpiresAt: expires.UnixNano(),
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return bundle, expires, nil
}

func operatorFault(err error) error {
	return &Error{Code: Internal, Message: "operator identity: " + err.Error(), Err: err}
}
