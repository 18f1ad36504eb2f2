package gateway

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"quorate/engine/denial"
	"quorate/internal/admission"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// The entries where a gateway refuses, as they go on record.
const (
	entryAgents    = "agents"
	entryRelays    = "relays"
	entryEnrolment = "enrolment"
)

// entryOf is which entry a client wants that names these protocols. What is none of them
// knocks at the agents' port.
func entryOf(protocols []string) string {
	switch {
	case slices.ContainsFunc(protocols, wire.ForRelay):
		return entryRelays
	case slices.Contains(protocols, wire.ALPNEnrol):
		return entryEnrolment
	}
	return entryAgents
}

// strangersMax bounds how many addresses are logged in a minute whose protocol is not served.
const strangersMax = 10

// observed has told whom the endpoint refuses while they shake hands; relay is the number
// of the relay that they come through, or 0.
func (g *gateway) observed(c *tls.Config, relay uint64) *tls.Config {
	return pki.Observed(c, func(r pki.Refusal) {
		if errors.Is(r.Err, pki.ErrProtocol) && g.strangers.allow(admission.AddressOf(r.Address), time.Now()) {
			g.logger.Warn("an agent or relay speaks a protocol that is not served here: upgrade the orchestrators first, and agents that are older than by one version",
				"address", hostOf(r.Address), "relay", relay, "error", clip(r.Err.Error(), textBytesMax))
		}
		g.o.Denied(denial.Denial{
			Entry: entryOf(r.Protocols), Caller: r.Shown.Caller(), Claimed: true, Reason: denial.Of(r.Err), Address: hostOf(r.Address), Relay: relay,
		})
	}, g.o.CA().Certificate())
}

// hostOf is an address without its port.
func hostOf(addr net.Addr) string {
	if ip := admission.AddressOf(addr); ip.IsValid() {
		return ip.String()
	}
	return ""
}

// deniedAgent tells that an agent or a relay was refused where that is for want of a
// right: one that is to wait, or to come again, is not.
func (g *gateway) deniedAgent(c *connection, id uint64, why error) {
	var refused *refusal
	if !errors.As(why, &refused) {
		return
	}
	reason := map[string]denial.Reason{
		"unknown-agent": denial.UnknownCertificate, "revoked": denial.Revoked, "quarantined": denial.Quarantined,
	}[refused.code]
	if reason == "" {
		return
	}
	d := denial.Denial{Entry: entryAgents, Reason: reason, Address: c.address().String(), Relay: c.via()}
	if c.relays() {
		d.Entry = entryRelays
	}
	if id != 0 {
		role := pki.RoleAgent
		if c.relays() {
			role = pki.RoleRelay
		}
		d.Caller = string(role) + ":" + strconv.FormatUint(id, 10)
	}
	g.o.Denied(d)
}

// deniedEnrolment tells that somebody without a token that counts wanted to enrol.
func (g *gateway) deniedEnrolment(c *connection, reason denial.Reason) {
	if reason != "" {
		g.o.Denied(denial.Denial{Entry: entryEnrolment, Reason: reason, Address: c.address().String(), Relay: c.via()})
	}
}
