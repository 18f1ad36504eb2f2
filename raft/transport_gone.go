package raft

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
)

const (
	// goneAsks is how often the host of a replica that hung up is asked whether
	// anybody listens, and goneAskEvery how long it waits in between: a process that
	// is killed closes one after the other.
	goneAsks     = 8
	goneAskEvery = 5 * time.Millisecond
	// hastyTickMin and hastyTickMax are between ticks while the leader is gone, and
	// hastyTicksMax how many there are: more than any follower waits for twice.
	hastyTickMin  = 10 * time.Millisecond
	hastyTickMax  = 40 * time.Millisecond
	hastyTicksMax = 6 * electionRTTs
)

// haste makes an election come sooner where the leader's process is known to be gone,
// and where a replica starts and knows of none.
//
// The host of a process that is gone says so: the connection ends, and nobody listens
// at its address. Then Raft's clock goes faster here, which is all that a follower's
// patience depends on. A false alarm costs nothing: the others, and the leader, do not
// let anybody be elected whom they have no need for (PreVote, CheckQuorum). Of a host
// that is gone itself nobody hears, and the clock tells as ever. So it may tick slowly,
// which is what a cluster costs that has nothing to do.
type haste struct {
	leader func() uint64 // who leads as far as is known here, or NoLeader

	mu     sync.Mutex
	asking map[uint64]bool
	tick   func(times int) // moves Raft's clock; nil until there is one
}

func newHaste(leader func() uint64) *haste {
	return &haste{leader: leader, asking: map[uint64]bool{}}
}

// hastened are transports that tell a haste how to move Raft's clock.
type hastened struct {
	config.TransportFactory
	haste *haste
}

// Create implements config.TransportFactory.
func (f hastened) Create(host config.NodeHostConfig, messages raftio.MessageHandler, chunks raftio.ChunkHandler) raftio.ITransport {
	if self, err := replicaAt(host.RaftAddress); err == nil {
		f.haste.attach(self, host.GetDeploymentID(), messages)
	}
	return f.TransportFactory.Create(host, messages, chunks)
}

// attach is told of the library. The clock of the library's requests starts anew with
// each tick that is given here, so that some of them end early, and are made again, as
// in any election.
func (h *haste) attach(self, deployment uint64, messages raftio.MessageHandler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tick = func(times int) {
		batch := raftpb.MessageBatch{BinVer: raftio.TransportBinVersion, DeploymentId: deployment}
		for range times {
			batch.Requests = append(batch.Requests, raftpb.Message{
				Type: raftpb.LocalTick, ShardID: controlShard, From: self, To: self,
			})
		}
		messages(batch)
	}
}

// start ticks until somebody leads: a cluster that starts need not wait as long as one
// whose leader is silent.
func (h *haste) start(ctx context.Context) {
	h.untilOther(ctx, raftio.NoLeader)
}

// suspect is called when a replica has hung up.
func (h *haste) suspect(t *transport, replica uint64) {
	if h == nil || h.leader() != replica {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asking[replica] || !t.begin() {
		return
	}
	h.asking[replica] = true
	go func() {
		defer t.running.Done()
		if h.gone(t, replica) {
			h.hurry(t, replica)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.asking, replica)
	}()
}

// gone reports whether nobody listens where the replica was.
func (h *haste) gone(t *transport, replica uint64) bool {
	for range goneAsks {
		if t.port.Refused(t.ctx, replica) {
			return true
		}
		if !doze(t.ctx, goneAskEvery) {
			return false
		}
	}
	return false
}

// hurry ticks until somebody else leads.
func (h *haste) hurry(t *transport, replica uint64) {
	t.log.Info("raft: the leader's process is gone", "replica", replica)
	h.move(electionRTTs) // from now on this replica lets another one be elected
	h.untilOther(t.ctx, replica)
}

// untilOther ticks until somebody leads who is not the replica, or ctx ends, or that
// is no use.
func (h *haste) untilOther(ctx context.Context, replica uint64) {
	for range hastyTicksMax {
		if !doze(ctx, hastyTickMin+rand.N(hastyTickMax-hastyTickMin)) {
			return
		}
		if now := h.leader(); now != replica && now != raftio.NoLeader {
			return
		}
		h.move(1)
	}
}

func (h *haste) move(ticks int) {
	h.mu.Lock()
	tick := h.tick
	h.mu.Unlock()
	if tick != nil {
		tick(ticks)
	}
}

// doze reports whether ctx is still alive after so long.
func doze(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
