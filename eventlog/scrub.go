package eventlog

import (
	"context"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	// scrubPageRecords and scrubPageBytes bound one read transaction of a scrub.
	scrubPageRecords = 256
	scrubPageBytes   = 256 << 10
)

// Scrub verifies the chain of what is stored, from the first record, and notes
// how far it got, so that the next [OpenStore] verifies only what came after. It
// reads up to so many bytes of data a second, and returns when it is through or
// ctx ends. The file has no checksums of its own: damage to what nobody reads is
// found here. The error is a [*CorruptError] that names the first record that is
// not what was written, or wraps ctx's or [ErrClosed].
func (s *Store) Scrub(ctx context.Context, bytesPerSecond int) error {
	to := s.Head()
	var at Head
	pace := time.NewTimer(0)
	defer pace.Stop()
	check := s.newTreeCheck(0)
	for at.Index < to.Index {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return fmt.Errorf("scrub of log %s: %w", s.path, ctx.Err())
		}
		size, err := s.verifyPage(&at, to.Index, scrubPageRecords, scrubPageBytes, check)
		if err != nil {
			return s.located(at.Index+1, err)
		}
		pace.Reset(time.Duration(size) * time.Second / time.Duration(max(1, bytesPerSecond)))
	}
	if at != to {
		return s.corrupt(at.Index, "the chain does not end in the head that was stored")
	}
	if err := s.mend(check); err != nil {
		return err
	}
	return s.noteVerified(to)
}

// noteVerified remembers that the chain is right up to a head.
func (s *Store) noteVerified(at Head) error {
	if s.opt.ReadOnly || at.Index == 0 {
		return nil
	}
	err := s.update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyVerified, encodeHead(at))
	})
	if err != nil && !isFull(err) { // on a full disk the next start verifies again
		return fmt.Errorf("log %s: verified mark: %w", s.path, err)
	}
	return nil
}
