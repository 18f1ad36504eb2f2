package raft

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/statemachine"

	"quorate/eventlog"
)

// readyTimeout bounds one linearizable read while a replica starts.
const readyTimeout = 500 * time.Millisecond

// A Node is one replica of the log. It is safe for concurrent use.
type Node struct {
	cfg     Config
	store   *eventlog.Store
	machine *machine
	host    *dragonboat.NodeHost
	leader  *leadership
	appends *aggregator

	running sync.WaitGroup
	closing sync.Once
	closed  error
}

// Start starts a replica, and returns when this replica has applied everything
// that was acknowledged before; ctx bounds the start and nothing else. Errors
// wrap [ErrNotBootstrapped], [ErrBehind], [ErrHostname], [ErrDamaged],
// [eventlog.ErrInUse], or are a [*eventlog.CorruptError].
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.normalize(); err != nil {
		return nil, err
	}
	if err := cfg.prepare(); err != nil {
		return nil, err
	}
	useLogger(cfg.Logger)
	store, err := eventlog.OpenStore(cfg.storePath(), eventlog.StoreOptions{})
	if err != nil {
		return nil, err
	}
	m, err := newMachine(store, cfg.Logger)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	n := &Node{cfg: cfg, store: store, machine: m, leader: newLeadership(cfg.Replica)}
	if err := n.startHost(); err != nil {
		return nil, errors.Join(fmt.Errorf("raft in %s: %w", cfg.DataDir, err), m.Close(), store.Close())
	}
	var id [8]byte
	rand.Read(id[:]) // never fails
	n.appends = newAggregator(binary.BigEndian.Uint64(id[:]), tryHost(n.host, n.host.GetNoOPSession(controlShard)))
	n.running.Go(n.appends.run)
	if err := n.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("raft start: %w", err), n.Close())
	}
	return n, nil
}

// startHost starts the library behind the guard. Panics are the library's way to
// report damaged files (D3, D14).
func (n *Node) startHost() (err error) {
	defer func() {
		if p := recover(); p != nil {
			cause, ok := p.(error)
			if !ok {
				cause = fmt.Errorf("%v", p)
			}
			err = damaged(cause)
		}
	}()
	g := &guard{
		replica: n.cfg.Replica, bootstrap: n.cfg.Bootstrap,
		applied: n.store.Applied(), head: n.store.Head().Index,
	}
	host, err := dragonboat.NewNodeHost(n.cfg.nodeHost(g, n.leader))
	if err != nil {
		return err
	}
	members := map[uint64]dragonboat.Target{n.cfg.Replica: n.cfg.address()}
	if g.known {
		members = nil // a restart takes them from its own files
	}
	create := func(uint64, uint64) statemachine.IOnDiskStateMachine { return n.machine }
	if err := host.StartOnDiskReplica(members, false, create, n.cfg.replica()); err != nil {
		host.Close()
		return err
	}
	n.host = host
	return nil
}

// ready waits for a leader, and for a linearizable read: it returns when all that
// was committed at its beginning is applied here.
func (n *Node) ready(ctx context.Context) error {
	for {
		known, changed := n.leader.known()
		if !known {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		request, err := n.host.ReadIndex(controlShard, readyTimeout)
		if err == nil {
			result := <-request.ResultC()
			request.Release()
			if result.Completed() {
				return nil
			}
		} else if errors.Is(err, dragonboat.ErrClosed) || errors.Is(err, dragonboat.ErrShardClosed) {
			return err
		}
		pause := time.NewTimer(rttMillis * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// Append makes the entries durable on a majority, next to each other and in
// order, and returns the index of the first. Errors that wrap
// [eventlog.ErrRefused] or [eventlog.ErrFull] mean that they are not in the log;
// after any other they may be, now or later.
func (n *Node) Append(ctx context.Context, entries []eventlog.Entry) (uint64, error) {
	if err := eventlog.CheckBatch(entries); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	if err := n.machine.healthy(); err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	first, err := n.appends.append(ctx, cloneEntries(entries))
	if err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	return first, nil
}

// cloneEntries copies the entries: they are proposed, maybe again, after a caller
// whose ctx ended has its buffers back.
func cloneEntries(entries []eventlog.Entry) []eventlog.Entry {
	own := make([]eventlog.Entry, len(entries))
	for i, e := range entries {
		own[i] = e
		own[i].Data = append([]byte(nil), e.Data...)
	}
	return own
}

// Read returns up to limit records applied on this replica, from the index on; a
// page may be shorter, and is empty only where the log ends before.
func (n *Node) Read(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if err := n.machine.tail.Err(); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return eventlog.ReadMerged(n.store, n.machine.tail, from, limit)
}

// Wait blocks until this replica has applied a record at the index, or ctx ends,
// or the node is closed.
func (n *Node) Wait(ctx context.Context, index uint64) error {
	if err := n.machine.tail.Wait(ctx, index); err != nil {
		return fmt.Errorf("wait for record %d: %w", index, err)
	}
	return nil
}

// Barrier returns when everything that was committed before the call is applied
// on this replica. It waits for a leader as long as ctx allows.
func (n *Node) Barrier(ctx context.Context) error {
	if err := n.ready(ctx); err != nil {
		return fmt.Errorf("barrier: %w", err)
	}
	return nil
}

// Head returns the index and the chain hash of the last record applied here.
func (n *Node) Head() (uint64, eventlog.Hash) {
	h := n.machine.tail.Head()
	return h.Index, h.Hash
}

// Leading reports whether this replica leads, and in which term. Changed is
// closed at the next change.
func (n *Node) Leading() (term uint64, leading bool, changed <-chan struct{}) {
	return n.leader.leading()
}

// Replica returns this replica's number.
func (n *Node) Replica() uint64 { return n.cfg.Replica }

// ClusterID returns the id in the log's ClusterCreated, or nothing before it.
func (n *Node) ClusterID() string { return n.store.ClusterID() }

// Close stops the replica and stores what it applied. Appends that wait get
// [eventlog.ErrClosed]; what they proposed may be in the log.
func (n *Node) Close() error {
	n.closing.Do(func() {
		close(n.appends.stop)
		n.host.Close() // ends the proposals in flight, and closes the machine
		n.running.Wait()
		n.machine.tail.Close(eventlog.ErrClosed)
		n.closed = errors.Join(n.machine.Close(), n.store.Close())
	})
	return n.closed
}
