package eventlog

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// verifyPageRecords and verifyPageBytes bound a read transaction of a verification.
const (
	verifyPageRecords = 8192
	verifyPageBytes   = 16 << 20
)

// Verify checks the whole chain of the log in a file, from the first record, and
// returns its head. It opens the file to read only. The error is a
// [*CorruptError] that names the first record that is not what was written, or
// is about opening the file.
func Verify(path string) (head uint64, hash Hash, err error) {
	s, err := OpenStore(path, StoreOptions{ReadOnly: true, VerifyAll: true})
	if err != nil {
		return 0, Hash{}, err
	}
	h := s.Head()
	return h.Index, h.Hash, s.Close()
}

// verifyTail checks the chain behind the last verified record, and notes how far
// it got.
func (s *Store) verifyTail() error {
	var from Head
	if !s.opt.VerifyAll {
		err := s.view(func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketMeta).Get(keyVerified)
			if b == nil {
				return nil
			}
			var err error
			from, err = s.decodeHead(b)
			return err
		})
		if err != nil {
			return err
		}
	}
	if from.Index > s.head.Index {
		return s.corrupt(s.head.Index+1, fmt.Sprintf("the log ends at %d, and was verified up to %d", s.head.Index, from.Index))
	}
	if err := s.verifyFrom(from); err != nil {
		return err
	}
	if s.opt.ReadOnly || from == s.head {
		return nil
	}
	return s.noteVerified(s.head)
}

// verifyFrom checks every record behind a trusted head against the chain, and
// that the chain ends at the stored head. The trusted record itself must still
// be there.
func (s *Store) verifyFrom(at Head) error {
	if at.Index > 0 {
		page, err := s.Read(at.Index, 1)
		if err != nil {
			return s.located(at.Index, err)
		}
		if len(page) == 0 || page[0].Hash != at.Hash || page[0].Time != at.Time {
			return s.corrupt(at.Index, "the record differs from the one that was verified")
		}
	}
	check := s.newTreeCheck(at.Index)
	for at.Index < s.head.Index {
		if _, err := s.verifyPage(&at, s.head.Index, verifyPageRecords, verifyPageBytes, check); err != nil {
			return s.located(at.Index+1, err)
		}
	}
	if at != s.head {
		return s.corrupt(at.Index, "the chain does not end in the stored head")
	}
	if err := s.mend(check); err != nil {
		return err
	}
	return s.view(func(tx *bolt.Tx) error {
		if err := s.checkLiveStart(tx, movedBy(tx)+1); err != nil {
			return err
		}
		k, _ := tx.Bucket(bucketEvents).Cursor().Last()
		if k != nil && (len(k) != 8 || string(k) > string(indexKey(at.Index))) {
			return s.corrupt(at.Index+1, "a record behind the stored head")
		}
		return nil
	})
}

// verifyPage advances at over records up to an index that check out, so that it
// names the last good one also where a damaged page panics. It returns the bytes
// of data that it read. What is stored of the Merkle tree is checked on the way, and
// segment files are read anew.
func (s *Store) verifyPage(at *Head, to uint64, records, bytes int, check *treeCheck) (size int, err error) {
	for err = errMoved; errors.Is(err, errMoved); {
		if at.Index < s.Sealed() {
			size, err = s.verifySealed(at, to, records, check)
		} else {
			size, err = s.verifyLive(at, to, records, bytes, check)
		}
	}
	return size, err
}

func (s *Store) verifyLive(at *Head, to uint64, records, bytes int, check *treeCheck) (size int, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if movedBy(tx) > at.Index {
			return errMoved
		}
		tree := tx.Bucket(bucketTree)
		c := tx.Bucket(bucketEvents).Cursor()
		k, v := c.Seek(indexKey(at.Index + 1))
		for n := 0; n < records && size < bytes && at.Index < to; n++ {
			r, ok := decodeRecord(k, v)
			if !ok {
				return s.corrupt(at.Index+1, "the record is missing or has no header")
			}
			if err := s.verifyNext(at, &r, tree, check); err != nil {
				return err
			}
			size += recordHeaderBytes + len(r.Data)
			k, v = c.Next()
		}
		s.read(tx, size)
		return nil
	})
	return size, err
}

// verifyNext advances at over a record.
func (s *Store) verifyNext(at *Head, r *Record, tree *bolt.Bucket, check *treeCheck) error {
	switch {
	case r.Index != at.Index+1:
		return s.corrupt(at.Index+1, fmt.Sprintf("the record is missing, and %d is in its place", r.Index))
	case r.Time < at.Time:
		return s.corrupt(r.Index, "time runs backwards")
	case r.chained(at.Hash) != r.Hash:
		return s.corrupt(r.Index, "the hash does not match")
	}
	if from := check.add(tree, r); from != 0 {
		return s.corrupt(from, fmt.Sprintf("the Merkle tree over the records %d to %d is not theirs", from, r.Index))
	}
	*at = Head{Index: r.Index, Time: r.Time, Hash: r.Hash}
	return nil
}

// located gives damage that was found as a panic the index it was found at.
func (s *Store) located(index uint64, err error) error {
	var corrupt *CorruptError
	if errors.As(err, &corrupt) && corrupt.Index == 0 {
		return s.corrupt(index, corrupt.Reason)
	}
	return err
}
