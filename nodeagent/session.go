package nodeagent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quorate/nodeagent/journal"
	"quorate/nodeagent/wire"
)

const (
	// batchMax is how many commands share one sync.
	batchMax = 256
	// linger is the shortest time between two frames that the cluster waits for;
	// lingerJobs that between frames of nothing but ends of jobs, which only tell
	// how far an attempt is: what ends in between travels together, and costs one
	// commit. The first after a pause goes at once.
	// On a long line linger is that share of the round trip, up to lingerMax.
	linger      = 5 * time.Millisecond
	lingerShare = 16
	lingerMax   = 25 * time.Millisecond
	lingerJobs  = 100 * time.Millisecond
	// resendEvery bounds how often repeated commands make the agent repeat reports.
	resendEvery = 5 * time.Second
	// lingerBegan is how long the cluster waits to hear that an attempt has begun
	// where nothing else is to be said: the end of its first job mostly comes before.
	lingerBegan  = lingerJobs
	repliesMax   = 4096
	writeTimeout = 60 * time.Second
)

// A session is one accepted connection.
type session struct {
	agent   *agent
	link    *link
	address string
	control stream
	epoch   uint64
	servers []string // as the cluster said
	here    journal.Here
	pulse   pulse
	moves   chan *wire.Move        // holds the newest
	told    chan []string          // holds the newest addresses of orchestrators
	better  chan *link             // to the same orchestrator, over QUIC
	home    chan dialled           // through a relay of the site that is back
	retired chan struct{}          // closed when the session is over and its link is to stay
	silent  chan (<-chan struct{}) // the gateway is silent until the channel in it is closed
	refused chan struct{}          // holds one token when the gateway's host says that it is gone
	ended   chan struct{}          // closed when the session is over, for the reason err
	err     error
	changed chan struct{} // holds one token when there may be something to send
	urgent  chan struct{} // likewise, when the cluster waits for it

	mu      sync.Mutex
	replies []*wire.Reply
	letters []wire.Message // to be sent with the replies
	sent    uint64         // newest report sent
	resent  time.Time
	paused  bool // no reports are sent
	asking  bool // a ping is to be sent
	heard   time.Time
	began   *time.Timer // runs while the beginning of an attempt waits for company

	sentAway bool // the orchestrator has asked the agent to go: connecting's alone

	shipped []shipment // of dispatches that are being decided about: run's alone
}

func newSession(a *agent, l *link, address string, control stream, w *wire.Welcome) *session {
	return &session{
		agent: a, link: l, address: address, control: control, epoch: w.Epoch, servers: w.Servers,
		changed: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
		here:   journal.Here{ClusterID: w.ClusterID, Session: w.Session},
		pulse:  pulse{every: heartbeat(w)},
		better: make(chan *link), home: make(chan dialled), retired: make(chan struct{}),
		moves: make(chan *wire.Move, 1), told: make(chan []string, 1), silent: make(chan (<-chan struct{}), 1), refused: make(chan struct{}, 1), ended: make(chan struct{}),
		sent: w.Acked, resent: time.Now(), heard: time.Now(),
	}
}

// heartbeatMin and heartbeatMax bound what an orchestrator can ask for.
const (
	heartbeatMin = 50 * time.Millisecond
	heartbeatMax = time.Minute
)

// heartbeat is what the orchestrator asks for; 0 is none.
func heartbeat(w *wire.Welcome) time.Duration {
	if w.HeartbeatMillis == 0 {
		return 0
	}
	return min(max(time.Duration(w.HeartbeatMillis)*time.Millisecond, heartbeatMin), heartbeatMax)
}

// pause keeps reports from being sent, from when it returns. unpause ends that.
func (s *session) pause() { s.setPaused(true) }

func (s *session) unpause() {
	s.setPaused(false)
	s.wake()
}

func (s *session) setPaused(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
}

// wake says that there is something to send that the cluster waits for.
func (s *session) wake() { offer(s.urgent) }

// offer leaves a token where there is none.
func offer(tokens chan<- struct{}) {
	select {
	case tokens <- struct{}{}:
	default:
	}
}

// run reads commands and writes reports until the connection or ctx ends.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	messages := make(chan wire.Message, batchMax)
	var both sync.WaitGroup
	both.Go(func() { cancel(s.read(ctx, messages)) })
	both.Go(func() { cancel(s.write(ctx)) })
	both.Go(func() { s.watch(ctx) })
	both.Go(func() { s.watchRefusals(ctx) })
	both.Go(func() { s.seekQUIC(ctx) })
	both.Go(func() { s.seekHome(ctx) })
	s.wake()
	for ctx.Err() == nil {
		select {
		case m := <-messages:
			if err := s.handle(gather(m, messages)); err != nil {
				cancel(err)
			}
		case <-s.link.done():
			cancel(fmt.Errorf("the connection is gone: %w", s.link.cause()))
		case <-s.retired:
			cancel(errRetired)
		case <-ctx.Done():
		}
	}
	err := context.Cause(ctx)
	if errors.Is(err, errRetired) {
		_ = s.control.SetReadDeadline(time.Unix(1, 0))
		_ = s.control.Close()
	} else {
		s.link.close("agent closes the connection")
	}
	both.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began != nil {
		s.began.Stop()
	}
	return err
}

// errRetired says that the session is over, and its link is not.
var errRetired = errors.New("the relay is connected elsewhere")

// gather takes what has arrived together.
func gather(first wire.Message, more <-chan wire.Message) []wire.Message {
	batch := []wire.Message{first}
	for len(batch) < batchMax {
		select {
		case m := <-more:
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}

func (s *session) read(ctx context.Context, to chan<- wire.Message) error {
	r := wire.NewReader(bufio.NewReaderSize(s.control, 64<<10), wire.Orchestrator)
	for {
		m, err := r.Read()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.heard = time.Now()
		s.mu.Unlock()
		switch m := m.(type) {
		case *wire.Pong:
			continue
		case *wire.Move:
			renew(s.moves, m)
			continue
		case *wire.Servers:
			renew(s.told, m.Servers)
			continue
		case *wire.Checkpoint:
			if err := s.agent.trust.judge(m); err != nil {
				s.agent.distrust(ctx, s.link, s.control, err)
				return err
			}
			continue
		}
		select {
		case to <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// renew lets the connect loop know; only the newest counts.
func renew[T any](newest chan T, v T) {
	select {
	case <-newest:
	default:
	}
	newest <- v // nobody else puts one there
}

// watch asks whether the orchestrator is there, and raises the alarm when it is not.
func (s *session) watch(ctx context.Context) {
	if s.pulse.every == 0 {
		return
	}
	var revived chan struct{}
	defer func() {
		if revived != nil {
			close(revived)
		}
	}()
	for next := s.pulse.every; ; {
		refused := false
		due := time.NewTimer(next)
		select {
		case <-due.C:
		case <-s.refused:
			refused = true
		case <-ctx.Done():
			return
		}
		due.Stop()
		now := time.Now()
		signs := s.link.signs()
		s.mu.Lock()
		signs.answered = s.heard
		s.mu.Unlock()
		var ask, silent bool
		ask, silent, next = s.pulse.look(now, signs, s.agent.patience(now))
		if refused && !silent {
			silent = true
			s.pulse.refuse()
		} else if silent && revived == nil {
			s.agent.alarmed(now, false)
		}
		if ask {
			s.askNow()
		}
		switch {
		case silent && revived == nil:
			revived = make(chan struct{})
			select {
			case s.silent <- revived:
			case <-ctx.Done():
			}
		case !silent && revived != nil:
			close(revived)
			revived = nil
			s.agent.alarmed(now, true)
		}
	}
}

// askNow sends a ping.
func (s *session) askNow() {
	s.link.probe()
	s.mu.Lock()
	s.asking = true
	s.mu.Unlock()
	s.wake()
}

// handle decides about commands, makes the decisions durable with one sync, and
// only then lets their effects happen.
func (s *session) handle(batch []wire.Message) error {
	batch, answers, err := s.hear(batch)
	if err != nil {
		s.agent.broken(err)
		return err
	}
	var effects []journal.Effect
	durable := false
	acked := false
	err = s.agent.journal.Append(func(st *journal.State, add func(journal.Record)) error {
		for _, m := range batch {
			d, err := s.decide(st, m)
			if err != nil {
				return err
			}
			for _, r := range d.Records {
				add(r)
			}
			durable = durable || d.Durable()
			effects = append(effects, d.Effects...)
			if _, ok := m.(*wire.Ack); ok {
				acked = true
			}
		}
		return nil
	})
	var over *overError
	if err != nil && !errors.As(err, &over) {
		s.agent.broken(err)
		return err
	}
	if durable {
		if err := s.agent.journal.Sync(); err != nil {
			s.agent.broken(err)
			return err
		}
	}
	if len(s.shipped) > 0 {
		s.agent.provisions.add(s.shipped...)
		s.shipped = nil
	}
	for _, e := range effects {
		s.effect(e)
	}
	if len(effects) > 0 {
		s.agent.startAll(s.agent.onward())
		s.agent.neighbours.look()
		s.agent.provisions.look()
	}
	for _, m := range answers {
		s.agent.values.answered(m)
	}
	if acked {
		s.agent.ackArrived()
		if err := s.agent.dropSettled(); err != nil {
			s.agent.broken(err)
			return err
		}
	}
	return err
}

// overError ends the connection, not the agent.
type overError struct{ err error }

func (e *overError) Error() string { return e.err.Error() }
func (e *overError) Unwrap() error { return e.err }

func (s *session) decide(st *journal.State, m wire.Message) (journal.Decision, error) {
	switch m := m.(type) {
	case *wire.Dispatch:
		// A step that cannot be read is accepted as one without jobs, and fails.
		var w journal.Work
		if step, err := wire.DecodeStep(m.Spec); err == nil {
			w = journal.Work{Jobs: uint32(len(step.Jobs)), KeepGoing: step.KeepGoing, FailFast: step.FailFast,
				Step: journal.StepName(step.Run, step.Task, step.Host)}
			if sh := shipmentOf(m.Attempt, step, 0); len(sh.files) > 0 {
				s.shipped = append(s.shipped, sh)
			}
		}
		return st.Dispatch(s.here, m, w), nil
	case *wire.Cancel:
		return st.Cancel(s.here, m), nil
	case *wire.Ended:
		return st.Ended(s.here, m), nil
	case *wire.Ack:
		d, err := st.Ack(m)
		if err != nil {
			err = &overError{err}
		}
		return d, err
	case *wire.Refuse:
		return journal.Decision{}, &overError{refusedBy(m)}
	}
	return journal.Decision{}, &overError{fmt.Errorf("%w: %T is not expected here", wire.ErrMalformed, m)}
}

func (s *session) effect(e journal.Effect) {
	switch e.Action {
	case journal.Start:
		s.agent.start(e.Attempt)
		s.begun()
	case journal.Kill:
		s.agent.kill(e.Attempt)
		s.wake() // the journal may hold a tombstone's report
	case journal.Reply:
		if e.Reply.Status == wire.StatusRejected {
			s.agent.log.Warn("command rejected", "attempt", e.Attempt, "reason", e.Reply.Reason)
		}
		s.answer(&e.Reply)
		s.wake()
	case journal.Resend:
		s.resend()
	case journal.Release: // whoever acts on the effects looks for what may go on
	}
}

// begun lets the cluster know before long that an attempt has begun.
func (s *session) begun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began == nil {
		s.began = time.AfterFunc(lingerBegan, func() {
			s.mu.Lock()
			s.began = nil
			s.mu.Unlock()
			offer(s.changed)
		})
	}
}

// answer queues a reply.
func (s *session) answer(r *wire.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.replies) < repliesMax {
		s.replies = append(s.replies, r)
	}
}

// tell queues a message.
func (s *session) tell(m wire.Message) {
	s.mu.Lock()
	if len(s.letters) < repliesMax {
		s.letters = append(s.letters, m)
	}
	s.mu.Unlock()
	s.wake()
}

// resend sends all reports again that are not acknowledged. The stream is
// reliable, so once in a while is enough.
func (s *session) resend() {
	var acked uint64
	s.agent.journal.View(func(st *journal.State) { acked = st.Acked })
	s.mu.Lock()
	if time.Since(s.resent) >= resendEvery {
		s.resent = time.Now()
		s.sent = min(s.sent, acked)
	}
	s.mu.Unlock()
	s.wake()
}
