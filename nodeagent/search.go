package nodeagent

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// errRevived says that the connection which is there will do.
var errRevived = errors.New("the orchestrator answers again")

// A reachError is why none of several addresses will do.
type reachError struct{ errs []error }

func (e *reachError) Error() string {
	var all []string
	for _, err := range e.errs {
		all = append(all, err.Error())
	}
	return strings.Join(all, "; ")
}

func (e *reachError) Unwrap() []error { return e.errs }

// A dialled is a connection to an address, or why there is none.
type dialled struct {
	address string
	link    *link
	err     error
}

// errCrowd wraps what an orchestrator says that more agents have come to than it can
// greet at once.
var errCrowd = errors.New("the orchestrator has too many agents to greet at once")

const (
	// crowdMax is how often an orchestrator may say so until it counts as failed, and
	// crowdPauseMax how long an agent stays away at most before it comes again.
	crowdMax      = 6
	crowdPauseMax = 8 * time.Second
	// answeringRedials is for how many redials nobody is dialled beside who has answered.
	answeringRedials = 2
)

// A dialler connects to an address. It calls heard when somebody there answers.
type dialler func(ctx context.Context, address string, heard func()) (*link, error)

// A search tries addresses until one will do. Its methods are its own goroutine's, but
// for those of dials.
type search struct {
	tempo
	ctx     context.Context
	dial    dialler
	dials   sync.WaitGroup
	answers chan dialled
	again   chan string // addresses that were stayed away from for long enough

	left   []string // addresses that have not failed
	next   int      // how many dials were begun in turn
	failed reachError
	// crowds is how often an address has sent the agent away since it has too many, and
	// resting are those that it stays away from.
	crowds  map[string]int
	resting map[string]bool

	mu    sync.Mutex
	heard map[string]time.Time
}

// tryEach is [tempo.tryEach] of an agent that does not know how many others there are.
func tryEach(ctx context.Context, addresses []string, stop <-chan struct{}, dial dialler, meet func(dialled) error) error {
	return tempoFor(0).tryEach(ctx, addresses, stop, dial, meet)
}

// tryEach connects to the addresses, the next one shortly after the one before, and
// calls meet with each that answers until that is content. It returns when that is
// so, with [errRevived] when stop is closed before, or when each has failed once. meet
// closes the links that it does not want.
//
// An orchestrator that has too many agents to greet has not failed: it is dialled again
// after a pause, and the others meanwhile.
func (p tempo) tryEach(ctx context.Context, addresses []string, stop <-chan struct{}, dial dialler, meet func(dialled) error) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &search{
		tempo: p, ctx: ctx, dial: dial, answers: make(chan dialled), again: make(chan string),
		left: slices.Clone(addresses), crowds: map[string]int{}, resting: map[string]bool{}, heard: map[string]time.Time{},
	}
	defer s.dials.Wait()
	defer cancel()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-due.C:
			s.turn()
			if s.next < len(s.left) {
				due.Reset(p.stagger)
			} else {
				due.Reset(p.redial)
			}
		case address := <-s.again:
			s.resting[address] = false
			s.begin(address)
		case d := <-s.answers:
			if d.err == nil {
				d.err = meet(d)
			}
			if d.err == nil || final(d.err) {
				return d.err
			}
			s.forget(d.address)
			if s.comeAgain(d) {
				continue
			}
			if s.fail(d); len(s.left) == 0 {
				return s.failure()
			}
			if s.next < len(s.left) {
				due.Reset(0)
			}
		case <-stop:
			return errRevived
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// turn dials the address whose turn it is, but where somebody has just answered: who
// dials elsewhere or again meanwhile makes work that is in vain.
func (s *search) turn() {
	if s.answering() {
		return
	}
	for range s.left {
		address := s.left[s.next%len(s.left)]
		s.next++
		if !s.resting[address] {
			s.begin(address)
			return
		}
	}
}

// answering reports whether an address has answered a moment ago, and will say more.
func (s *search) answering() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, heard := range s.heard {
		if time.Since(heard) < answeringRedials*s.redial {
			return true
		}
	}
	return false
}

// forget notes that an address has said what it had to say.
func (s *search) forget(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.heard, address)
}

// begin dials an address.
func (s *search) begin(address string) {
	s.dials.Go(func() {
		l, err := s.dial(s.ctx, address, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.heard[address] = time.Now()
		})
		select {
		case s.answers <- dialled{address, l, err}:
		case <-s.ctx.Done():
			if l != nil {
				l.close("another orchestrator was faster")
			}
		}
	})
}

// comeAgain has an address dialled again after a pause, where that is what it has asked
// for and may ask for.
func (s *search) comeAgain(d dialled) bool {
	if s.resting[d.address] {
		return true // another dial was sent away, too
	}
	if !errors.Is(d.err, errCrowd) || s.crowds[d.address] >= crowdMax {
		return false
	}
	pause := s.pause(s.crowds[d.address])
	s.crowds[d.address]++
	s.resting[d.address] = true
	s.dials.Go(func() {
		if sleep(s.ctx, pause) {
			select {
			case s.again <- d.address:
			case <-s.ctx.Done():
			}
		}
	})
	return true
}

// pause is how long to stay away from an orchestrator that has sent the agent away so
// often before, since it was needed. It is different for each agent, and doubles: what
// takes long for few is a large crowd.
func (p tempo) pause(before int) time.Duration {
	pause := min(p.redial<<before, crowdPauseMax)
	return pause/2 + rand.N(pause/2)
}

// fail notes that an address has failed.
func (s *search) fail(d dialled) {
	i := slices.Index(s.left, d.address)
	if i < 0 {
		return // an earlier dial has failed
	}
	s.left = slices.Delete(s.left, i, i+1)
	s.failed.errs = append(s.failed.errs, d.err)
	if s.next > i {
		s.next--
	}
}

func (s *search) failure() error {
	if len(s.failed.errs) == 1 {
		return s.failed.errs[0]
	}
	return &s.failed
}
