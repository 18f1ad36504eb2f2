package wire

import (
	"io"
	"slices"
)

// A Protocol is a version of what agents and orchestrators say to each other. It grows
// when messages change so that an earlier peer would misread them. Orchestrators serve
// [Newest] and [Previous], and are upgraded first; an agent speaks its own alone. What
// the previous one does not know is left out towards its agents, see previous.go.
type Protocol uint8

// The protocols that orchestrators serve.
const (
	Previous Protocol = 6
	Newest   Protocol = 7
)

// ALPN names of the protocols on the agents' port, of which [ALPNAgent] and [ALPNRelay]
// are those of [Newest].
const (
	ALPNAgent         = "quorate-agent/7"
	alpnAgentPrevious = "quorate-agent/6"
	ALPNEnrol         = "quorate-enrol/1"
	// ALPNRelay is what a site's relay speaks to an orchestrator: what agents do, and
	// streams that begin with a [Tunnel].
	ALPNRelay         = "quorate-relay/2"
	alpnRelayPrevious = "quorate-relay/1"
	// ALPNSite and ALPNSiteEnrol are what agents speak to their site's relay: each
	// stream begins with a [Tunnel] or, with the first one, a [BlobRequest].
	ALPNSite      = "quorate-site/1"
	ALPNSiteEnrol = "quorate-site-enrol/1"
)

// ALPNAgents are the names by which agents may ask to be served, the newest first.
func ALPNAgents() []string { return []string{ALPNAgent, alpnAgentPrevious} }

// ALPNRelays are those of relays.
func ALPNRelays() []string { return []string{ALPNRelay, alpnRelayPrevious} }

// ProtocolOf returns the protocol that was agreed on by an ALPN name, or 0 for a name that
// is none of an agent or a relay.
func ProtocolOf(alpn string) Protocol {
	switch alpn {
	case ALPNAgent, ALPNRelay:
		return Newest
	case alpnAgentPrevious, alpnRelayPrevious:
		return Previous
	}
	return 0
}

// ForRelay reports whether the name is by which a relay speaks to an orchestrator.
func ForRelay(alpn string) bool { return slices.Contains(ALPNRelays(), alpn) }

// Receive is [ReadFrom] for a peer that speaks the protocol: what comes is as in the
// newest one, with what the peer's does not know left zero.
func (p Protocol) Receive(r io.Reader, side Side) (Message, error) {
	m, _, err := read(r, p, side, false)
	return m, err
}

// NewReader is [NewReader] for a peer that speaks the protocol.
func (p Protocol) NewReader(r io.Reader, side Side) *Reader {
	return &Reader{r: r, side: side, protocol: p}
}

// NewWriter is [NewWriter] for a peer that speaks the protocol: what that does not know
// of a message is left out.
func (p Protocol) NewWriter(w io.Writer) *Writer { return &Writer{w: w, protocol: p} }
