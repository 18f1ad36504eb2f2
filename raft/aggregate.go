package raft

import (
	"context"
	"sync"
	"time"

	"quorate/eventlog"
	"quorate/raft/proposal"
)

// Bounds of what one proposal joins. A single Append may exceed them by itself.
const (
	proposalEntriesMax = 256
	proposalBytesMax   = 1 << 20
	proposalsInFlight  = 8
	queueAppendsMax    = 1024
)

// proposeBackoff is how long an aggregator waits before it proposes again.
const proposeBackoff = 5 * time.Millisecond

// A pendingAppend waits for the answer to the proposal that its entries are in.
type pendingAppend struct {
	ctx     context.Context // of the caller, who waits for done or for it
	entries []eventlog.Entry
	bytes   int
	first   uint64
	err     error
	done    chan struct{}
}

// A try proposes once and waits for the answer: the index of the first record,
// or why there is none; or when to propose again, where the outcome is open.
type try func(cmd []byte) (first uint64, next then, err error)

// then is when a proposal is made again.
type then int

const (
	never  then = iota // there is an answer, or an error
	atOnce             // it went to a leader that is gone
	later              // it was dropped, or had no answer
)

// An aggregator joins concurrent appends into proposals and keeps several in
// flight. A proposal without an answer is made again under its id, which the
// state machine applies once.
type aggregator struct {
	try      try
	head     func() eventlog.Head // of this replica
	proposer uint64               // random
	queue    chan *pendingAppend
	stop     chan struct{}
	ended    chan struct{} // closed when nothing will be answered any more

	mu       sync.Mutex
	inFlight map[uint64]struct{} // sequences
	freed    chan struct{}       // holds a token after a sequence was freed
	flights  sync.WaitGroup
}

func newAggregator(proposer uint64, try try, head func() eventlog.Head) *aggregator {
	return &aggregator{
		try:      try,
		head:     head,
		proposer: proposer,
		queue:    make(chan *pendingAppend, queueAppendsMax),
		stop:     make(chan struct{}),
		ended:    make(chan struct{}),
		inFlight: map[uint64]struct{}{},
		freed:    make(chan struct{}, 1),
	}
}

// append waits until the entries are applied on this replica.
func (a *aggregator) append(ctx context.Context, entries []eventlog.Entry) (uint64, error) {
	p := &pendingAppend{ctx: ctx, entries: entries, done: make(chan struct{})}
	for i := range entries {
		p.bytes += len(entries[i].Data)
	}
	select {
	case a.queue <- p:
	case <-a.stop:
		return 0, eventlog.ErrClosed
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-a.ended:
		select {
		case <-p.done:
		default: // queued behind the last look at the queue
			return 0, eventlog.ErrClosed
		}
	}
	return p.first, p.err
}

// run makes proposals until close.
func (a *aggregator) run() {
	defer close(a.ended)
	defer a.refuseQueued()
	defer a.flights.Wait()
	var carried *pendingAppend
	for sequence := uint64(1); ; sequence++ {
		if !a.admit(sequence) {
			a.refuse(carried)
			return
		}
		first := carried
		if first == nil {
			select {
			case first = <-a.queue:
			case <-a.stop:
				return
			}
		}
		var group []*pendingAppend
		group, carried = a.gather(first)
		a.mu.Lock()
		a.inFlight[sequence] = struct{}{}
		a.mu.Unlock()
		a.flights.Go(func() { a.fly(sequence, group) })
	}
}

// admit waits until a proposal of the sequence may be in flight: there are few,
// and the oldest is still in the window that the state machine remembers.
func (a *aggregator) admit(sequence uint64) bool {
	for {
		a.mu.Lock()
		open := len(a.inFlight) < proposalsInFlight
		for s := range a.inFlight {
			open = open && sequence < s+windowSequences
		}
		a.mu.Unlock()
		if open {
			return true
		}
		select {
		case <-a.freed:
		case <-a.stop:
			return false
		}
	}
}

func (a *aggregator) gather(first *pendingAppend) (group []*pendingAppend, carried *pendingAppend) {
	group = append(group, first)
	entries, bytes := len(first.entries), first.bytes
	for entries < proposalEntriesMax && bytes < proposalBytesMax {
		select {
		case p := <-a.queue:
			if p.ctx.Err() != nil {
				continue // gone before anything was proposed
			}
			entries, bytes = entries+len(p.entries), bytes+p.bytes
			if entries > proposalEntriesMax || bytes > proposalBytesMax {
				return group, p
			}
			group = append(group, p)
		default:
			return group, nil
		}
	}
	return group, nil
}

// fly proposes a group until there is an answer, or nobody waits for it.
func (a *aggregator) fly(sequence uint64, group []*pendingAppend) {
	first, err := a.propose(sequence, group)
	for _, p := range group {
		if p.first, p.err = first, err; err == nil {
			first += uint64(len(p.entries))
		}
		close(p.done)
	}
	a.mu.Lock()
	delete(a.inFlight, sequence)
	a.mu.Unlock()
	select {
	case a.freed <- struct{}{}:
	default:
	}
}

func (a *aggregator) propose(sequence uint64, group []*pendingAppend) (uint64, error) {
	head := a.head()
	p := proposal.Proposal{Proposer: a.proposer, Sequence: sequence, Behind: proposal.Link{Index: head.Index, Hash: head.Hash}}
	for _, g := range group {
		p.Entries = append(p.Entries, g.entries...)
	}
	cmd := p.Encode()
	for {
		first, next, err := a.try(cmd)
		if next == never || err != nil {
			return first, err
		}
		if err := waitedFor(group); err != nil {
			return 0, err
		}
		if err := a.pause(next); err != nil {
			return 0, err
		}
	}
}

func (a *aggregator) pause(next then) error {
	var backoff <-chan time.Time
	if next == later {
		timer := time.NewTimer(proposeBackoff)
		defer timer.Stop()
		backoff = timer.C
	} else {
		now := make(chan time.Time)
		close(now)
		backoff = now
	}
	select {
	case <-a.stop:
		return eventlog.ErrClosed
	default:
	}
	select {
	case <-backoff:
		return nil
	case <-a.stop:
		return eventlog.ErrClosed
	}
}

// waitedFor returns nil while somebody waits for the answer.
func waitedFor(group []*pendingAppend) error {
	var err error
	for _, p := range group {
		if err = p.ctx.Err(); err == nil {
			return nil
		}
	}
	return err
}

func (a *aggregator) refuse(p *pendingAppend) {
	if p != nil {
		p.err = eventlog.ErrClosed
		close(p.done)
	}
}

func (a *aggregator) refuseQueued() {
	for {
		select {
		case p := <-a.queue:
			a.refuse(p)
		default:
			return
		}
	}
}
