package relay

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"quorate/internal/admission"
	"quorate/internal/pki"
)

// What one agent may have, whatever it does: nobody behind a relay can use up what is for
// the others. A sound agent has a connection for its tunnel, one for notices and one for
// blobs, and another of each while it moves, or was killed and is back.
const (
	connectionsOfOne = 16
	tunnelsOfOne     = 4
	blobsOfOne       = 8
	// tunnelsPerSecond are asked for upstream, where each costs a handshake, behind the
	// first tunnelsAtOnce; who asks for more waits.
	tunnelsPerSecond = 2
	tunnelsAtOnce    = 8
	// enrolmentsMax are the connections of all who have no certificate yet, and
	// enrolmentsOfOne those of one address, which several may share.
	enrolmentsMax   = 64
	enrolmentsOfOne = 32
	// enrolmentAged is from when on an enrolment makes room for another one: it takes a
	// second or two where nothing is wrong.
	enrolmentAged = 15 * time.Second
	// tunnelsMax is for all. The orchestrator takes 1024 streams, of which the rest is for
	// what the relay fetches itself.
	tunnelsMax = 1000
	// sharesSpare is how many shares are kept at least until those are looked for that
	// nobody has a use for.
	sharesSpare = 256
)

// ErrFull is what an agent is told that is one too many.
var ErrFull = errors.New("the relay carries as many agents as it can: the site needs another one")

// shares are what the agents of the site have, each by the key of its certificate, and by
// its address where it has none.
type shares struct {
	mu         sync.Mutex
	of         map[string]*share
	enrolments []*enrolment // oldest first
	tunnels    int
	tidyAt     int
}

// An enrolment is the connection of somebody without a certificate.
type enrolment struct {
	key   string
	since time.Time
	end   func()
}

// A share is what one agent has. The oldest ends where that is too much: an agent that was
// killed and is back has no use for it.
type share struct {
	connections, tunnels []*held // oldest first
	blobs                chan struct{}
	pace                 *rate.Limiter
}

// A held is a connection or a tunnel that is open. end has it end.
type held struct{ end func() }

func newShares() *shares { return &shares{of: map[string]*share{}, tidyAt: sharesSpare} }

// keyOf names whose a connection is.
func keyOf(c agentConn) string {
	if cert := c.certificate(); cert != nil {
		return pki.KeyDigest(cert.RawSubjectPublicKeyInfo)
	}
	return "at " + admission.AddressOf(c.remote()).String()
}

// get returns a share, which is there for as long as something is held. It is called
// under mu.
func (s *shares) get(key string) *share {
	if have := s.of[key]; have != nil {
		return have
	}
	if len(s.of) >= s.tidyAt {
		for k, have := range s.of {
			if have.idle() {
				delete(s.of, k)
			}
		}
		s.tidyAt = max(sharesSpare, 2*len(s.of))
	}
	have := &share{blobs: make(chan struct{}, blobsOfOne), pace: rate.NewLimiter(tunnelsPerSecond, tunnelsAtOnce)}
	s.of[key] = have
	return have
}

// idle reports whether a new share would be the same.
func (s *share) idle() bool {
	return len(s.connections) == 0 && len(s.tunnels) == 0 && len(s.blobs) == 0 && s.pace.Tokens() >= tunnelsAtOnce
}

// connection notes a connection until done is called. It ends the agent's oldest where it
// has too many; errors are for somebody without a certificate, for whom there is no room.
func (s *shares) connection(c agentConn, end func()) (done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.certificate() == nil {
		return s.enrol(keyOf(c), end)
	}
	return s.hold(&s.get(keyOf(c)).connections, connectionsOfOne, end, func() {}), nil
}

// Who wants to enrol and finds no room is told one of these.
var (
	errEnrolments        = errors.New("too many enrolments: try again in a minute")
	errEnrolmentsAddress = errors.New("too many enrolments from this address: try again in a minute")
)

// enrol notes an enrolment. Where there are as many as there may be another one makes room,
// so that no strangers keep the agents of the site from it. It is called under mu.
func (s *shares) enrol(key string, end func()) (done func(), err error) {
	of, most := map[string]int{}, 0
	for _, e := range s.enrolments {
		of[e.key]++
		most = max(most, of[e.key])
	}
	ended := func(gone *enrolment) {
		s.enrolments = slices.DeleteFunc(s.enrolments, func(e *enrolment) bool { return e == gone })
	}
	if crowded := of[key] >= enrolmentsOfOne; crowded || len(s.enrolments) >= enrolmentsMax {
		i := slices.IndexFunc(s.enrolments, func(e *enrolment) bool {
			if crowded && e.key != key {
				return false
			}
			return of[e.key] == most && most > of[key]+1 || time.Since(e.since) >= enrolmentAged
		})
		switch {
		case i >= 0:
			go s.enrolments[i].end()
			ended(s.enrolments[i])
		case crowded:
			return nil, errEnrolmentsAddress
		default:
			return nil, errEnrolments
		}
	}
	e := &enrolment{key: key, since: time.Now(), end: end}
	s.enrolments = append(s.enrolments, e)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		ended(e)
	}, nil
}

// tunnel notes a tunnel until done is called. It ends the agent's oldest where it has too
// many, and waits where it has asked for many lately. Errors are [ErrFull] and those of ctx.
func (s *shares) tunnel(ctx context.Context, c agentConn, end func()) (done func(), err error) {
	s.mu.Lock()
	if s.tunnels >= tunnelsMax {
		s.mu.Unlock()
		return nil, ErrFull
	}
	s.tunnels++
	have, most := s.get(keyOf(c)), tunnelsOfOne
	if c.certificate() == nil {
		most = enrolmentsOfOne // one for each, or those who join at once would end each other's
	}
	done = s.hold(&have.tunnels, most, end, func() { s.tunnels-- })
	s.mu.Unlock()
	if err := have.pace.Wait(ctx); err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// blob waits for the agent's turn to read a blob, until done is called.
func (s *shares) blob(ctx context.Context, c agentConn) (done func(), err error) {
	s.mu.Lock()
	blobs := s.get(keyOf(c)).blobs
	s.mu.Unlock()
	select {
	case blobs <- struct{}{}:
		return func() { <-blobs }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hold is called under mu, and gone, too.
func (s *shares) hold(all *[]*held, most int, end, gone func()) (done func()) {
	if len(*all) >= most {
		go (*all)[0].end() // which calls done
		*all = slices.Delete(*all, 0, 1)
	}
	h := &held{end}
	*all = append(*all, h)
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		*all = slices.DeleteFunc(*all, func(other *held) bool { return other == h })
		gone()
	})
}
