package orchestrator

import (
	"context"
	"sync"
	"time"
)

// A Sink keeps checkpoints where the cluster cannot change them any more.
type Sink interface {
	// Name is what an operator knows it by.
	Name() string
	// Deliver returns when the sink has the note for good. The same one may come
	// again.
	Deliver(ctx context.Context, note []byte) error
}

const (
	deliverTimeout  = 15 * time.Second
	deliverRetryMin = time.Second
	deliverRetryMax = time.Minute
)

// An outlet is a sink and what is wrong with it.
type outlet struct {
	sink Sink

	mu     sync.Mutex
	behind uint64 // the size of the checkpoint that it lacks, or 0
	reason string
}

func (s *outlet) note(behind uint64, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind, s.reason = behind, reason
}

// deliverAll gives each sink the newest checkpoint, while this replica leads. A sink
// that is away gets the newest when it is back: it covers those that it missed. The
// log waits for none of them.
func (o *Orchestrator) deliverAll(ctx context.Context) {
	var outlets sync.WaitGroup
	for _, s := range o.notary.sinks {
		outlets.Go(func() { o.deliver(ctx, s) })
	}
	outlets.Wait()
}

func (o *Orchestrator) deliver(ctx context.Context, s *outlet) {
	defer s.note(0, "") // another leader delivers, and tells
	var done uint64
	pause := deliverRetryMin
	for {
		_, news := o.notary.checked.watch()
		c := o.Checkpoint()
		if c == nil || c.Size <= done {
			select {
			case <-ctx.Done():
				return
			case <-news:
			}
			continue
		}
		limited, cancel := context.WithTimeout(ctx, deliverTimeout)
		err := s.sink.Deliver(limited, c.Note)
		cancel()
		if err == nil {
			s.note(0, "")
			done, pause = c.Size, deliverRetryMin
			continue
		}
		if ctx.Err() != nil {
			return
		}
		o.logger.Warn("a sink did not take a checkpoint; trying again", "sink", s.sink.Name(), "size", c.Size, "error", err, "again_in", pause)
		s.note(c.Size, err.Error())
		if !wait(ctx, pause, nil) {
			return
		}
		pause = min(2*pause, deliverRetryMax)
	}
}
