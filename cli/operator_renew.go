package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"quorate/engine/api"
	"quorate/internal/pki"
)

const (
	// renewWithin bounds what a command waits for its identity to be renewed.
	renewWithin = 5 * time.Second
	// renewWarning is how long before its end an identity that could not be renewed is
	// worth a warning.
	renewWarning = 7 * 24 * time.Hour
)

// keepIdentity renews the identity that a client uses when its end is near. The command
// goes on in any case: the one before still counts.
func (p *program) keepIdentity(client *api.Client, path string, cert *x509.Certificate, now time.Time) {
	if now.Before(pki.RenewFrom(cert)) || now.After(cert.NotAfter) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), renewWithin)
	defer cancel()
	issued, err := renewIdentity(ctx, client, path, 0)
	switch {
	case err == nil:
		p.con.note("the identity in %s was renewed, until %s", path, stamp(issued.ExpiresAt))
	case cert.NotAfter.Sub(now) < renewWarning:
		p.con.warn("the identity in %s ends at %s, and could not be renewed: %v", path, stamp(cert.NotAfter), err)
	}
}

// renewIdentity has a new key certified and puts the identity in the place of the one in
// the file, as a whole or not at all.
func renewIdentity(ctx context.Context, client *api.Client, path string, lifetimeSeconds int64) (*api.OperatorCertificate, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	text, err := regularFile(path)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	bundle, err := pki.ParseBundle(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := writable(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	key, err := pki.NewOperatorKey()
	if err != nil {
		return nil, err
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("identity's key: %w", err)
	}
	issued, err := client.RenewOperator(ctx, api.OperatorRenew{PublicKey: pub, LifetimeSeconds: lifetimeSeconds})
	if err != nil {
		return nil, err
	}
	renewed, err := pki.OperatorBundle(issued.Certificate, key, bundle.CA)
	if err != nil {
		return nil, err
	}
	if _, err := pki.ParseBundle(renewed); err != nil {
		return nil, fmt.Errorf("the renewed identity: %w", err)
	}
	return issued, pki.WriteFile(path, renewed, 0o600)
}

// regularFile reads a file that can be put back: a pipe cannot.
func regularFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file that could be written again", path)
	}
	return os.ReadFile(path)
}

// writable finds out whether files can be made in a directory: what is issued and cannot
// be kept is issued with each command again.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".writable.*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
