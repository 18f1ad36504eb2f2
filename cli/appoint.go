package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/internal/pki"
)

// operatorFile is the first operator's certificate and key, in the data directory.
const operatorFile = "operator.pem"

func (n *node) operatorPath() string { return filepath.Join(n.cfg.dir, operatorFile) }

// adminName is the operator whose identity each data directory holds.
const adminName = "admin"

// writeOperator leaves an identity for the first operator: without one nobody
// could use the API but from this machine. It is put on record when there is a leader.
func writeOperator(ca *pki.CA, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	bundle, err := ca.IssueOperator(adminName, 0)
	if err != nil {
		return fmt.Errorf("operator identity: %w", err)
	}
	return pki.WriteFile(path, bundle, 0o600)
}

const (
	// appointPause is how long is waited before it is tried again to have an identity
	// for this node's operator put on record.
	appointPause = time.Second
	// writePause is how long is waited before it is tried again to write it.
	writePause = 10 * time.Second
	// appointEvery is how often it is looked whether the end of the one there is near.
	appointEvery = time.Hour
)

// appoint is writeOperator for a member of a cluster, and renews the identity in time. It
// ends with ctx.
func (n *node) appoint(ctx context.Context) error {
	a := appointment{wanted: missing(n.operatorPath()), unlisted: true}
	for {
		pause := n.appointOnce(ctx, &a)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// An appointment is how far the identity of this node's operator is.
type appointment struct {
	wanted   bool
	issued   []byte // what is not written yet
	unlisted bool   // whether what is written is on record was not looked at yet
}

// appointOnce does what can be done now, and returns when to look again. An identity is
// on record before it is written, which takes a majority; what there is no room for is
// written later.
func (n *node) appointOnce(ctx context.Context, a *appointment) (pause time.Duration) {
	if a.unlisted && !a.wanted {
		if a.unlisted = !n.enlist(ctx); a.unlisted {
			return appointPause
		}
	}
	a.wanted = a.wanted || n.renewalDue(time.Now())
	if !a.wanted {
		return appointEvery
	}
	if a.issued == nil {
		bundle, _, err := n.orch.CreateOperator(ctx, adminName, 0, fmt.Sprintf("orchestrator:%d", n.member.Replica))
		if err != nil {
			return appointPause
		}
		a.issued = bundle
	}
	if err := pki.WriteFile(n.operatorPath(), a.issued, 0o600); err != nil {
		n.cfg.logger.Warn("the operator's identity was not written; trying again", "error", err)
		return writePause
	}
	*a = appointment{}
	return appointEvery
}

// enlist puts the identity in the data directory on record where it is not, and reports
// whether it need not be tried again: one that was written before there was a log, by an
// earlier version, or before a recovery could not be listed, or revoked like others.
func (n *node) enlist(ctx context.Context) bool {
	bundle, err := operatorBundle(n.operatorPath())
	if err != nil {
		return true
	}
	cert := bundle.Certificate.Leaf
	name, err := pki.OperatorName(cert)
	if err != nil || name != adminName || cert.CheckSignatureFrom(n.orch.CA().Certificate()) != nil || time.Now().After(cert.NotAfter) {
		return true
	}
	err = n.orch.RecordOperator(ctx, cert, fmt.Sprintf("orchestrator:%d", n.member.Replica))
	var failed *orchestrator.Error
	return err == nil || errors.As(err, &failed) && failed.Code == orchestrator.Conflict
}

// renewalDue reports whether the identity in the data directory is to be renewed. One
// whose operator was revoked is not: that was somebody's will.
func (n *node) renewalDue(now time.Time) bool {
	bundle, err := operatorBundle(n.operatorPath())
	if err != nil {
		return false // whoever took it away, or put something else there, knows why
	}
	cert := bundle.Certificate.Leaf
	if name, err := pki.OperatorName(cert); err != nil || name != adminName || now.Before(pki.RenewFrom(cert)) {
		return false
	}
	revoked := false
	n.orch.View(func(s *engine.State) {
		revoked = s.OperatorRevocation(adminName, pki.KeyDigest(cert.RawSubjectPublicKeyInfo)) != nil
	})
	return !revoked
}
