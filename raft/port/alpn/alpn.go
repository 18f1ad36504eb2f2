// Package alpn names the protocols that orchestrators speak to each other on
// their one TLS port, as TLS negotiates them. It holds nothing else, so that the
// certificates' package can name them without knowing of connections.
package alpn

// The protocols.
const (
	// Raft carries batches of Raft messages.
	Raft = "quorate-raft/1"
	// Snapshot carries the chunks of Raft's snapshots.
	Snapshot = "quorate-snapshot/1"
	// Blob carries copies of blobs.
	Blob = "quorate-blob/1"
	// Join is spoken by an orchestrator that is no member yet: it has a token and
	// no certificate.
	Join = "quorate-join/1"
)

// Peers are the protocols of members, who show a replica's certificate.
func Peers() []string { return []string{Raft, Snapshot, Blob} }
