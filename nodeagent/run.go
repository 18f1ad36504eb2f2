package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"quorate/internal/job"
	"quorate/internal/pki"
	"quorate/nodeagent/facts"
	"quorate/nodeagent/journal"
	"quorate/nodeagent/runner"
	"quorate/nodeagent/verb"
	"quorate/nodeagent/wire"
)

const (
	// syncEvery bounds how much progress a machine that goes down can take along.
	syncEvery = 200 * time.Millisecond
	// stopTimeout is what verbs that run inside the agent get to end when it stops.
	stopTimeout = 5 * time.Second
	// unackedBytesMax is where the agent starts no further jobs until the cluster
	// has taken some of the reports.
	unackedBytesMax = 64 << 20
	// jobsMax bounds the jobs that run at the same time.
	jobsMax = 128
)

// An executor runs a job; [verb.Execute] is the one.
type executor func(ctx context.Context, env *verb.Env, j *job.Job) verb.Result

// agent is a running agent.
type agent struct {
	cfg     Config
	log     *slog.Logger
	id      *identity
	journal *journal.Journal
	runner  *runner.Runner
	facts   *facts.Store
	blobs   *blobCache
	// provisions are what open attempts ship, fetched ahead of their jobs.
	provisions *provisions
	trust      *trust
	relays     *relays // or nil
	// neighbours are the other agents of the site, or nil.
	neighbours *neighbours
	verbs      map[string]*verb.Verb
	execute    executor
	workDir    string
	boot       string
	slots      chan struct{}

	values     values
	rehearsals *rehearsals

	servers   *serverList    // the connect loop's
	heartbeat time.Duration  // the connect loop's: what the last gateway asked for
	sessions  sync.WaitGroup // those that run
	retired   chan struct{}  // slots of a relay's connections before
	resuming  sync.Once
	resumed   chan struct{} // closed once what an earlier run left goes on
	advised   sync.Once     // what to do where the cluster has given up on the agent

	jobs     sync.WaitGroup
	jobsCtx  context.Context
	stopJobs context.CancelCauseFunc
	fatal    context.CancelCauseFunc

	extending atomic.Bool  // windows of attempts that wait are being extended
	mute      atomic.Int32 // connections over QUIC in a row that bore no answer

	mu      sync.Mutex
	running map[uint64]context.CancelCauseFunc
	session *session
	caution caution
	alone   bool // goes on without a connection, since the host has restarted
	outcast bool // the cluster has given up on the agent
	seeking seeking
	homing  homing
	// acked is closed and replaced when the cluster has taken reports.
	acked chan struct{}
}

// Run is the whole life of an agent: it joins the cluster where it has no
// identity yet, connects, and works until ctx ends. Jobs that run then go on, and
// the next Run on the same data directory adopts them. It returns nil when ctx
// ends, and an error where it cannot work: [ErrLocked], [ErrNoServers], a
// [RefusedError] or a [ForeignError] of the join token, journal.ErrCorrupt, or an
// error of the disk.
func Run(ctx context.Context, cfg Config) error { return run(ctx, cfg, verb.Execute) }

func run(ctx context.Context, cfg Config, execute executor) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	lock, err := lockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	cfg.sockets = new(sockets)
	defer cfg.sockets.close()
	boot, err := cfg.boot()
	if err != nil {
		return err
	}
	id, j, err := join(ctx, &cfg, boot)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	a, err := newAgent(cfg, id, j, boot, execute)
	if err != nil {
		j.Close()
		return err
	}
	if cfg.site != nil {
		return a.runRelay(ctx, cfg.site)
	}
	return a.run(ctx)
}

func newAgent(cfg Config, id *identity, j *journal.Journal, boot string, execute executor) (*agent, error) {
	a := &agent{
		cfg: cfg, id: id, journal: j, boot: boot, execute: execute,
		log:     cfg.Logger.With("agent", id.Agent, "name", id.Name),
		verbs:   verb.Table(),
		slots:   make(chan struct{}, jobsMax),
		running: map[uint64]context.CancelCauseFunc{},
		acked:   make(chan struct{}),
		resumed: make(chan struct{}),
		retired: make(chan struct{}, retiredMax),
		homing:  newHoming(),
		servers: newServerList(id.Servers, cfg.Servers),
		relays:  newRelays(cfg.Relays, pki.SiteTLS(id.cert, id.ca), "identity", cfg.sockets),
	}
	a.neighbours = newNeighbours(a)
	var journalID string
	j.View(func(s *journal.State) { journalID = s.JournalID })
	var err error
	if a.workDir, err = workDir(&cfg); err != nil {
		return nil, err
	}
	a.runner, err = runner.New(runner.Config{Dir: filepath.Join(cfg.DataDir, "jobs"), JournalID: journalID, Logger: a.log})
	if err != nil {
		return nil, err
	}
	a.provisions = newProvisions(a)
	if a.blobs, err = newBlobCache(filepath.Join(cfg.DataDir, "blobs"), a); err != nil {
		return nil, err
	}
	if a.rehearsals, err = newRehearsals(filepath.Join(cfg.DataDir, "rehearsals")); err != nil {
		return nil, err
	}
	if a.trust, err = loadTrust(cfg.DataDir, id.ClusterID, a.log); err != nil {
		return nil, err
	}
	if a.facts, err = facts.Open(filepath.Join(cfg.DataDir, "facts.db")); err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	return a, nil
}

// run resumes what an earlier run left, and serves connections until ctx ends.
func (a *agent) run(ctx context.Context) error {
	ctx, a.fatal = context.WithCancelCause(ctx)
	defer a.fatal(nil)
	a.jobsCtx, a.stopJobs = context.WithCancelCause(context.Background())

	if a.runner.Blank() {
		if err := a.settleUntraced(); err != nil {
			a.journal.Close()
			a.facts.Close()
			return err
		}
	}
	if err := a.recollect(); err != nil {
		return errors.Join(err, a.journal.Close(), a.facts.Close())
	}
	var open []uint64
	certain := false
	a.journal.View(func(s *journal.State) { open, certain = s.Open(), s.Certain() })
	a.tidy(open)
	if certain {
		a.resume()
	}
	var syncing sync.WaitGroup
	syncing.Go(func() { a.syncLoop(ctx) })
	var waiting sync.WaitGroup
	if len(open) > 0 && !certain {
		waiting.Go(func() { a.awaitCluster(ctx) })
	}
	waiting.Go(func() { a.neighbours.run(ctx) })
	waiting.Go(func() { a.provisions.run(ctx) })
	waiting.Go(func() { a.remember(ctx) })
	a.connectLoop(ctx)
	a.relays.close()
	waiting.Wait()

	a.stopJobs(runner.ErrLeave)
	ended := make(chan struct{})
	go func() { a.jobs.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		a.log.Warn("some jobs did not stop in time; their outcome may be unknown")
	}
	syncing.Wait()
	err := context.Cause(ctx)
	var broken *brokenError
	if !errors.As(err, &broken) {
		err = nil
	}
	if e := a.journal.Stop(); err == nil && e != nil {
		err = e
	}
	if e := errors.Join(a.rehearsals.close(), a.facts.Close()); err == nil && e != nil {
		err = e
	}
	return err
}

// resume goes on with the attempts that an earlier run left.
func (a *agent) resume() {
	a.resuming.Do(func() {
		close(a.resumed)
		var open []uint64
		a.journal.View(func(s *journal.State) { open = s.Open() })
		for _, id := range open {
			a.log.Info("going on with an attempt", "attempt", id)
			a.start(id)
		}
		a.startAll(a.onward())
	})
}

// brokenError is a failure that the agent cannot work with.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// broken ends the agent: what its journal cannot hold must not happen.
func (a *agent) broken(err error) {
	if a.jobsCtx.Err() != nil {
		return // it stops already
	}
	a.log.Error("the agent cannot go on", "error", err)
	a.fatal(&brokenError{err})
}

// syncLoop syncs the progress that nobody waits for.
func (a *agent) syncLoop(ctx context.Context) {
	for sleep(ctx, syncEvery) {
		if err := a.journal.Sync(); err != nil {
			a.broken(err)
			return
		}
	}
}

// tidy removes the files of attempts that are over.
func (a *agent) tidy(open []uint64) {
	for _, id := range a.runner.Attempts() {
		if !slices.Contains(open, id) {
			a.forget(id)
		}
	}
}

// start runs an attempt that the journal holds as intended, unless it waits for others.
func (a *agent) start(id uint64) {
	if ctx, ok := a.claim(id); ok {
		a.jobs.Go(func() { a.work(ctx, id) })
	}
}

// claim makes the attempt one that runs, and returns its context. It is false where
// the attempt runs already, or waits for others, or for a connection as one of a run that
// fails fast may, or the cluster has given up on the agent.
func (a *agent) claim(id uint64) (context.Context, bool) {
	waits, cutOff := false, a.current() == nil
	a.journal.View(func(s *journal.State) { waits = s.Waits(id) || cutOff && s.Hurried(id) })
	if waits {
		return nil, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.running[id]; ok || a.outcast {
		return nil, false
	}
	ctx, cancel := context.WithCancelCause(a.jobsCtx)
	a.running[id] = cancel
	return ctx, true
}

// work runs a claimed attempt, and then one of those that have waited for it: a chain
// goes on in the goroutine that it has. What else may start gets one of its own.
func (a *agent) work(ctx context.Context, id uint64) {
	for claimed := true; claimed; {
		err := a.runAttempt(ctx, id)
		a.mu.Lock()
		a.running[id](nil)
		delete(a.running, id)
		a.mu.Unlock()
		claimed = false
		switch {
		case err == nil || errors.Is(err, journal.ErrEnded):
			for _, next := range a.onward() {
				if claimed {
					a.start(next)
				} else if ctx, claimed = a.claim(next); claimed {
					id = next
				}
			}
		case !errors.Is(err, runner.ErrLeave):
			a.broken(err)
		}
	}
}

// kill ends what runs of an attempt; its goroutine journals what came of it.
func (a *agent) kill(id uint64) {
	a.mu.Lock()
	cancel := a.running[id]
	a.mu.Unlock()
	if cancel != nil {
		cancel(errCancelled)
	}
}

// notify says that there are new reports. Only for the end of an attempt does the
// cluster wait.
func (a *agent) notify(attemptEnded bool) {
	s := a.current()
	switch {
	case s == nil:
	case attemptEnded:
		s.wake()
	default:
		offer(s.changed)
	}
}

// setSession makes s the connection that reports go by.
func (a *agent) setSession(s *session) {
	a.mu.Lock()
	a.session = s
	a.mu.Unlock()
	a.blobs.connected()
	a.provisions.connected()
	for _, m := range a.values.all() {
		s.tell(m)
	}
	select {
	case <-a.resumed:
		a.startAll(a.onward()) // what has waited for a connection
	default:
	}
}

// unsetSession says that s has ended.
func (a *agent) unsetSession(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == s {
		a.session = nil
	}
}

func (a *agent) current() *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.session
}

// ackArrived wakes the attempts that wait for room.
func (a *agent) ackArrived() {
	a.mu.Lock()
	close(a.acked)
	a.acked = make(chan struct{})
	a.mu.Unlock()
}

// dropSettled drops what is only kept for attempts that are settled now.
func (a *agent) dropSettled() error {
	if err := a.journal.Compact(); err != nil {
		return err
	}
	var floor uint64
	a.journal.View(func(s *journal.State) { floor = s.Floor })
	return a.facts.Settle(floor)
}

func (a *agent) ackWait() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acked
}

// hello introduces the agent.
func (a *agent) hello() *wire.Hello {
	h := &wire.Hello{Version: a.cfg.Version, BootID: a.boot, Seen: a.trust.seen()}
	a.journal.View(func(s *journal.State) {
		h.JournalID, h.JournalSeq = s.JournalID, s.ShownSeq()
		h.Floor, h.EpochMax, h.Acked = s.Floor, s.EpochMax, s.Acked
		h.Attempts, h.Forbidden, h.Unstarted = s.Attempts(), s.Forbidden(), s.Unstarted()
	})
	return h
}
