package raft

import (
	"context"
	"errors"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
)

// closedTransport is the transport of a cluster of one: it opens no socket. The
// library's own would listen without authentication (D5 to D8 of the traps).
type closedTransport struct{}

var errNoPeers = errors.New("a cluster of one has no peers")

// Create implements config.TransportFactory.
func (closedTransport) Create(config.NodeHostConfig, raftio.MessageHandler, raftio.ChunkHandler) raftio.ITransport {
	return closedTransport{}
}

// Validate implements config.TransportFactory; addresses are symbols.
func (closedTransport) Validate(address string) bool { return address != "" }

// Name implements raftio.ITransport.
func (closedTransport) Name() string { return "closed" }

// Start implements raftio.ITransport.
func (closedTransport) Start() error { return nil }

// Close implements raftio.ITransport.
func (closedTransport) Close() error { return nil }

// GetConnection implements raftio.ITransport.
func (closedTransport) GetConnection(context.Context, string) (raftio.IConnection, error) {
	return nil, errNoPeers
}

// GetSnapshotConnection implements raftio.ITransport.
func (closedTransport) GetSnapshotConnection(context.Context, string) (raftio.ISnapshotConnection, error) {
	return nil, errNoPeers
}
