package orchestrator

import (
	"context"
	"errors"
	"fmt"

	"quorate/engine"
	"quorate/eventlog"
)

// A Cluster is what replicates the log, as far as its members go. The node of
// package raft has these methods, over types of its own that only cli converts.
// All of them but Leader, Handed, Halt and Alarms need a majority, and repeating one is
// harmless.
type Cluster interface {
	Members(ctx context.Context) (Membership, error)
	// AddLearner makes a replica one that gets the log and has no vote.
	AddLearner(ctx context.Context, replica uint64) error
	// Promote gives a replica its vote.
	Promote(ctx context.Context, replica uint64) error
	// Remove ends a replica's part, for ever.
	Remove(ctx context.Context, replica uint64) error
	// Transfer asks for another leader.
	Transfer(ctx context.Context, replica uint64) error
	// Leader returns who leads as far as this replica knows, and in which term.
	Leader() (replica, term uint64, known bool)
	// Handed reports whether this replica leads in the term because the leader before,
	// which was there, has handed over to it.
	Handed(term uint64) bool
	// Halt stops this replica, also for later starts, until its files are replaced.
	Halt(reason string) error
	// Alarms are what an operator has to look after on this replica.
	Alarms() []Alarm
}

// A Membership is who replicates the log. The numbers of those removed are
// never used again.
type Membership struct {
	Voters, Learners, Removed []uint64
}

// Peers are the other orchestrators as holders of blobs. An orchestrator on its
// own has none.
type Peers interface {
	// Replicate returns when a majority of the members, this one included, has
	// each of the blobs on disk. This one has them.
	Replicate(ctx context.Context, digests []string) error
	// Fetch gets a blob from whoever has it, checked, into this one's store.
	Fetch(ctx context.Context, digest string) error
}

// Errors that end [Orchestrator.Run].
var (
	// ErrRemoved is wrapped where this orchestrator is no member of the cluster any more.
	ErrRemoved = errors.New("removed from the cluster")
	// ErrDiffers is wrapped where a majority of the others contradicts what this
	// replica holds.
	ErrDiffers = errors.New("this replica differs from the others")
)

// Barrier returns when everything that was committed anywhere before the call is
// folded here: what is read next is not older than what any client was told
// before. The error is of code [Unavailable] where no majority answers within ctx
// or [electionWait].
func (o *Orchestrator) Barrier(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, electionWait)
	defer cancel()
	err := o.cfg.Log.Barrier(ctx)
	for err != nil && !errors.Is(err, eventlog.ErrClosed) && wait(ctx, retryPause, nil) {
		if again := o.cfg.Log.Barrier(ctx); again == nil || ctx.Err() == nil {
			err = again
		}
	}
	if err == nil {
		head, _ := o.cfg.Log.Head()
		err = o.folded.wait(ctx, head)
	}
	if err != nil {
		return &Error{
			Code: Unavailable, Err: err,
			Message: fmt.Sprintf("no majority of the orchestrators answers: %v", err),
			Hint:    `try again, through another orchestrator if this one is cut off; "quorate cluster status" tells who is there`,
		}
	}
	return nil
}

// self is what is on record of this orchestrator, or nil.
func (o *Orchestrator) self(s *engine.State) *engine.Member { return s.Member(o.cfg.Replica) }

// joins reports whether this orchestrator is to be on record at all: one without
// addresses is alone and stays so.
func (o *Orchestrator) joins() bool { return o.cfg.Self != (eventlog.OrchestratorMoved{}) }
