package raft

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

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

// haste makes an election come sooner where the leader's process is known to be gone.
//
// Its host says so: the connection ends, and nobody listens at its address. Then
// Raft's clock goes faster here, which is all that a follower's patience depends on.
// A false alarm costs nothing: the others, and the leader, do not let anybody be
// elected whom they have no need for (PreVote, CheckQuorum). Of a host that is gone
// itself nobody hears, and the clock tells as ever. So it may tick slowly, which is
// what a cluster costs that has nothing to do.
type haste struct {
	leader func() uint64 // who leads as far as is known here, or NoLeader

	mu     sync.Mutex
	asking map[uint64]bool
}

func newHaste(leader func() uint64) *haste {
	return &haste{leader: leader, asking: map[uint64]bool{}}
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
	t.tick(electionRTTs) // from now on this replica lets another one be elected
	for range hastyTicksMax {
		if !doze(t.ctx, hastyTickMin+rand.N(hastyTickMax-hastyTickMin)) {
			return
		}
		if now := h.leader(); now != replica && now != raftio.NoLeader {
			return
		}
		t.tick(1)
	}
}

// tick moves Raft's clock here. The clock of the library's requests starts anew
// with it, so that some of them end early, and are made again, as in any election.
func (t *transport) tick(times int) {
	batch := raftpb.MessageBatch{BinVer: raftio.TransportBinVersion, DeploymentId: t.deployment}
	for range times {
		batch.Requests = append(batch.Requests, raftpb.Message{
			Type: raftpb.LocalTick, ShardID: controlShard, From: t.self, To: t.self,
		})
	}
	t.messages(batch)
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
