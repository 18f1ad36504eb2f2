package nodeagent

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"quorate/internal/job"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

// aheadMax bounds the contents that are fetched at a time before a job waits for them.
const aheadMax = 2

// A shipment is what an attempt ships, in the order of its jobs.
type shipment struct {
	attempt uint64
	files   []job.File
}

// shipmentOf is what the jobs of a step ship from a position on.
func shipmentOf(attempt uint64, step *wire.Step, from uint32) shipment {
	s := shipment{attempt: attempt}
	for i := from; i < uint32(len(step.Jobs)); i++ {
		s.files = append(s.files, step.Jobs[i].Files...)
	}
	return s
}

// provisions are the contents that open attempts ship. They are fetched as soon as the
// journal holds the attempts, a few at a time and the next to start first: when their
// turn comes there may be no link any more. What has no room, or is nowhere to be had,
// is left to the start of its job.
type provisions struct {
	agent   *agent
	wake    chan struct{} // holds one token when there may be something to fetch
	fetches sync.WaitGroup

	mu    sync.Mutex
	open  map[uint64][]job.File         // of the attempts that ship any
	under map[string]context.CancelFunc // those that are being fetched, by their digest
	over  map[string]bool               // those that are here, or are left to the start
}

// newProvisions finds what the attempts ship that an earlier agent left.
func newProvisions(a *agent) *provisions {
	p := &provisions{
		agent: a, wake: make(chan struct{}, 1),
		open: map[uint64][]job.File{}, under: map[string]context.CancelFunc{}, over: map[string]bool{},
	}
	var left []*journal.Attempt
	a.journal.View(func(s *journal.State) {
		for _, id := range s.Open() {
			at, _ := s.Attempt(id)
			left = append(left, &journal.Attempt{ID: id, Spec: at.Spec, Ended: at.Ended})
		}
	})
	for _, at := range left {
		if step, err := wire.DecodeStep(at.Spec); err == nil {
			p.add(shipmentOf(at.ID, step, at.Ended))
		}
	}
	return p
}

// add takes note of what attempts ship that the journal holds.
func (p *provisions) add(all ...shipment) {
	p.mu.Lock()
	for _, s := range all {
		if len(s.files) > 0 {
			p.open[s.attempt] = s.files
		}
	}
	p.mu.Unlock()
	p.look()
}

// look finds out what is to be fetched now, and what need not be any more.
func (p *provisions) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) > 0 || len(p.under) > 0 {
		offer(p.wake)
	}
}

// ended gives up what an attempt ships that is over.
func (p *provisions) ended(attempt uint64) {
	p.mu.Lock()
	_, shipped := p.open[attempt]
	delete(p.open, attempt)
	p.mu.Unlock()
	if shipped {
		offer(p.wake)
	}
}

// connected tries again what has been left to the start.
func (p *provisions) connected() {
	p.mu.Lock()
	clear(p.over)
	p.mu.Unlock()
	p.look()
}

// run fetches until ctx ends.
func (p *provisions) run(ctx context.Context) {
	defer p.fetches.Wait()
	for {
		p.fill(ctx)
		select {
		case <-p.wake:
		case <-ctx.Done():
			return
		}
	}
}

// fill begins to fetch what is next, and stops what nobody wants any more.
func (p *provisions) fill(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted, named := p.wanted()
	for digest, stop := range p.under {
		if !named[digest] {
			stop()
		}
	}
	maps.DeleteFunc(p.over, func(digest string, _ bool) bool { return !named[digest] })
	room := p.agent.blobs.bytesMax
	for _, f := range wanted {
		if len(p.under) >= aheadMax {
			return
		}
		if f.Size < 0 || f.Size > room {
			continue
		}
		room -= f.Size
		if p.under[f.Digest] == nil && !p.over[f.Digest] {
			p.fetch(ctx, f)
		}
	}
}

// fetch begins to fetch, unless the content is here.
func (p *provisions) fetch(ctx context.Context, f job.File) {
	if p.agent.blobs.dir.Has(f.Digest) {
		p.over[f.Digest] = true
		return
	}
	ctx, stop := context.WithCancel(ctx)
	p.under[f.Digest] = stop
	p.fetches.Go(func() {
		err := p.agent.blobs.getAhead(ctx, f)
		if err != nil && ctx.Err() == nil {
			p.agent.log.Info("content is left to the start of its job", "digest", f.Digest, "reason", err)
		}
		p.mu.Lock()
		if err == nil || ctx.Err() == nil {
			p.over[f.Digest] = true
		}
		delete(p.under, f.Digest)
		p.mu.Unlock()
		stop()
		offer(p.wake)
	})
}

// wanted are the contents that open attempts ship, each once and the next to start
// first: attempts are numbered in the order in which they were scheduled, behind those
// that they wait for. It forgets the attempts that have ended.
func (p *provisions) wanted() (files []job.File, named map[string]bool) {
	named = map[string]bool{}
	if len(p.open) == 0 {
		return nil, named
	}
	waits := map[uint64]int{}
	p.agent.journal.View(func(s *journal.State) {
		for id := range p.open {
			if at, ok := s.Attempt(id); !ok || at.Phase != journal.Intent {
				delete(p.open, id)
			} else if waits[id] = 0; s.Waits(id) {
				waits[id] = 1
			}
		}
	})
	for _, id := range slices.SortedFunc(maps.Keys(waits), func(a, b uint64) int {
		return cmp.Or(cmp.Compare(waits[a], waits[b]), cmp.Compare(a, b))
	}) {
		for _, f := range p.open[id] {
			if !named[f.Digest] {
				named[f.Digest] = true
				files = append(files, f)
			}
		}
	}
	return files, named
}

// size is that of a content in bytes, as an open attempt's dispatch tells it, or -1 where
// none ships it.
func (p *provisions) size(digest string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, files := range p.open {
		for _, f := range files {
			if f.Digest == digest {
				return f.Size
			}
		}
	}
	return -1
}

// needed are the digests of what open attempts ship, and of what those ship that do not
// wait any more.
func (p *provisions) needed() (all, begun map[string]bool) {
	all, begun = map[string]bool{}, map[string]bool{}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) == 0 {
		return all, begun
	}
	p.agent.journal.View(func(s *journal.State) {
		for id, files := range p.open {
			waits := s.Waits(id)
			for _, f := range files {
				all[f.Digest] = true
				begun[f.Digest] = begun[f.Digest] || !waits
			}
		}
	})
	return all, begun
}
