package raft

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"
	"github.com/lni/dragonboat/v4/statemachine"

	"quorate/eventlog"
)

// readyGrace is how long a replica with peers waits for a majority when it starts.
const readyGrace = 2 * time.Second

// A Node is one replica of the log. It is safe for concurrent use.
type Node struct {
	cfg     Config
	store   *eventlog.Store
	machine *machine
	host    *dragonboat.NodeHost
	session *client.Session
	leader  *leadership
	appends *aggregator
	ending  *ending
	known   knownMembers
	saves   syncTimes
	contact contact
	disk    *disk
	joined  bool        // it was added to a cluster of others
	opened  atomic.Bool // the library runs

	begun   sync.WaitGroup // what speaks to the library until it is closed
	running sync.WaitGroup
	closing sync.Once
	closed  error
}

// knownMembers is the membership that this replica saw last.
type knownMembers struct {
	sync.Mutex
	members Membership
}

var errClosing = fmt.Errorf("raft: %w", eventlog.ErrClosed)

// Start starts a replica, and returns when it has applied everything that was
// acknowledged before. A replica that has peers also starts where that cannot be
// told within [readyGrace], so that it serves what it has while there is no
// majority, or no leader has added it yet: [Node.Barrier] waits for the rest. Ctx
// bounds the start and nothing else. Errors wrap [ErrNotBootstrapped],
// [ErrBehind], [ErrHostname], [ErrDamaged], [ErrHalted], [ErrRemoved],
// [eventlog.ErrInUse], or are a [*eventlog.CorruptError].
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.normalize(); err != nil {
		return nil, err
	}
	if err := cfg.prepare(); err != nil {
		return nil, err
	}
	useLogger(cfg.Logger)
	n, err := open(cfg)
	if err != nil {
		return nil, err
	}
	if err := n.startUp(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("raft start: %w", err), n.Close())
	}
	return n, nil
}

// open starts a replica on the files of a directory that is prepared.
func open(cfg Config) (*Node, error) {
	store, err := eventlog.OpenStore(cfg.storePath(), eventlog.StoreOptions{})
	if err != nil {
		return nil, cfg.hinted(err)
	}
	m, err := newMachine(store, cfg.Logger)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	n := &Node{cfg: cfg, store: store, machine: m, leader: newLeadership(cfg.Replica), ending: newEnding()}
	m.diverged = n.diverged
	n.cfg.leader = n.leader
	n.cfg.haste = newHaste(n.leader.current)
	n.cfg.witness = &witness{lost: n.rolledBack}
	var id [8]byte
	rand.Read(id[:]) // never fails
	n.appends = newAggregator(binary.BigEndian.Uint64(id[:]), n.try, m.tail.Head)
	n.disk = newDisk(&n.cfg, n, &n.saves)
	m.space = n.disk.space
	if err := n.disk.makeRoom(); err != nil {
		return nil, errors.Join(err, m.Close(), store.Close())
	}
	if err := n.startHost(); err != nil {
		return nil, errors.Join(fmt.Errorf("raft in %s: %w", cfg.DataDir, err), m.Close(), store.Close())
	}
	n.session = n.host.GetNoOPSession(controlShard)
	n.begun.Go(n.hurry)
	n.running.Go(n.appends.run)
	n.running.Go(func() { n.disk.run(n.appends.stop) })
	n.running.Go(func() { n.scrub(scrubDelay, scrubBytesPerSecond) })
	return n, nil
}

// hurry lets a cluster that starts have a leader soon.
func (n *Node) hurry() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n.running.Go(func() {
		select {
		case <-n.appends.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	n.cfg.haste.start(ctx)
}

// startUp waits until the replica has what was acknowledged before, if need be
// and peers are there to wait for, not for ever.
func (n *Node) startUp(ctx context.Context) error {
	if n.cfg.alone() {
		return n.ready(ctx)
	}
	grace, cancel := context.WithTimeout(ctx, readyGrace)
	defer cancel()
	err := n.ready(grace)
	if err != nil && ctx.Err() == nil && n.Err() == nil && grace.Err() != nil {
		n.cfg.Logger.Warn("no majority answers yet; what is here may be behind", "replica", n.cfg.Replica)
		return nil
	}
	return err
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
		replica: n.cfg.Replica, bootstrap: n.cfg.Bootstrap || n.cfg.Join,
		applied: n.store.Applied(), head: n.store.Head().Index,
		marks: n.store, saves: &n.saves, signs: n.cfg.signs, witness: n.cfg.witness, logger: n.cfg.Logger, unwritable: n.unwritable,
	}
	if n.cfg.rebased {
		g.applied, g.head = 0, 0
	}
	settings := n.cfg.nodeHost(g, n.leader, events{n})
	settings.Expert.FS = watchSyncs(n.cfg.files, n.unsynced)
	host, err := dragonboat.NewNodeHost(settings)
	if err != nil {
		return err
	}
	n.opened.Store(true)
	join := n.cfg.Join && !g.known || g.joined
	var members map[uint64]dragonboat.Target // a restart takes them from its own files
	if !join && !g.known {
		members = map[uint64]dragonboat.Target{n.cfg.Replica: n.cfg.address()}
	}
	create := func(uint64, uint64) statemachine.IOnDiskStateMachine { return stayingMachine{n.machine} }
	n.host, n.joined = host, join
	if err := host.StartOnDiskReplica(members, join, create, n.cfg.replica(join)); err != nil {
		host.Close()
		return err
	}
	n.cfg.witness.armed.Store(true)
	return nil
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
	if err := n.Err(); err != nil {
		return 0, fmt.Errorf("append: %w: %w", eventlog.ErrClosed, err)
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
	page, err := eventlog.ReadMerged(n.store, n.machine.tail, from, limit)
	return page, n.haltIfCorrupt(err)
}

// Wait blocks until this replica has applied a record at the index, or ctx ends,
// or the node is closed.
func (n *Node) Wait(ctx context.Context, index uint64) error {
	if err := n.machine.tail.Wait(ctx, index); err != nil {
		return fmt.Errorf("wait for record %d: %w", index, err)
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

// ClusterID returns the id in the log's ClusterCreated, or nothing before it.
func (n *Node) ClusterID() string { return n.store.ClusterID() }

// Close stops the replica and stores what it applied. Appends that wait get
// [eventlog.ErrClosed]; what they proposed may be in the log.
func (n *Node) Close() error {
	n.closing.Do(func() {
		close(n.appends.stop)
		n.begun.Wait()
		left := n.closeHost() // ends the proposals in flight
		n.running.Wait()
		n.machine.tail.Close(eventlog.ErrClosed)
		n.closed = errors.Join(left, n.machine.Close(), n.store.Close())
	})
	return n.closed
}
