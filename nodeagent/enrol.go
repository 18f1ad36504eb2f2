package nodeagent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"quorate/internal/pki"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

const enrolTimeout = 30 * time.Second

// A RefusedError says that the cluster refuses the agent. Trying again does not
// help as long as nobody changes something there.
type RefusedError struct {
	Code, Reason string
	// After is when to come again, or 0 where the cluster did not say.
	After time.Duration
}

func (e *RefusedError) Error() string {
	if e.Code == "" {
		return "the cluster refuses the agent: " + e.Reason
	}
	return fmt.Sprintf("the cluster refuses the agent (%s): %s", e.Code, e.Reason)
}

// afterMax bounds how long an agent lets itself be told to wait.
const afterMax = time.Hour

func refusedBy(m *wire.Refuse) *RefusedError {
	return &RefusedError{m.Code, m.Reason, min(time.Duration(m.AfterMillis)*time.Millisecond, afterMax)}
}

// join returns the agent's identity and its journal, and joins the cluster first
// where there is no identity yet.
func join(ctx context.Context, cfg *Config, boot string) (*identity, *journal.Journal, error) {
	dir := filepath.Join(cfg.DataDir, "journal")
	id, err := loadIdentity(cfg.DataDir, cfg.site != nil)
	if err == nil {
		if len(id.Servers)+len(cfg.Servers)+len(cfg.Relays) == 0 {
			return nil, nil, fmt.Errorf("%w: %s names none", ErrNoServers, filepath.Join(cfg.DataDir, fileInfo))
		}
		j, err := journal.Open(dir, boot)
		return id, j, err
	}
	if !errors.Is(err, errNoIdentity) {
		return nil, nil, err
	}
	if cfg.Token == "" {
		return nil, nil, fmt.Errorf("%w: a join token is needed for %s", errNoIdentity, cfg.DataDir)
	}
	if len(cfg.Servers)+len(cfg.Relays) == 0 {
		return nil, nil, fmt.Errorf("%w: one is needed to join", ErrNoServers)
	}
	token, err := pki.ParseToken(cfg.Token)
	if err != nil {
		return nil, nil, err
	}
	j, err := freshJournal(dir, boot)
	if err != nil {
		return nil, nil, err
	}
	key, err := loadOrCreateKey(cfg.DataDir)
	if err != nil {
		j.Close()
		return nil, nil, err
	}
	pub, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		j.Close()
		return nil, nil, fmt.Errorf("identity: %w", err)
	}
	request := wire.Enrol{Token: token.Secret, PublicKey: pub, Name: cfg.Name, Relay: cfg.site != nil}
	request.Hostname, _ = os.Hostname()
	if request.Name == "" {
		request.Name = request.Hostname
	}
	j.View(func(s *journal.State) { request.JournalID = s.JournalID })

	id, err = enrolUntil(ctx, cfg, token, &request)
	if err == nil {
		id.cert.PrivateKey = key
		err = id.save(cfg.DataDir)
	}
	if err != nil {
		j.Close()
		return nil, nil, err
	}
	cfg.Logger.Info("joined the cluster", "cluster", id.ClusterID, "agent", id.Agent, "name", id.Name)
	return id, j, nil
}

// freshJournal opens a journal that no identity has used yet. One of an identity
// that is gone is put aside: its attempts are another cluster's.
func freshJournal(dir, boot string) (*journal.Journal, error) {
	j, err := journal.Open(dir, boot)
	if err != nil {
		return nil, err
	}
	var pristine bool
	var id string
	j.View(func(s *journal.State) { pristine, id = s.Pristine(), s.JournalID })
	if pristine {
		return j, nil
	}
	if err := j.Close(); err != nil {
		return nil, err
	}
	if err := os.Rename(dir, dir+".of-"+id); err != nil {
		return nil, fmt.Errorf("journal of an earlier identity: %w", err)
	}
	return journal.Open(dir, boot)
}

// enrolUntil asks one orchestrator after the other until one answers. A refusal is
// final, but for that of an orchestrator that is busy, and so is it where all are of
// another cluster than the token.
func enrolUntil(ctx context.Context, cfg *Config, token pki.Token, request *wire.Enrol) (*identity, error) {
	site := newRelays(cfg.Relays, pki.SiteEnrolTLS(token.Pin), "token", cfg.sockets)
	direct := newServerList(nil, cfg.Servers).order("")
	var wait backoff
	addresses := slices.Concat(cfg.Relays, direct)
	silence := watchSilence(cfg.Logger, addresses[0])
	defer silence.Stop()
	for try := 0; ; try++ {
		// Relays first, and in turn with the orchestrators where both are named.
		if addresses = cfg.Relays; len(direct) > 0 && (try%2 == 1 || len(addresses) == 0) {
			addresses = direct
		}
		var id *identity
		err := tryEach(ctx, addresses, nil, func(ctx context.Context, address string, heard func()) (*link, error) {
			if site.has(address) {
				return site.tunnel(ctx, address, pki.EnrolTLS(token.Pin), handshakeTimeout)
			}
			l, err := cfg.sockets.dial(ctx, address, pki.EnrolTLS(token.Pin), heard)
			return l, foreign(err, address, "token")
		}, func(d dialled) (err error) {
			silence.Stop()
			id, err = enrolOver(ctx, d.link, token, request)
			return err
		})
		silence.Stop()
		if err == nil || final(err) || ctx.Err() != nil || allForeign(err) {
			return id, err
		}
		cfg.Logger.Warn("could not join the cluster yet", "server", addresses[0], "error", err)
		if !sleep(ctx, wait.after(err)) {
			return nil, ctx.Err()
		}
	}
}

// allForeign reports whether none of the orchestrators that were tried is of the
// agent's cluster.
func allForeign(err error) bool {
	errs := []error{err}
	var several *reachError
	if errors.As(err, &several) {
		errs = several.errs
	}
	for _, err := range errs {
		if !errors.As(err, new(*ForeignError)) {
			return false
		}
	}
	return true
}

func enrolOver(ctx context.Context, l *link, token pki.Token, request *wire.Enrol) (*identity, error) {
	defer l.close("joined")
	ctx, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	s, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := wire.WriteMessage(s, request); err != nil {
		return nil, err
	}
	m, err := wire.ReadFrom(s, wire.Orchestrator)
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *wire.Refuse:
		return nil, refusedBy(m)
	case *wire.Enrolled:
		if m.Error != "" {
			return nil, &RefusedError{Reason: m.Error}
		}
		return identityFrom(m, token, request)
	}
	return nil, fmt.Errorf("%w: %T answers a request to join", wire.ErrMalformed, m)
}

// identityFrom checks what the orchestrator made of the request.
func identityFrom(m *wire.Enrolled, token pki.Token, request *wire.Enrol) (*identity, error) {
	leaf, err := x509.ParseCertificate(m.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate from the cluster: %w", err)
	}
	ca, err := x509.ParseCertificate(m.CA)
	if err != nil {
		return nil, fmt.Errorf("authority from the cluster: %w", err)
	}
	if _, err := pki.PinnedCA([]*x509.Certificate{leaf, ca}, token.Pin); err != nil {
		return nil, err
	}
	shown, err := verifier(request.Relay)(leaf, ca)
	if err != nil {
		return nil, err
	}
	if shown.Agent != m.Agent || shown.ClusterID != m.ClusterID || string(leaf.RawSubjectPublicKeyInfo) != string(request.PublicKey) {
		return nil, fmt.Errorf("%w: it is not what was asked for", pki.ErrIdentity)
	}
	return &identity{
		Agent: m.Agent, Name: m.Name, ClusterID: m.ClusterID, ca: ca,
		cert: tls.Certificate{Certificate: [][]byte{m.Certificate}, Leaf: leaf},
	}, nil
}
