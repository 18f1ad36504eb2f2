package raft

import (
	"errors"
	"sync"
)

// ErrRemoved is wrapped where this replica is no longer a member of the cluster.
// Its number is never used again: the host joins anew with an empty directory.
var ErrRemoved = errors.New("this orchestrator was removed from the cluster")

// An ending is why a replica stopped by itself, once.
type ending struct {
	once sync.Once
	done chan struct{}
	err  error // set before done is closed
}

func newEnding() *ending { return &ending{done: make(chan struct{})} }

func (e *ending) end(err error) {
	e.once.Do(func() {
		e.err = err
		close(e.done)
	})
}

// reason is the error of end, or nil before it.
func (e *ending) reason() error {
	select {
	case <-e.done:
		return e.err
	default:
		return nil
	}
}

// Done is closed when the replica stopped by itself; Err says why. What waits is
// answered, nothing is appended any more, and Close is still to be called.
func (n *Node) Done() <-chan struct{} { return n.ending.done }

// Err returns why the replica stopped by itself, or nil while it runs: it wraps
// [ErrRemoved], or says what was found wrong with its files.
func (n *Node) Err() error { return n.ending.reason() }

// abandon ends the replica for a reason, and takes it out of Raft: it neither
// votes nor acknowledges any more. It returns at once, so that the library's own
// goroutines may call it.
func (n *Node) abandon(err error) {
	n.ending.end(err)
	n.leader.lost()
	n.running.Go(n.stopReplica)
}

// stopReplica takes the replica out of the library, which may have done so itself.
func (n *Node) stopReplica() {
	if n.host != nil {
		_ = n.host.StopShard(controlShard) // it is closed, or was never started
	}
}
