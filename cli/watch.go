package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"quorate/engine"
	"quorate/engine/api"
	"quorate/engine/peer"
	"quorate/eventlog"
	"quorate/raft"
	"quorate/raft/port"
)

const (
	// watchPause is how often an orchestrator looks whether it has a majority,
	// watchFresh how old the answer may be, and watchAsk how long it waits for one.
	watchPause = 2 * time.Second
	watchFresh = 3500 * time.Millisecond
	watchAsk   = 2 * time.Second
	// watchRounds is how many pauses go by until the others are asked although a
	// majority answers: that may be one of a cluster that is none any more.
	watchRounds = 5
	// startAsk bounds the questions before an orchestrator starts again.
	startAsk = time.Second
)

// watch asks the others whether this orchestrator is still a member: one that was
// away when it was removed would wait for ever, and several that were left behind
// by a recovery would go on as a second cluster. Where it is cut off it also says
// where it is, since the others may look for it at an address that it had before.
func (p *peers) watch(ctx context.Context, n *node) error {
	for round := 0; ; round++ {
		p.port.Review() // of who came before it was removed, or before this one was up
		asking, done := context.WithTimeout(ctx, watchAsk)
		cutOff := p.log.Majority(asking, watchFresh) != nil
		done()
		if cutOff || round%watchRounds == 0 {
			if err := p.askAll(ctx, n, watchAsk, cutOff || p.elsewhere(n)); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchPause):
		}
	}
}

// probe asks a member how it is, for those who look at the cluster.
func (p *peers) probe(ctx context.Context, replica uint64) (api.Vitals, error) {
	pulse, err := p.blobs.Pulse(ctx, replica)
	return api.Vitals{Head: pulse.Head, Alarms: pulse.Alarms, LogVersion: pulse.LogVersion}, err
}

// elsewhere reports whether the book has this orchestrator at another address.
func (p *peers) elsewhere(n *node) bool {
	known, ok := p.book.Address(n.member.Replica)
	return ok && known != n.at.raft
}

// askAll asks whoever is at the addresses of the others, each within a time. The
// error says that this orchestrator is no member any more; who does not answer
// has nothing to say. With tell, they are told where this one is.
func (p *peers) askAll(ctx context.Context, n *node, within time.Duration, tell bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var asked sync.WaitGroup
	var verdict error
	var once sync.Once
	for replica, address := range p.book.All() {
		if replica == n.member.Replica || address == n.at.raft {
			continue
		}
		asked.Go(func() {
			if err := p.ask(ctx, n, address, tell); errors.Is(err, peer.ErrRemoved) {
				once.Do(func() { verdict = err })
				cancel()
			} else if err != nil {
				n.cfg.logger.Debug("an orchestrator was asked in vain", "replica", replica, "address", address, "error", err)
			}
		})
	}
	asked.Wait()
	if verdict == nil {
		return nil
	}
	return n.explainRaft(verdict)
}

// ask asks one orchestrator, whichever is at the address now.
func (p *peers) ask(ctx context.Context, n *node, address string, tell bool) error {
	conn, other, err := p.port.DialAddress(ctx, address, port.Blob)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := peer.TakePulse(ctx, conn); err != nil {
		return fmt.Errorf("orchestrator %d at %s: %w", other, address, err)
	}
	if tell {
		return peer.TellMoved(ctx, conn, n.here())
	}
	return nil
}

// here is this orchestrator with its addresses.
func (n *node) here() eventlog.OrchestratorMoved {
	return eventlog.OrchestratorMoved{
		Replica: n.member.Replica, Name: n.at.host, RaftAddress: n.at.raft, AgentAddress: n.at.agents, APIAddress: n.at.api,
	}
}

// dismissed is why an orchestrator is no member any more, or "". Numbers are given
// away in order: one that is not on record and not to come is of a log that a
// recovery has left behind.
func (n *node) dismissed(replica uint64) (why string) {
	n.orch.View(func(s *engine.State) {
		m := s.Member(replica)
		switch {
		case m != nil:
			why = m.Removed
		case replica < s.NextReplica():
			why = "the cluster was recovered from files that do not know of it"
		}
	})
	return why
}

// admit bars an orchestrator that was removed from Raft: it could only disturb. It may go
// on to ask, which is how it hears of it. One that is removed on record still votes until
// Raft's membership has followed, maybe on its own removal.
func (p *peers) admit(n *node, protocol string, replica uint64, remote net.Addr) error {
	if !p.up.Load() || protocol == port.Blob {
		return nil
	}
	why := n.dismissed(replica)
	if why == "" {
		return nil
	}
	if votes, known := p.log.Votes(replica); votes || !known {
		return nil
	}
	n.deniedPeer(replica, remote)
	return fmt.Errorf("orchestrator %d is no member any more: %s", replica, why)
}

// room is how many bytes an orchestrator needs beside the log, and the log's own.
func (n *node) room() (own, log uint64) {
	_, own, err := raft.Room(n.cfg.dir)
	if err != nil {
		return 0, 0
	}
	z, _, err := n.orch.Sizes()
	if err != nil {
		return own, 0
	}
	// Who joins gets all in one database, of which a third is not records.
	return own, uint64(z.LiveBytes - z.FreeBytes + z.UnpackedBytes*3/2)
}
