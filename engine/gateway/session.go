package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"quorate/engine"
	"quorate/eventlog"
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

	recorded bool // AgentConnected may be in the log
	// connection is the index of its AgentConnected; reports count under it alone.
	connection uint64

	ended chan struct{} // closed when nothing of the session runs any more
	wake  chan struct{} // holds one: the sender has something to look at

	// The rest is the sender's but for what notes holds.
	notes notes
	sent  uint64              // every open attempt up to it was sent
	told  map[uint64]struct{} // attempts that were sent as cancelled
	acked uint64              // the newest report that was acknowledged
	fence wire.Fence

	// The receiver's.
	received uint64         // the number of the newest report that was taken
	reports  map[uint64]int // reports taken, by attempt under way
	late     int            // reports taken on attempts that were settled
}

// notes are what others leave for the sender.
type notes struct {
	mu      sync.Mutex
	cancels bool     // an attempt may be marked for cancelling
	barred  bool     // the agent may have lost its right
	again   []uint64 // attempts to send once more
}

// nudge wakes the sender. It never blocks.
func (s *session) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// refusal is why a connection is not served.
type refusal struct{ code, reason string }

func (r *refusal) Error() string { return r.code + ": " + r.reason }

// serveAgent runs an agent's connection to its end.
func (g *gateway) serveAgent(ctx context.Context, c *connection) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.close(codeDone, "the orchestrator stops") })
	defer stop()
	defer c.whenClosed(cancel)()
	s, err := g.greet(ctx, c)
	if s == nil {
		g.logger.Warn("agent refused", "address", c.remote(), "error", err)
		return
	}
	if err == nil {
		g.logger.Info("agent connected", "agent", s.name, "address", c.remote(), "session", s.nonce)
		err = s.run(ctx)
	}
	reason := parting(err)
	c.close(codeProtocol, clip(reason, nameBytesMax))
	g.commits.drained(s)
	g.sessions.remove(s)
	close(s.ended)
	if s.recorded {
		g.presence.gone(s.agent, s.nonce, clip(reason, nameBytesMax))
	}
	g.logger.Info("agent disconnected", "agent", s.name, "session", s.nonce, "reason", reason)
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
	message, err := wire.ReadFrom(control, wire.Agent)
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
	s, err := g.introduce(ctx, c, hello)
	var refused *refusal
	if errors.As(err, &refused) {
		g.farewell(ctx, c, control, refused)
	}
	if s != nil {
		s.control = control
	}
	if err != nil {
		return s, err
	}
	return s, s.welcome(ctx, hello)
}

// farewell tells the agent why it is not served, and waits a moment for it to read that.
func (g *gateway) farewell(ctx context.Context, c *connection, control *stream, why *refusal) {
	if err := wire.WriteMessage(control, &wire.Refuse{Code: why.code, Reason: why.reason}); err != nil {
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
		return nil, &refusal{"unknown-agent", err.Error()}
	}
	if len(hello.Attempts) > attemptsHeldMax || len(hello.JournalID) > nameBytesMax || len(hello.BootID) > nameBytesMax {
		return nil, errors.New("hello beyond its bounds")
	}
	name, refused := g.check(id, digest)
	if refused != nil {
		return nil, refused
	}
	s := &session{
		g: g, agent: id, name: name, nonce: nonce(), journal: hello.JournalID, conn: c,
		ended: make(chan struct{}), wake: make(chan struct{}, 1),
		told: map[uint64]struct{}{}, reports: map[uint64]int{},
	}
	// The session before may have reports on their way into the log. The journal
	// is compared, and the agent told what is committed, when they have arrived.
	if before := g.sessions.add(s); before != nil {
		before.conn.close(codeReplaced, "replaced by another connection of this agent")
		select {
		case <-before.ended:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	return s, g.checkJournal(ctx, s, hello)
}

// identify reads the certificate, which TLS has verified.
func (g *gateway) identify(c *connection) (agent uint64, keyDigest string, err error) {
	cert := c.certificate()
	if cert == nil {
		return 0, "", errors.New("no certificate was shown")
	}
	cluster, agent, err := pki.AgentID(cert)
	if err != nil {
		return 0, "", err
	}
	if cluster != g.o.CA().ClusterID() {
		return 0, "", errors.New("the certificate is another cluster's")
	}
	return agent, pki.KeyDigest(cert.RawSubjectPublicKeyInfo), nil
}

// check says whether the agent may work.
func (g *gateway) check(id uint64, keyDigest string) (name string, refused *refusal) {
	g.o.View(func(s *engine.State) {
		a := s.Agent(id)
		if a == nil || a.KeyDigest != keyDigest {
			refused = &refusal{"unknown-agent", fmt.Sprintf("agent %d is not on record here", id)}
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
		return &refusal{"revoked", "the agent was revoked"}
	case a.Quarantined != "":
		return &refusal{"quarantined", a.Quarantined}
	case a.Pending:
		return &refusal{"pending", `an operator has to approve the agent: "quorate agent approve ` + a.Name + `"`}
	}
	return nil
}

// checkJournal quarantines an agent whose journal is not the one on record.
func (g *gateway) checkJournal(ctx context.Context, s *session, hello *wire.Hello) error {
	var fault string
	g.o.View(func(st *engine.State) {
		fault = st.Agent(s.agent).JournalFault(hello.JournalID, hello.JournalSeq)
	})
	if fault != "" {
		return g.quarantine(ctx, s, fault, hello.JournalID, hello.JournalSeq)
	}
	held := slices.Sorted(slices.Values(hello.Attempts))
	var missing uint64
	g.o.View(func(st *engine.State) {
		if missing = g.sessions.accepted.missing(st, s.agent, held); missing == 0 {
			g.sessions.accepted.note(st, s.agent, held...)
		}
	})
	if missing == 0 {
		return nil
	}
	fault = fmt.Sprintf("the journal does not hold attempt %d, which the agent had begun: it is an older copy, or another agent's", missing)
	return g.quarantine(ctx, s, fault, "", 0)
}

// quarantine takes the agent out of service. The journal is what it showed;
// without one the reason alone counts. It returns the refusal.
func (g *gateway) quarantine(ctx context.Context, s *session, reason, journalID string, journalSeq uint64) error {
	g.logger.Error("agent quarantined", "agent", s.name, "reason", reason)
	_, voids, err := g.o.Propose(ctx, &eventlog.AgentQuarantined{
		Agent: s.agent, Reason: reason, JournalID: journalID, JournalSeq: journalSeq,
	})
	if err != nil {
		return err
	}
	if voids[0] != "" {
		g.logger.Warn("quarantine was void", "agent", s.name, "why", voids[0])
	}
	return &refusal{"quarantined", reason}
}

// welcome puts the connection on record and answers the Hello.
func (s *session) welcome(ctx context.Context, hello *wire.Hello) error {
	o := s.g.o
	s.recorded = true
	indexes, voids, err := o.Propose(ctx, &eventlog.AgentConnected{
		Agent: s.agent, Gateway: o.Replica(), Session: s.nonce, Version: printable(hello.Version), BootID: printable(hello.BootID),
		JournalID: hello.JournalID, JournalSeq: hello.JournalSeq, Address: s.conn.remote(),
	})
	if err != nil {
		return err
	}
	if voids[0] != "" {
		refused := &refusal{"busy", voids[0]}
		s.g.farewell(ctx, s.conn, s.control, refused)
		return refused
	}
	s.connection = indexes[0]
	w := &wire.Welcome{ClusterID: o.CA().ClusterID(), Agent: s.agent, Name: s.name, Session: s.nonce}
	o.View(func(st *engine.State) {
		a := st.Agent(s.agent)
		w.Epoch, w.Acked, w.Floor = st.Epoch, a.JournalSeq, a.Floor()
	})
	s.received = w.Acked
	s.acked = w.Acked
	s.fence = wire.Fence{ClusterID: w.ClusterID, Session: s.nonce, JournalID: s.journal}
	return wire.WriteMessage(s.control, w)
}

// run serves the connection until one of its parts ends, and returns why.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	part := func(f func(context.Context) error) {
		parts.Go(func() { cancel(f(ctx)) })
	}
	part(s.send)
	part(func(ctx context.Context) error { return s.receive(ctx, bufio.NewReaderSize(s.control, 32<<10)) })
	part(s.serveBlobs)
	<-ctx.Done()
	err := context.Cause(ctx)
	var refused *refusal
	if errors.As(err, &refused) {
		s.g.farewell(context.WithoutCancel(ctx), s.conn, s.control, refused)
	}
	s.conn.close(codeProtocol, clip(parting(err), nameBytesMax))
	parts.Wait()
	return err
}
