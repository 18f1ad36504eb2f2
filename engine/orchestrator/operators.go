package orchestrator

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/pki"
)

// CreateOperator issues an identity for the HTTPS API: a certificate, its key and
// the authority's certificate in PEM. It is returned this once, and only when it is
// on record: the log has the digest of the key. Another one for the same name
// leaves the earlier ones valid. A lifetime of 0 is [pki.OperatorLifetime].
func (o *Orchestrator) CreateOperator(ctx context.Context, name string, lifetime time.Duration, by string) (bundle []byte, expires time.Time, err error) {
	key, err := pki.NewOperatorKey()
	if err != nil {
		return nil, time.Time{}, operatorFault(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, time.Time{}, operatorFault(err)
	}
	der, expires, err := o.certify(ctx, pub, lifetime, &eventlog.OperatorIssued{Name: name, By: by})
	if err != nil {
		return nil, time.Time{}, err
	}
	if bundle, err = pki.OperatorBundle(der, key, o.cfg.CA.Certificate()); err != nil {
		return nil, time.Time{}, operatorFault(err)
	}
	return bundle, expires, nil
}

// RenewOperator certifies an operator's public key (PKIX), likewise, for who has shown a
// certificate of the name with the key of the digest renews.
func (o *Orchestrator) RenewOperator(ctx context.Context, name string, pub []byte, lifetime time.Duration, renews string) (der []byte, expires time.Time, err error) {
	return o.certify(ctx, pub, lifetime, &eventlog.OperatorIssued{Name: name, By: "operator:" + name, Renews: renews})
}

// certify issues a certificate and puts the event on record, whose key and end it fills in.
func (o *Orchestrator) certify(ctx context.Context, pub []byte, lifetime time.Duration, issued *eventlog.OperatorIssued) (der []byte, expires time.Time, err error) {
	der, err = o.cfg.CA.CertifyOperator(issued.Name, pub, lifetime)
	if errors.Is(err, pki.ErrIdentity) {
		message := strings.TrimPrefix(err.Error(), pki.ErrIdentity.Error()+": ")
		return nil, time.Time{}, &Error{Code: Invalid, Message: message, Err: err}
	}
	if err != nil {
		return nil, time.Time{}, operatorFault(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, time.Time{}, operatorFault(err)
	}
	expires = cert.NotAfter.UTC()
	issued.KeyDigest, issued.ExpiresAt = pki.KeyDigest(cert.RawSubjectPublicKeyInfo), expires.UnixNano()
	if _, err := o.propose(ctx, issued); err != nil {
		return nil, time.Time{}, err
	}
	return der, expires, nil
}

// RecordOperator puts an operator's certificate on record that was issued beside the log,
// or whose record a recovery has lost, so that it is listed, and ends when its name is
// revoked. It does nothing where the certificate is on record, and where its name was
// revoked since; so it does when that happens in the same moment, and returns a conflict.
// It waits until the cluster has a name and has had a leader.
func (o *Orchestrator) RecordOperator(ctx context.Context, cert *x509.Certificate, by string) error {
	name, err := pki.OperatorName(cert)
	if err != nil {
		return operatorFault(err)
	}
	if err := o.awaitCluster(ctx); err != nil {
		return err
	}
	if err := o.Barrier(ctx); err != nil {
		return err
	}
	digest := pki.KeyDigest(cert.RawSubjectPublicKeyInfo)
	known := false
	o.View(func(s *engine.State) {
		known = s.OperatorRevocation(name, digest) != nil ||
			s.Operators[name] != nil && slices.ContainsFunc(s.Operators[name].Certificates(0), func(k engine.OperatorKey) bool { return k.KeyDigest == digest })
	})
	if known {
		return nil
	}
	// It renews itself, as it were: void where it is revoked by then.
	_, err = o.propose(ctx, &eventlog.OperatorIssued{Name: name, By: by, KeyDigest: digest, ExpiresAt: cert.NotAfter.UnixNano(), Renews: digest})
	return err
}

// awaitCluster blocks until the cluster is on record, which comes first in its log.
func (o *Orchestrator) awaitCluster(ctx context.Context) error {
	for {
		_, news := o.folded.watch()
		there := false
		o.View(func(s *engine.State) { there = s.ClusterID != "" && s.Epoch != 0 })
		if there {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// RevokeOperator ends the right of all certificates that were issued for a name. One that
// is issued later counts again. A name that is on no record, which a recovery may have
// lost, is revoked only by force.
func (o *Orchestrator) RevokeOperator(ctx context.Context, name string, change Change, force bool) error {
	if err := checkRequestID(change.RequestID); err != nil {
		return err
	}
	if o.repeated(change.RequestID) {
		return nil
	}
	if err := checkReason(change.Reason, true); err != nil {
		return err
	}
	err := o.fresh(ctx, func() (err error) {
		o.View(func(s *engine.State) {
			if s.Operators[name] == nil && !force {
				err = &Error{
					Code: NotFound, Message: fmt.Sprintf("no operator %.80q", name),
					Hint: `"quorate operator ls" lists them; --force revokes one whose identity is on no record, such as one from before a recovery`,
				}
			}
		})
		return err
	})
	if err != nil {
		return err
	}
	_, err = o.propose(ctx, &eventlog.OperatorRevoked{Name: name, By: change.By, Reason: change.Reason, RequestID: change.RequestID})
	return o.forgiveRepeat(err, change.RequestID)
}

func operatorFault(err error) error {
	return &Error{Code: Internal, Message: "operator identity: " + err.Error(), Err: err}
}
