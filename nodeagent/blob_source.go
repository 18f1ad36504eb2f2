package nodeagent

import (
	"context"
	"errors"
	"time"

	"quorate/internal/blobcache"
)

const (
	// relayTriesMax is how often in a row nothing may come of a blob from the site's
	// relay until the orchestrator is asked.
	relayTriesMax = 3
	// relayAgain is how soon a relay that is not there is looked for again.
	relayAgain = 2 * time.Second
)

// A blobSource chooses where to fetch one blob: from the relay of the site, if there is
// one, and from the orchestrator where that does not have it.
type blobSource struct {
	agent  *agent
	barren int  // tries at a relay of which nothing came
	direct bool // the relay cannot help with this one
	relay  bool // what was chosen is a relay
}

// choose returns a connection, or nil where there is none now.
func (b *blobSource) choose(ctx context.Context) *link {
	s := b.agent.current()
	b.relay = false
	if b.agent.relays == nil || b.direct {
		if s == nil {
			return nil
		}
		return s.link
	}
	if s != nil {
		if site := s.link.viaRelay(); site != nil {
			b.relay = true
			return site
		}
	}
	l, err := b.agent.relays.blobs(ctx, s != nil)
	if err == nil {
		b.relay = true
		return l
	}
	if s != nil {
		return s.link
	}
	return nil
}

// again fires when it is time to look for a relay once more; never where there is none.
func (b *blobSource) again() <-chan time.Time {
	if b.agent.relays == nil {
		return nil
	}
	return time.After(relayAgain)
}

// judge takes note of what came of a try. What a relay does not have, or has wrong, is
// the orchestrator's to give; a relay whose line is down is waited for, and so is, where
// no job waits for it, one that has much else to fetch.
func (b *blobSource) judge(l *link, got int64, err error, patient bool) {
	if b.agent.relays == nil || b.direct || l.viaRelay() != nil || err == nil {
		return
	}
	b.agent.relays.drop(l)
	if b.barren++; got > 0 {
		b.barren = 0
	}
	b.direct = errors.Is(err, blobcache.ErrUnknown) || errors.Is(err, blobcache.ErrWrong) || b.barren >= relayTriesMax && !patient
}
