// Package port is the one TLS port for everything that orchestrators say to each
// other: Raft messages, snapshots, blobs and joining, told apart by the protocol
// that TLS negotiates.
//
// A [Port] accepts connections and hands each, once it is known which replica is
// at its other end, to the protocol's handler; and it dials replicas by their
// number, through a [Book] of addresses, and verifies that it reached that one.
//
// The accept loop does nothing but accept, and no peer can make it do more: a
// handshake runs in a goroutine of its own, within a time and in a bounded number
// of them, where the oldest gives way; and running out of file descriptors is
// waited out. What is said on a connection is none of this package's business.
package port
