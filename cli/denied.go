package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"

	"quorate/engine/denial"
	"quorate/internal/pki"
	"quorate/raft/port"
	"quorate/raft/port/alpn"
)

// The entries beside those of the gateway and the API's routes, as they go on record.
const (
	entryAPI           = "api"
	entryOrchestrators = "orchestrators"
	entryJoin          = "join"
)

// entryOf is which entry a client wants that names these protocols, or the other one.
func entryOf(protocols []string, other string) string {
	switch {
	case slices.Contains(protocols, port.Join):
		return entryJoin
	case slices.ContainsFunc(alpn.Peers(), func(p string) bool { return slices.Contains(protocols, p) }):
		return entryOrchestrators
	}
	return other
}

// observed has told whom an endpoint of this node refuses while they shake hands. The
// entry is of who names no protocol of orchestrators.
func (n *node) observed(c *tls.Config, entry string, authorities ...*x509.Certificate) *tls.Config {
	return pki.Observed(c, func(r pki.Refusal) {
		n.denials.Note(denial.Denial{
			Entry: entryOf(r.Protocols, entry), Caller: r.Shown.Caller(), Claimed: true, Reason: denial.Of(r.Err), Address: hostOf(r.Address),
		})
	}, authorities...)
}

// deniedJoin tells that somebody without a token that counts wanted to join.
func (n *node) deniedJoin(conn net.Conn, err error) {
	if reason := denial.Of(err); reason != "" {
		n.denials.Note(denial.Denial{Entry: entryJoin, Reason: reason, Address: hostOf(conn.RemoteAddr())})
	}
}

// deniedPeer tells that an orchestrator which is no member any more was turned away; the
// address is nil where it is not known.
func (n *node) deniedPeer(replica uint64, remote net.Addr) {
	d := denial.Denial{Entry: entryOrchestrators, Caller: fmt.Sprintf("orchestrator:%d", replica), Reason: denial.Removed}
	if remote != nil {
		d.Address = hostOf(remote)
	}
	n.denials.Note(d)
}

// hostOf is an address without its port.
func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	return host
}
