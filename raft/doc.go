// Package raft is the replicated log: dragonboat orders the entries, and a state
// machine on every replica makes them records of an eventlog store.
//
// A [Node] is one replica. Raft's own log is synced before an append is
// acknowledged; the store follows by a deferred flush, one synced transaction
// for many entries, and after a crash Raft's log replays what was not flushed.
// That is sound only while Raft's log holds everything that it acknowledged, which
// a guard checks before the replica starts, by a sidecar beside the log.
//
// The package knows nothing of what events mean, and never imports the engine.
package raft
