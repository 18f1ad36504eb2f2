package eventlog

import bolt "go.etcd.io/bbolt"

// verifySealed is the part of verifyPage in segment files: it reads records of one.
func (s *Store) verifySealed(at *Head, to uint64, records int, check *treeCheck) (size int, err error) {
	g, ok := holding(s.segments.all(), at.Index+1)
	if !ok {
		return 0, errMoved
	}
	p := &pager{limit: int(min(uint64(records), to-at.Index)), next: at.Index + 1}
	subtrees, err := s.segments.readThrough(&g, p)
	if err != nil {
		return 0, err
	}
	return p.size + len(p.page)*recordHeaderBytes, s.view(func(tx *bolt.Tx) error {
		tree := tx.Bucket(bucketTree)
		for i := range p.page {
			r := &p.page[i]
			done := check.grown.blocks
			if err := s.verifyNext(at, r, tree, check); err != nil {
				return err
			}
			if check.grown.blocks > done && check.lowest != subtrees[(r.Index-g.first)/blockRecords] {
				return s.segments.bad(&g, r.Index+1-blockRecords, "the hash of the records %d to %d is not theirs", r.Index+1-blockRecords, r.Index)
			}
		}
		return nil
	})
}

// readThrough is read from the disk, whatever is in memory of it. It returns the hashes
// of the blocks in the segment.
func (g *segments) readThrough(s *segment, p *pager) ([]Hash, error) {
	f, x, err := g.open(s, true)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return x.subtrees, g.readFile(f, x, s, p, true)
}
