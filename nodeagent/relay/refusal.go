package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"quorate/internal/admission"
	"quorate/internal/pki"
)

const (
	// toldEvery is how often at most it is told that connections are refused for one reason.
	toldEvery = time.Minute
	// addressesMax are named of where they came from.
	addressesMax = 4
)

// refusals tell the operator whom the relay itself refuses, whoever hammers at its port:
// the first at once, and then how many there were.
type refusals struct {
	log *slog.Logger

	mu sync.Mutex
	of map[string]*refused // by the reason, of which there are few
}

// A refused is what is to be told of a reason.
type refused struct {
	times     int
	addresses []string
	told      time.Time
}

func newRefusals(log *slog.Logger) *refusals { return &refusals{log: log, of: map[string]*refused{}} }

// note counts a connection that was refused.
func (r *refusals) note(reason string, from net.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have := r.of[reason]
	if have == nil {
		have = &refused{}
		r.of[reason] = have
	}
	have.times++
	if address := admission.AddressOf(from).String(); len(have.addresses) < addressesMax && !slices.Contains(have.addresses, address) {
		have.addresses = append(have.addresses, address)
	}
	r.tell(reason, have)
}

// tell logs what is counted where that is due. It is called under mu.
func (r *refusals) tell(reason string, have *refused) {
	now := time.Now()
	if have.times == 0 || !have.told.IsZero() && now.Sub(have.told) < toldEvery {
		return
	}
	r.log.Warn("connections at this relay are refused", "reason", reason, "times", have.times, "addresses", have.addresses)
	*have = refused{told: now}
}

// run tells what is counted until ctx ends.
func (r *refusals) run(ctx context.Context) {
	for sleep(ctx, toldEvery) {
		r.mu.Lock()
		for reason, have := range r.of {
			r.tell(reason, have)
		}
		r.mu.Unlock()
	}
}

// shaking notes who is refused while it shakes hands.
func (r *refusals) shaking(refusal pki.Refusal) {
	reason := "the certificate is none of this cluster's"
	for _, known := range []struct {
		err  error
		text string
	}{
		{pki.ErrNoCertificate, "no certificate was shown"},
		{pki.ErrExpired, "the certificate is not in force"},
		{pki.ErrRole, "the certificate is not an agent's"},
		{pki.ErrProtocol, "the protocol is not known here: it is of another version, or no agent"},
	} {
		if errors.Is(refusal.Err, known.err) {
			reason = known.text
			break
		}
	}
	r.note(reason, refusal.Address)
}
