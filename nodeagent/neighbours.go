package nodeagent

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

const (
	// announceEvery is the shortest time between two announcements, each of which the
	// disk is waited for: what ends in between goes together, and the first after a
	// pause goes at once.
	announceEvery = 10 * time.Millisecond
	// neighbourDial is what a relay gets to answer. One that is being restarted may not
	// hear of a connection that was begun before.
	neighbourDial = 4 * time.Second
	// neighbourSpread is by how much the agents of a site differ that have lost a relay.
	neighbourSpread = 500 * time.Millisecond
	noticeWarnEvery = time.Minute
	// relaysKeptMax bounds the relays that an agent keeps a connection to for notices.
	relaysKeptMax = 4
)

// neighbours are the other agents of a site, to whom this one tells what has ended here,
// and who tell it, by way of the site's relays. It keeps a connection to each of these,
// which has nothing to do with any orchestrator.
type neighbours struct {
	agent *agent

	mu       sync.Mutex
	hotlines map[*hotline]struct{}
	warned   time.Time // when a notice was last said not to count
}

// newNeighbours returns nil where the agent knows of no relay.
func newNeighbours(a *agent) *neighbours {
	if a.relays == nil || a.cfg.site != nil {
		return nil
	}
	return &neighbours{agent: a, hotlines: map[*hotline]struct{}{}}
}

// run keeps the connections until ctx ends.
func (n *neighbours) run(ctx context.Context) {
	if n == nil {
		return
	}
	ended := n.agent.journal.WatchEndings()
	var all sync.WaitGroup
	defer all.Wait()
	// All agents of the site keep to the same ones, in whatever order they dial them.
	addresses := slices.Sorted(slices.Values(n.agent.relays.addresses))
	for _, address := range addresses[:min(len(addresses), relaysKeptMax)] {
		all.Go(func() { n.keep(ctx, address) })
	}
	n.announce(ctx, ended)
}

// announce tells the relays of each end when it is on disk.
func (n *neighbours) announce(ctx context.Context, ended <-chan struct{}) {
	a := n.agent
	for {
		select {
		case <-ended:
		case <-ctx.Done():
			return
		}
		endings, err := a.journal.TakeEndings()
		if err != nil {
			a.broken(err)
			return
		}
		notices := n.sign(endings)
		n.each(func(h *hotline) { h.announce(notices) })
		if !sleep(ctx, announceEvery) {
			return
		}
	}
}

// sign makes notices of ends. One that cannot be made is for the cluster to tell, and an
// agent that the cluster has given up on has no say.
func (n *neighbours) sign(endings []journal.Ending) []wire.Notice {
	n.agent.mu.Lock()
	outcast := n.agent.outcast
	n.agent.mu.Unlock()
	if outcast {
		return nil
	}
	notices := make([]wire.Notice, 0, len(endings))
	for _, e := range endings {
		notice, err := n.agent.id.notice(e)
		if err != nil {
			n.agent.log.Debug("the end of an attempt is not announced to the site", "attempt", e.Attempt, "error", err)
			continue
		}
		notices = append(notices, notice)
	}
	return notices
}

// look has the relays told what attempts here wait for, where that is more than before.
func (n *neighbours) look() {
	if n != nil {
		n.each(func(h *hotline) { offer(h.wake) })
	}
}

func (n *neighbours) each(f func(*hotline)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for h := range n.hotlines {
		f(h)
	}
}

// keep keeps a connection to a relay. A whole site loses its own at once, and comes back
// over a while.
func (n *neighbours) keep(ctx context.Context, address string) {
	var wait backoff
	for ctx.Err() == nil {
		began := time.Now()
		err := n.talk(ctx, address)
		if ctx.Err() != nil {
			return
		}
		pause := wait.after(err)
		if time.Since(began) >= neighbourSteady {
			wait.reset()
			pause = rand.N(neighbourSpread)
		}
		n.agent.log.Debug("no notices from the site", "relay", address, "error", err, "again_in", pause)
		sleep(ctx, pause)
	}
}

// talk is one connection to its end.
func (n *neighbours) talk(ctx context.Context, address string) error {
	a := n.agent
	limited, cancel := context.WithTimeout(ctx, neighbourDial)
	defer cancel()
	site, err := a.relays.sockets.dial(limited, address, a.relays.site, func() {})
	if err != nil {
		return err
	}
	defer site.close("done")
	a.relayBack()
	s, err := site.open(limited)
	if err != nil {
		return err
	}
	h := newHotline(n, s)
	// What ends from here on is announced as it ends, and what has ended before now.
	n.mu.Lock()
	n.hotlines[h] = struct{}{}
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.hotlines, h)
		n.mu.Unlock()
	}()
	var before []journal.Ending
	a.journal.View(func(st *journal.State) { before = st.Endings() })
	if err := a.journal.Sync(); err != nil {
		a.broken(err)
		return err
	}
	h.announce(n.sign(newest(before)))
	return h.run(ctx, site)
}

// newest are those of the ends that are announced to a relay first: where the cluster has
// acknowledged very little, as many as it keeps of an agent.
func newest(all []journal.Ending) []journal.Ending { return all[max(0, len(all)-announcedFirstMax):] }

// warn says that a notice does not count, once in a while: whoever makes notices up can make
// many.
func (n *neighbours) warn(notice *wire.Notice, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); now.Sub(n.warned) >= noticeWarnEvery {
		n.warned = now
		n.agent.log.Warn("the relay has passed on a notice that does not count", "attempt", notice.Attempt, "error", err)
	}
}

// heard takes what other agents are said to have announced. Those of the attempts are
// spent that nothing waits for from then on: what begins to wait for one after that has
// to ask for its notice again.
func (n *neighbours) heard(notices []wire.Notice) (spent []uint64, err error) {
	a := n.agent
	type sound struct {
		*wire.Notice
		of wire.Elsewhere
	}
	var all []sound
	for i := range notices {
		notice := &notices[i]
		var of wire.Elsewhere
		awaited := false
		a.journal.View(func(s *journal.State) { of, awaited = s.AwaitedElsewhere(notice.Attempt) })
		if !awaited {
			spent = append(spent, notice.Attempt)
			continue
		}
		if err := verifyNotice(notice, a.id.ClusterID, of); err != nil {
			n.warn(notice, err)
			continue
		}
		all = append(all, sound{notice, of})
	}
	if len(all) == 0 {
		return spent, nil
	}
	err = a.journal.Commit(func(s *journal.State, add func(journal.Record)) error {
		for _, notice := range all {
			// What waited may be over, or have begun to wait for another one.
			of, awaited := s.AwaitedElsewhere(notice.Attempt)
			if awaited && of != notice.of {
				continue
			}
			r, ends := s.EndElsewhere(notice.Attempt, notice.Outcome, notice.Output)
			if ends {
				add(r)
			}
			if ends || !awaited {
				spent = append(spent, notice.Attempt)
			}
		}
		return nil
	})
	if err != nil {
		a.broken(err)
		return nil, err
	}
	a.startAll(a.onward())
	return spent, nil
}
