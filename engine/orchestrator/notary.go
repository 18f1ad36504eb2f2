package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/internal/checkpoint"
	"quorate/internal/pki"
)

// A Signed is a checkpoint on record that this replica has compared with its own
// log.
type Signed struct {
	checkpoint.Checkpoint
	Note []byte
}

// A notary signs the log and watches over what was signed.
type notary struct {
	signer note.Signer
	key    string // as note.NewVerifier takes it
	verify note.Verifier

	// tidings are about records that call for a look: a checkpoint, or something to
	// sign. Checked is the newest checkpoint that was compared with the log.
	tidings, checked progress
	newest           atomic.Pointer[Signed]
	// news and ended are indexes of the newest record, and of the newest end of a run,
	// that a checkpoint is for. They are guarded by the state's lock.
	news, ended uint64
	proofs      proofCache
	distrust    *distrust
	sinks       []*outlet
}

func newNotary(ca *pki.CA, sinks []Sink) (*notary, error) {
	signer, key, err := ca.LogSigner(ca.ClusterID())
	if err != nil {
		return nil, err
	}
	verify, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("key of the log: %w", err)
	}
	n := &notary{signer: signer, key: key, verify: verify, distrust: newDistrust()}
	for _, s := range sinks {
		n.sinks = append(n.sinks, &outlet{sink: s})
	}
	return n, nil
}

// heed notes what a record means for checkpoints, before it is known whether it is
// void. It runs under the state's lock.
func (n *notary) heed(s *engine.State, event eventlog.Event) {
	fresh := n.news <= s.Checkpoint.Size
	switch event.(type) {
	case *eventlog.StateHashed:
		return // what a cluster says of itself is no news
	case *eventlog.CheckpointSigned:
		n.tidings.publish(s.Index)
		return
	case *eventlog.RunEnded:
		n.ended, fresh = s.Index, true
	case *eventlog.ClusterRecovered:
		fresh = true
	}
	n.news = s.Index
	if fresh || s.Index%checkpointRecords == 0 {
		n.tidings.publish(s.Index)
	}
}

// LogKey returns the key that the cluster's checkpoints are verified with, in the
// form of golang.org/x/mod/sumdb/note.
func (o *Orchestrator) LogKey() string { return o.notary.key }

// Checkpoint returns the newest checkpoint that fits this replica's log, or nil
// where there is none yet.
func (o *Orchestrator) Checkpoint() *Signed { return o.notary.newest.Load() }

// CheckpointNews returns a channel that is closed when there is a newer [Orchestrator.Checkpoint].
func (o *Orchestrator) CheckpointNews() <-chan struct{} {
	_, news := o.notary.checked.watch()
	return news
}

// CheckpointFolded is Checkpoint once the newest on record here is compared.
func (o *Orchestrator) CheckpointFolded(ctx context.Context) (*Signed, error) {
	var size uint64
	o.View(func(s *engine.State) { size = s.Checkpoint.Size })
	if err := o.notary.checked.wait(ctx, size); err != nil {
		return nil, fmt.Errorf("checkpoint of %d records: %w", size, err)
	}
	return o.Checkpoint(), nil
}

// witness compares each checkpoint on record with this replica's own log. The error
// wraps [ErrDiffers] where they contradict each other.
func (o *Orchestrator) witness(ctx context.Context) error {
	if o.CaughtUp(ctx) != nil {
		return nil
	}
	pause := holdRetryMin
	var done uint64
	for {
		_, news := o.notary.tidings.watch()
		var c engine.Checkpoint
		o.View(func(s *engine.State) { c = s.Checkpoint })
		if c.Size <= done {
			select {
			case <-ctx.Done():
				return nil
			case <-news:
			}
			continue
		}
		signed, why, err := o.examine(ctx, &c)
		switch {
		case ctx.Err() != nil || errors.Is(err, eventlog.ErrClosed):
			return nil
		case why != "":
			return o.contradicted(why)
		case errors.Is(err, checkpoint.ErrUnsigned), errors.Is(err, checkpoint.ErrMalformed):
			o.logger.Error("a checkpoint on record is not this cluster's; it is left out", "index", c.Index, "size", c.Size, "error", err)
		case err != nil:
			o.logger.Warn("a checkpoint was not compared with the log; trying again", "size", c.Size, "error", err)
			if !wait(ctx, pause, news) {
				return nil
			}
			continue
		default:
			o.notary.newest.Store(signed)
		}
		done = c.Size
		o.notary.checked.publish(done)
	}
}

// examine compares a checkpoint with this replica's log, and says why they
// contradict each other where they do.
func (o *Orchestrator) examine(ctx context.Context, c *engine.Checkpoint) (signed *Signed, why string, err error) {
	said, err := checkpoint.Open(c.Note, o.notary.verify)
	if err != nil {
		return nil, "", err
	}
	if said.Size != c.Size {
		return nil, "", fmt.Errorf("%w: it is of %d records, and on record as of %d", checkpoint.ErrMalformed, said.Size, c.Size)
	}
	own, err := o.survey(ctx, c.Size)
	if err != nil {
		return nil, "", err
	}
	switch {
	case own.Root != said.Root:
		why = fmt.Sprintf("its records up to %d are not those that the cluster signed: their tree has the root %x, and the signed one is %x", c.Size, own.Root[:8], said.Root[:8])
	case own.Head != said.Head:
		why = fmt.Sprintf("its record %d has the hash %x in the chain, and the cluster signed %x", c.Size, own.Head[:8], said.Head[:8])
	}
	return &Signed{Checkpoint: *said, Note: c.Note}, why, nil
}

// survey returns the root and the chain's head of the first records.
func (o *Orchestrator) survey(ctx context.Context, size uint64) (*checkpoint.Checkpoint, error) {
	tree, err := o.cfg.Log.Tree(size)
	if err != nil {
		return nil, err
	}
	root, err := tree.Root()
	if err != nil {
		return nil, err
	}
	page, err := o.cfg.Log.Read(ctx, size, 1)
	if err != nil {
		return nil, err
	}
	if len(page) == 0 {
		return nil, fmt.Errorf("record %d: %w", size, eventlog.ErrTooShort)
	}
	return &checkpoint.Checkpoint{Size: size, Root: root, Head: page[0].Hash}, nil
}

// contradicted stops a replica whose log is not the one that was signed.
func (o *Orchestrator) contradicted(why string) error {
	if o.cfg.Cluster != nil {
		return o.halt(why)
	}
	o.logger.Error("HALTED: the log was changed since it was signed", "reason", why, "hint", "put back a copy of the directory from before that")
	return fmt.Errorf("%w: %s: the log was changed since it was signed; put back a copy of the directory from before that", ErrDiffers, why)
}
