package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"slices"
	"sync"

	"quorate/eventlog"
	"quorate/nodeagent/wire"
)

// BlobsConfig says what blobs are copied, and with whom.
type BlobsConfig struct {
	Blobs *eventlog.Blobs
	// Members returns the voters of the cluster as of now, this one included
	// where it is one.
	Members func() []uint64
	// Self is this orchestrator's number.
	Self uint64
	// Head returns the index of the newest record that this orchestrator holds, for
	// those who ask how far it is; nil is 0.
	Head func() uint64
	// Alarms are what an operator has to look after here, for those who ask; nil is
	// nothing.
	Alarms func() []string
	// Removed tells why an orchestrator is no member any more, or "" where it is
	// one; nil is never. One that was away when it was removed hears of it in no
	// other way: its messages of Raft are not answered.
	Removed func(replica uint64) string
	// Moved is told where a member is now, which it cannot put on record itself while
	// nobody reaches it; nil is nobody. The member is known, what it says is not checked.
	Moved func(ctx context.Context, now eventlog.OrchestratorMoved) error
	// AgentFacts asks an agent that is connected here for what it remembers; the error
	// is [orchestrator.ErrNotHere] where it is not. nil is nobody.
	AgentFacts func(ctx context.Context, agent uint64) (*wire.FactsReply, error)
	// Dial connects to a member, verified to be that one, for the protocol of blobs.
	Dial   func(ctx context.Context, replica uint64) (net.Conn, error)
	Logger *slog.Logger
}

// Blobs copies blobs between orchestrators. Its methods may be called concurrently.
type Blobs struct {
	cfg    BlobsConfig
	logger *slog.Logger

	serving chan struct{} // a slot for each connection that is served

	mu       sync.Mutex
	fetching map[string]*fetching // by digest
}

// A fetching is a blob that somebody fetches, who is waited for by the others.
type fetching struct {
	done chan struct{}
	err  error // once done is closed
}

// servingMax bounds the connections of other members that are served at once.
const servingMax = 32

// NewBlobs returns blobs that are copied as the configuration says.
func NewBlobs(cfg BlobsConfig) *Blobs {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Blobs{cfg: cfg, logger: cfg.Logger, serving: make(chan struct{}, servingMax), fetching: map[string]*fetching{}}
}

// others are the members but this one, those with higher numbers first: who asks
// spreads over who is asked.
func (b *Blobs) others() []uint64 {
	var before, after []uint64
	for _, id := range b.cfg.Members() {
		switch {
		case id > b.cfg.Self:
			after = append(after, id)
		case id < b.cfg.Self:
			before = append(before, id)
		}
	}
	return append(after, before...)
}

// Replicate returns when a majority of the members, this one included, has each
// of the blobs, sound and on disk. It stops as soon as that is so: those that are
// left behind fetch what they lack. Where it cannot be, the error names who did not.
func (b *Blobs) Replicate(ctx context.Context, digests []string) error {
	digests = slices.Compact(slices.Sorted(slices.Values(digests)))
	for _, d := range digests {
		if err := b.repair(ctx, d); err != nil {
			return fmt.Errorf("blob %.12s: %w", d, err)
		}
	}
	members, others := b.cfg.Members(), b.others()
	need := len(members)/2 + 1 - (len(members) - len(others)) // this one has them
	if need <= 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var pushing sync.WaitGroup
	defer pushing.Wait() // those that are left behind end with ctx
	defer cancel()
	outcomes := make(chan error, len(others)) // room for all: nobody is left blocked
	for _, id := range others {
		pushing.Go(func() {
			err := b.push(ctx, id, digests)
			if err != nil {
				err = fmt.Errorf("orchestrator %d: %w", id, err)
			}
			outcomes <- err
		})
	}
	var failed []error
	for range others {
		if err := <-outcomes; err != nil {
			failed = append(failed, err)
		} else if need--; need == 0 {
			return nil
		}
	}
	return fmt.Errorf("a majority of %d orchestrators does not have the blobs: %w", len(members), errors.Join(failed...))
}

// repair gets a sound copy where this one's is damaged or missing.
func (b *Blobs) repair(ctx context.Context, digest string) error {
	err := b.cfg.Blobs.Check(digest)
	if err == nil {
		return nil
	}
	if fetched := b.Fetch(ctx, digest); fetched != nil {
		return errors.Join(err, fetched)
	}
	return nil
}

// open dials a member. The connection is closed when ctx ends, or by done.
func (b *Blobs) open(ctx context.Context, replica uint64) (conn net.Conn, done func(), err error) {
	raw, err := b.cfg.Dial(ctx, replica)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	return patient{raw}, func() {
		if stop() {
			_ = raw.Close() // what was asked is answered: nothing is lost with it
		}
	}, nil
}

// push sends a member what it lacks of the blobs.
func (b *Blobs) push(ctx context.Context, replica uint64, digests []string) error {
	conn, done, err := b.open(ctx, replica)
	if err != nil {
		return err
	}
	defer done()
	for part := range slices.Chunk(digests, offerMax) {
		body, err := appendDigests(nil, part)
		if err != nil {
			return err
		}
		if _, err := conn.Write(appendFrame(nil, kindOffer, body...)); err != nil {
			return err
		}
		answer, err := expect(conn, kindMissing)
		if err != nil {
			return err
		}
		for _, digest := range splitDigests(answer) {
			if !slices.Contains(part, digest) {
				return violation("blob %.12s is missing and was not offered", digest)
			}
			if err := b.put(conn, digest); err != nil {
				return fmt.Errorf("blob %.12s: %w", digest, err)
			}
		}
	}
	return nil
}

func (b *Blobs) put(conn net.Conn, digest string) error {
	file, err := b.cfg.Blobs.Open(digest)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	body, err := appendDigests(nil, []string{digest})
	if err != nil {
		return err
	}
	body = binary.BigEndian.AppendUint64(body, uint64(info.Size()))
	if _, err := conn.Write(appendFrame(nil, kindPut, body...)); err != nil {
		return err
	}
	if err := copyContent(conn, file, info.Size()); err != nil {
		return err
	}
	result, err := expect(conn, kindResult)
	if err != nil {
		return err
	}
	return status(result[0]).err()
}

// Fetch gets a blob from the first member that has a sound one. Those who want
// the same at once share it. The error wraps fs.ErrNotExist where all of the
// others say that they have none.
//
// Nothing of it goes on when it has returned: who comes first fetches by himself.
func (b *Blobs) Fetch(ctx context.Context, digest string) error {
	for again := false; ; again = true {
		b.mu.Lock()
		f := b.fetching[digest]
		if f == nil {
			f = &fetching{done: make(chan struct{})}
			b.fetching[digest] = f
			b.mu.Unlock()
			f.err = b.fetch(ctx, digest)
			b.mu.Lock()
			delete(b.fetching, digest)
			b.mu.Unlock()
			close(f.done)
			return f.err
		}
		b.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		// Whoever came first may have given up: that is no answer for the others.
		if errors.Is(f.err, context.Canceled) && ctx.Err() == nil {
			continue
		}
		// What another one has fetched may have been damaged since it was stored.
		if f.err == nil && !again && b.cfg.Blobs.Check(digest) != nil {
			continue
		}
		return f.err
	}
}

func (b *Blobs) fetch(ctx context.Context, digest string) error {
	if _, err := appendDigests(nil, []string{digest}); err != nil {
		return err
	}
	var failed []error
	absent := true // until one of them may still have it
	for _, id := range b.others() {
		err := b.get(ctx, id, digest)
		if err == nil {
			b.logger.Info("blob fetched", "digest", digest, "from", id)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		absent = absent && errors.Is(err, errAbsent)
		failed = append(failed, fmt.Errorf("orchestrator %d: %w", id, err))
	}
	if absent {
		return fmt.Errorf("blob %s: no orchestrator has it: %w", digest, fs.ErrNotExist)
	}
	return fmt.Errorf("blob %.12s could not be fetched: %w", digest, errors.Join(failed...))
}

func (b *Blobs) get(ctx context.Context, replica uint64, digest string) error {
	conn, done, err := b.open(ctx, replica)
	if err != nil {
		return err
	}
	defer done()
	body, err := appendDigests(nil, []string{digest})
	if err != nil {
		return err
	}
	if _, err := conn.Write(appendFrame(nil, kindGet, body...)); err != nil {
		return err
	}
	size, err := expect(conn, kindContent)
	if err != nil {
		return err
	}
	return b.store(conn, digest, binary.BigEndian.Uint64(size))
}
