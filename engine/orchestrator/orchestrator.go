// Package orchestrator drives a log with the pure engine: it folds every record
// into a state, tells those who wait for it, proposes events, and, where the log
// says that this replica leads, schedules.
//
// Everything that changes the state goes through the log. The package holds no
// connection and speaks no protocol: engine/gateway and engine/api do.
package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"quorate/engine"
	"quorate/engine/denial"
	"quorate/engine/snapshot"
	"quorate/eventlog"
	"quorate/internal/job"
	"quorate/internal/pki"
)

// Config says what an orchestrator works with.
type Config struct {
	Log   engine.Log
	Blobs *eventlog.Blobs
	CA    *pki.CA
	// Replica is this orchestrator's number in the cluster, from 1.
	Replica uint64
	// Version is the program's.
	Version string
	// Verbs are what agents of this version know. A plan with a job that they
	// cannot run is refused; nil refuses none.
	Verbs  job.Lookup
	Logger *slog.Logger
	// Now is the clock that stamps proposals; nil is time.Now.
	Now func() time.Time
	// States is the directory of the state's snapshots; where it is empty there are
	// none, and a start folds the log from its beginning.
	States string
	// StatesEvery is how many records apart they are; 0 is [StatesEvery].
	StatesEvery uint64

	// Cluster is what replicates the log; nil where nothing does.
	Cluster Cluster
	// Peers are the other orchestrators; nil where there are none.
	Peers Peers
	// Self is this orchestrator with its addresses, for the record. A zero one is
	// not put on record: it serves nobody but this process.
	Self eventlog.OrchestratorMoved
	// Recovered is set where a recovery or a restore made this directory the
	// cluster's only one: what is to go on record, but for Replica and addresses.
	Recovered *eventlog.ClusterRecovered
	// Book is told the members' Raft addresses when they change; nil where nobody
	// wants to know.
	Book func(map[uint64]string) error
	// Secrets are the files that make an orchestrator one of this cluster, by
	// name, for those that join; nil where nobody can.
	Secrets func() (map[string][]byte, error)
	// Room tells how many bytes an orchestrator needs on its disk beside the log, and
	// how many the log takes here; nil where who joins need not be asked.
	Room func() (own, log uint64)
	// Sinks get each checkpoint while this orchestrator leads.
	Sinks []Sink
	// Retention bounds the log's live file; a zero one does not.
	Retention Retention
	// Denials are who was refused; nil begins with none.
	Denials *denial.Ledger
}

// An Orchestrator is one replica's engine. Its methods may be called concurrently.
type Orchestrator struct {
	cfg    Config
	logger *slog.Logger

	mu        sync.RWMutex // guards state, voids and observers
	state     *engine.State
	voids     snapshot.Voids
	observers map[int]Observer
	observed  int

	folded     progress
	membership progress // of changes to who is a member
	recorded   progress // of plans
	headAtUp   uint64   // the log's head when the orchestrator was made

	voters    atomic.Pointer[[]uint64] // as Raft said last
	booked    map[uint64]string        // what Book was told last; of the loop that folds
	dismissed chan struct{}            // closed when this orchestrator is removed
	dissent   dissent                  // guarded by mu
	strangers throttle                 // joins with a token that is not on record

	facts  factsSource // who can ask agents
	notary *notary

	plans   planCache
	appends prometheus.Histogram
	damped  prometheus.Counter
}

// An Observer sees every record right after it is folded, in order, with its
// event and the state as of that record. void is why the event changed nothing,
// or empty. It runs under the state's lock: it must be quick, must not block,
// must not call back into the orchestrator and must keep nothing of the state.
type Observer func(s *engine.State, rec *eventlog.Record, event eventlog.Event, void string)

// New returns an orchestrator; Run makes it work.
func New(cfg Config) (*Orchestrator, error) {
	switch {
	case cfg.Log == nil:
		return nil, errors.New("orchestrator: a log is needed")
	case cfg.Blobs == nil:
		return nil, errors.New("orchestrator: a blob store is needed")
	case cfg.CA == nil:
		return nil, errors.New("orchestrator: a certificate authority is needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Denials == nil {
		cfg.Denials = denial.NewLedger(cfg.Now)
	}
	o := &Orchestrator{
		cfg: cfg, logger: cfg.Logger,
		state: engine.NewState(), voids: snapshot.Voids{}, observers: map[int]Observer{},
		plans: planCache{blobs: cfg.Blobs}, dismissed: make(chan struct{}),
		dissent:   dissent{queue: make(chan eventlog.StateHashed, hashesQueuedMax)},
		strangers: throttle{perMinute: strangersPerMinuteMax},
		damped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quorate_connections_damped_total", Help: "Connections of agents that were put off because the agent flaps.",
		}),
		appends: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "quorate_append_seconds", Help: "Time from a proposal until its events are committed.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16),
		}),
	}
	o.headAtUp, _ = cfg.Log.Head()
	var err error
	if o.notary, err = newNotary(cfg.CA, cfg.Sinks); err != nil {
		return nil, fmt.Errorf("orchestrator: %w", err)
	}
	o.adopt()
	return o, nil
}

// Run folds the log and leads when the log says so, until ctx ends (then it
// returns nil) or the log cannot be followed. The error wraps [ErrRemoved] where
// this orchestrator is no member any more, and [ErrDiffers] where it was halted.
func (o *Orchestrator) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range []func(context.Context) error{o.follow, o.lead, o.attend, o.leave, o.sayHashes, o.hold, o.witness, o.keepStates, o.retain, o.tellAlarms, o.tellDenials} {
		group.Go(func() error { return part(ctx) })
	}
	err := group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// View calls f with the state under its lock. f must be quick, must not block
// and must keep nothing of the state.
func (o *Orchestrator) View(f func(s *engine.State)) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	f(o.state)
}

// Observe registers an observer and calls start, where there is one, with the
// state that the first record it sees will be folded into. stop ends it.
func (o *Orchestrator) Observe(f Observer, start func(s *engine.State)) (stop func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if start != nil {
		start(o.state)
	}
	id := o.observed
	o.observed++
	o.observers[id] = f
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.observers, id)
	}
}

// Watch returns the index of the newest folded record and a channel that is
// closed when another one is folded.
func (o *Orchestrator) Watch() (folded uint64, changed <-chan struct{}) { return o.folded.watch() }

// WaitFolded blocks until the record at the index is folded here, or ctx ends.
func (o *Orchestrator) WaitFolded(ctx context.Context, index uint64) error {
	return o.folded.wait(ctx, index)
}

// ViewVoids is View with why records, up to the newest that is folded, changed
// nothing; it is empty for those that did change something.
func (o *Orchestrator) ViewVoids(f func(s *engine.State, void func(index uint64) string)) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	f(o.state, o.voids.Reason)
}

// Records returns up to limit records of the log from an index on.
func (o *Orchestrator) Records(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error) {
	return o.cfg.Log.Read(ctx, from, limit)
}

// Tree returns the Merkle tree over the first records of the log.
func (o *Orchestrator) Tree(size uint64) (*eventlog.Tree, error) { return o.cfg.Log.Tree(size) }

// Ready returns nil where the orchestrator can do its work: it has folded what
// the log held at start, and the cluster has a leader as far as it knows.
func (o *Orchestrator) Ready() error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.state.Index < o.headAtUp {
		return &Error{Code: Unavailable, Message: fmt.Sprintf("reading the log: %d of %d records", o.state.Index, o.headAtUp)}
	}
	known := true
	if o.cfg.Cluster != nil {
		_, _, known = o.cfg.Cluster.Leader()
	}
	if o.state.Epoch == 0 || !known {
		return &Error{Code: Unavailable, Message: "the cluster has no leader"}
	}
	return nil
}

// CaughtUp blocks until everything that the log held at start is folded.
func (o *Orchestrator) CaughtUp(ctx context.Context) error {
	return o.folded.wait(ctx, o.headAtUp)
}

// Leading reports whether this replica leads.
func (o *Orchestrator) Leading() bool {
	_, leading, _ := o.cfg.Log.Leading()
	return leading
}

// Blobs returns the store of blobs.
func (o *Orchestrator) Blobs() *eventlog.Blobs { return o.cfg.Blobs }

// CA returns the cluster's certificate authority.
func (o *Orchestrator) CA() *pki.CA { return o.cfg.CA }

// Replica returns this orchestrator's number.
func (o *Orchestrator) Replica() uint64 { return o.cfg.Replica }

// Version returns the program's version.
func (o *Orchestrator) Version() string { return o.cfg.Version }

// Now reads the clock that proposals are stamped with.
func (o *Orchestrator) Now() time.Time { return o.cfg.Now() }

// Logger returns the logger.
func (o *Orchestrator) Logger() *slog.Logger { return o.logger }

// Collectors returns the metrics that the orchestrator keeps itself.
func (o *Orchestrator) Collectors() []prometheus.Collector {
	return []prometheus.Collector{o.appends, o.damped, o.notary.distrust.count, o.cfg.Denials.Collector()}
}
