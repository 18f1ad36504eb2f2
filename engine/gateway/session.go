package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"quorate/engine"
	"quorate/internal/admission"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
)

// A session is one connection of an agent whose Hello was accepted.
type session struct {
	g       *gateway
	agent   uint64
	name    string
	nonce   string
	journal string
	conn    *connection
	control *stream
	bulk    *bulk

	recorded bool // AgentConnected may be in the log
	welcomed bool // it is, and the agent was told
	// connection is the index of its AgentConnected; reports count under it alone.
	connection uint64
	handing    sync.Once       // a relay's: its agents are to follow it
	handshakes admission.Queue // a relay's: of the agents in its tunnels
	replaced   atomic.Bool     // by another connection of the agent to this gateway
	before     *session        // a relay's here, whose tunnels go on, until this one is welcomed

	ended chan struct{} // closed when nothing of the session runs any more
	wake  chan struct{} // holds one: the sender has something to look at

	// The rest is the sender's but for what notes holds.
	notes notes
	sent  uint64          // every open attempt up to it was sent
	told  map[uint64]bool // attempts that were sent as cancelled: also where they have started?
	// withheld are attempts up to sent that are to wait here, see due.
	withheld []uint64
	acked    uint64   // the newest report that was acknowledged
	known    []string // the gateways that the agent was told
	shown    uint64   // the size of the newest checkpoint that it was told
	fence    wire.Fence
	// learned is up to which index the agent was told the values of a key; asks are
	// its open questions, which were looked at last at asked.
	learned map[string]uint64
	asks    map[uint64]*question
	asked   time.Time
	// behind are attempts of other agents, with those of this one that wait for them; it
	// is tidied when it has so many.
	behind map[uint64][]uint64
	tidyAt int

	// The receiver's.
	received uint64         // the number of the newest report that was taken
	reports  map[uint64]int // reports taken, by attempt under way
	late     int            // reports taken on attempts that were settled
	pings    pingBudget
}

// notes are what others leave for the sender.
type notes struct {
	mu sync.Mutex
	left
}

// left is what the sender takes at once of its notes.
type left struct {
	cancels bool       // an attempt may be marked for cancelling
	again   []uint64   // attempts to send once more
	ended   []uint64   // attempts of other agents of which there is news
	pong    bool       // the agent asks whether we are there
	move    *wire.Move // where the agent is to go, or nil
	asks    []wire.Ask // what the agent wants to know
	facts   []uint64   // what is to be asked of the agent
	members bool       // the cluster's gateways may be others, or elsewhere
	signed  bool       // the log may be signed further
}

// nudge wakes the sender. It never blocks.
func (s *session) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// refusal is why a connection is not served.
type refusal struct {
	code, reason string
	after        time.Duration // when to come again, or 0
}

func (r *refusal) Error() string { return r.code + ": " + r.reason }

// message is what the peer is told.
func (r *refusal) message() *wire.Refuse {
	return &wire.Refuse{Code: r.code, Reason: r.reason, AfterMillis: uint32(r.after.Milliseconds())}
}

// serveAgent runs an agent's connection to its end.
func (g *gateway) serveAgent(ctx context.Context, c *connection) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.close(codeDone, "the orchestrator stops") })
	defer stop()
	defer c.whenClosed(cancel)()
	s, err := g.greet(ctx, c)
	if s == nil {
		if c.over() == nil { // or it is said once for all of them
			g.logger.Warn("agent refused", "address", c.remote(), "error", err)
		}
		return
	}
	if err == nil {
		g.logger.Info("agent connected", "agent", s.name, "address", c.remote(), "session", s.nonce)
		err = s.run(ctx)
	}
	reason := parting(c.why(err))
	c.close(codeOf(err), clip(reason, nameBytesMax))
	g.commits.drained(s)
	g.sessions.remove(s)
	close(s.ended)
	if s.recorded && !s.superseded() {
		g.presence.gone(s, clip(reason, nameBytesMax))
	}
	g.logger.Info("agent disconnected", "agent", s.name, "session", s.nonce, "reason", reason)
}

// superseded reports whether the end of the session is no news to anybody.
func (s *session) superseded() (yes bool) {
	s.g.o.View(func(state *engine.State) { yes = s.welcomed && state.Agent(s.agent).Session != s.nonce })
	return yes
}

// greet reads the Hello and answers it. It returns the session once it is on
// the books, also where the connection ends right after.
func (g *gateway) greet(ctx context.Context, c *connection) (*session, error) {
	helloCtx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	control, err := c.stream(helloCtx)
	if err != nil {
		return nil, fmt.Errorf("wait for the control stream: %w", err)
	}
	if err := control.readWithin(helloTimeout); err != nil {
		return nil, err
	}
	message, err := c.protocol().Receive(control, wire.Agent)
	if err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	hello, ok := message.(*wire.Hello)
	if !ok {
		return nil, errors.New("hello: another message came first")
	}
	if err := control.readWithin(0); err != nil {
		return nil, err
	}
	if refused := g.turnedAway(c); refused != nil {
		g.farewell(ctx, c, control, refused)
		return nil, refused
	}
	s, err := g.introduce(ctx, c, hello)
	if s != nil {
		s.control = control
	}
	if err == nil {
		err = s.welcome(ctx, hello)
	}
	var refused *refusal
	if errors.As(err, &refused) {
		if s == nil && refused.code == codeQuarantined {
			err = errors.Join(err, g.testify(ctx, c, control, hello))
		}
		g.farewell(ctx, c, control, refused)
	}
	return s, err
}

// farewell tells the agent why it is not served, and waits a moment for it to read that.
func (g *gateway) farewell(ctx context.Context, c *connection, control *stream, why *refusal) {
	if err := wire.WriteMessage(control, why.message()); err != nil {
		return
	}
	_ = control.Close() // the connection goes anyway
	ctx, cancel := context.WithTimeout(ctx, farewellTimeout)
	defer cancel()
	select {
	case <-c.done():
	case <-ctx.Done():
	}
	c.close(codeRefused, why.code)
}

// introduce checks who the agent is and replaces its session before, if any.
func (g *gateway) introduce(ctx context.Context, c *connection, hello *wire.Hello) (*session, error) {
	id, digest, err := g.identify(c)
	if err != nil {
		err = &refusal{code: "unknown-agent", reason: err.Error()}
		g.deniedAgent(c, 0, err)
		return nil, err
	}
	if err := checkHello(hello); err != nil {
		return nil, err
	}
	name, refused := g.check(c, id, digest)
	if refused != nil {
		// Another orchestrator may just have enrolled or approved it.
		if err := g.o.Barrier(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", &refusal{code: "busy", reason: "the agent is not known here yet, and no majority answers"}, err)
		}
		name, refused = g.check(c, id, digest)
	}
	if refused == nil {
		refused = g.damp(id)
	}
	if refused != nil {
		g.deniedAgent(c, id, refused)
		return nil, refused
	}
	s := &session{
		g: g, agent: id, name: name, nonce: nonce(), journal: hello.JournalID, conn: c, bulk: g.newBulk(c),
		ended: make(chan struct{}), wake: make(chan struct{}, 1),
		told: map[uint64]bool{}, reports: map[uint64]int{},
	}
	if c.relays() {
		s.handshakes = g.limits.ofOneRelay()
	}
	// The session before may have reports on their way into the log. The journal
	// is compared, and the agent told what is committed, when they have arrived.
	before := g.sessions.add(s)
	switch {
	case before == nil:
	case c.relays() && hello.Asked: // it reports nothing, and has agents in its connection that are to follow
		s.before = before
	default:
		before.replaced.Store(true)
		before.conn.close(codeReplaced, "replaced by another connection of this agent")
		select {
		case <-before.ended:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	return s, nil
}

func checkHello(hello *wire.Hello) error {
	if len(hello.Attempts) > attemptsHeldMax || len(hello.JournalID) > nameBytesMax || len(hello.BootID) > nameBytesMax {
		return errors.New("hello beyond its bounds")
	}
	return nil
}

// identify reads the certificate, which TLS has verified.
func (g *gateway) identify(c *connection) (agent uint64, keyDigest string, err error) {
	cert := c.certificate()
	if cert == nil {
		return 0, "", errors.New("no certificate was shown")
	}
	identify := pki.AgentID
	if c.relays() {
		identify = pki.RelayID
	}
	cluster, agent, err := identify(cert)
	if err != nil {
		return 0, "", err
	}
	if cluster != g.o.CA().ClusterID() {
		return 0, "", errors.New("the certificate is another cluster's")
	}
	return agent, pki.KeyDigest(cert.RawSubjectPublicKeyInfo), nil
}

// check says whether the agent may work.
func (g *gateway) check(c *connection, id uint64, keyDigest string) (name string, refused *refusal) {
	g.o.View(func(s *engine.State) {
		a := s.Agent(id)
		if a == nil || a.KeyDigest != keyDigest || a.Relay != c.relays() {
			refused = &refusal{code: "unknown-agent", reason: fmt.Sprintf("agent %d is not on record here", id)}
			if s.RecoveredAt != 0 {
				refused.reason += ": the cluster was recovered, perhaps to before the agent enrolled; enrol it anew"
			}
			return
		}
		name, refused = a.Name, barred(a)
	})
	return name, refused
}

// barred says why an agent may not work, or nil.
func barred(a *engine.Agent) *refusal {
	switch {
	case a.Revoked:
		return &refusal{code: "revoked", reason: "the agent was revoked"}
	case a.Quarantined != "":
		return &refusal{code: codeQuarantined, reason: a.Quarantined}
	case a.Pending:
		return &refusal{code: "pending", reason: `an operator has to approve the agent: "quorate agent approve ` + a.Name + `"`}
	}
	return nil
}

// receiveBytes is what a session reads at a time. Most frames are shorter, longer ones
// are read as they come, and thousands of sessions keep a buffer each.
const receiveBytes = 4 << 10

// run serves the connection until one of its parts ends, and returns why.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	part := func(f func(context.Context) error) {
		parts.Go(func() { cancel(f(ctx)) })
	}
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() { // what the parts wait for ends with the connection
		defer close(closed)
		s.part(ctx, context.Cause(ctx))
	})
	part(func(ctx context.Context) error {
		err := s.receive(ctx, bufio.NewReaderSize(s.control, receiveBytes))
		if s.conn.relays() && errors.Is(err, io.EOF) {
			s.handOver(ctx) // it has said good-bye, and its agents have not
		}
		return err
	})
	part(s.serveStreams)
	cancel(s.send(ctx))
	<-closed
	parts.Wait()
	return context.Cause(ctx)
}

// part closes the connection, and tells an agent that is refused why.
func (s *session) part(ctx context.Context, err error) {
	var refused *refusal
	if errors.As(err, &refused) {
		s.g.farewell(context.WithoutCancel(ctx), s.conn, s.control, refused)
	}
	s.conn.close(codeOf(err), clip(parting(err), nameBytesMax))
}
