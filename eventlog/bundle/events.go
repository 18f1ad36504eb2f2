package bundle

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"quorate/eventlog"
)

// errStopped ends a reading of which somebody has seen enough.
var errStopped = errors.New("stopped")

// events checks the records of a bundle in their order: their form, the chain, and
// the tree.
type events struct {
	*describer
	about   *About
	named   *digests
	nodes   []node // those to come
	tree    frontier
	roots   map[uint64]eventlog.Hash // at the sizes that somebody signed
	heads   map[uint64]eventlog.Hash // of the chain, at the same sizes where they are known
	wanted  map[uint64]bool
	count   uint64 // of the records so far
	first   int64  // time of the first
	last    eventlog.Record
	chain   eventlog.Head
	vouched map[string]bool            // blobs that records name
	see     func(eventlog.Record) bool // nil, or who looks at the records
	lines   *bufio.Reader
	line    []byte
	again   []byte
}

// begin is called when all that comes before the records was read.
func (e *events) begin(a *About, signed, outside []Checkpoint) {
	e.about, e.named, e.vouched = a, newDigests(a.Blobs), map[string]bool{}
	e.chain = eventlog.Head{Index: a.From - 1, Hash: parseHash(a.Before)}
	e.roots, e.heads, e.wanted = map[uint64]eventlog.Hash{}, map[uint64]eventlog.Hash{}, map[uint64]bool{}
	for _, list := range [][]Checkpoint{signed, outside} {
		for _, c := range list {
			e.wanted[c.Size] = true
		}
	}
	if e.wanted[e.chain.Index] {
		e.heads[e.chain.Index] = e.chain.Hash
	}
}

// next is the index of the record that has to come next, or 0 behind the last.
func (e *events) next() uint64 {
	also := uint64(len(e.about.Also))
	switch {
	case e.count < also:
		return e.about.Also[e.count]
	case e.count < e.about.Records():
		return e.about.From + e.count - also
	}
	return 0
}

func (e *events) done() bool { return e.count == e.about.Records() }

// bad says that the record which comes next is not right.
func (e *events) bad(reason string) error {
	return &BadError{Part: "events", Index: e.next(), Reason: reason}
}

// read reads the lines of one part.
func (e *events) read(part io.Reader) error {
	if e.lines == nil {
		e.lines = bufio.NewReaderSize(nil, 64<<10)
	}
	e.lines.Reset(part)
	for used := 0; ; {
		line, err := e.readLine()
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		switch {
		case e.done():
			return errors.New("a record stands behind the last")
		case err != nil && !errors.Is(err, io.EOF):
			return e.bad(err.Error())
		case used >= chunkBytes:
			return e.bad("the part before it is too long")
		}
		if err := e.record(line); err != nil {
			return err
		}
		used += len(line)
	}
}

// readLine returns the next line, which is good until the next call.
func (e *events) readLine() ([]byte, error) {
	e.line = e.line[:0]
	for {
		piece, err := e.lines.ReadSlice('\n')
		if len(e.line)+len(piece) > lineBytesMax {
			return nil, errors.New("its line is longer than one can be")
		}
		if e.line = append(e.line, piece...); !errors.Is(err, bufio.ErrBufferFull) {
			return e.line, err
		}
	}
}

func (e *events) record(line []byte) (err error) {
	want := e.next()
	var r eventlog.Record
	if r, e.again, err = e.parseLine(line, e.again); err != nil {
		return e.bad("the line is " + err.Error())
	}
	switch {
	case r.Index != want:
		return e.bad(fmt.Sprintf("the record is missing, and %d is in its place", r.Index))
	case e.count > 0 && r.Time < e.last.Time:
		return e.bad("time runs backwards")
	}
	if err := e.fill(r.Index - 1); err != nil {
		return e.bad(err.Error())
	}
	if r.Index <= e.limit() {
		if err := e.grow(0, r.LeafHash()); err != nil {
			return e.bad(err.Error())
		}
	}
	if r.Index >= e.about.From {
		r.Hash = e.chain.Next(eventlog.Entry{Time: r.Time, Kind: r.Kind, Data: r.Data}).Hash
		if e.wanted[r.Index] {
			e.heads[r.Index] = r.Hash
		}
	}
	if r.Kind == eventlog.KindPlanRecorded {
		e.named.restart()
		_, _ = e.named.Write(r.Data) // it only looks
		for _, digest := range e.named.fresh() {
			e.vouched[digest] = true
		}
	}
	if e.count == 0 {
		e.first = r.Time
	}
	e.last = r
	e.count++
	if e.see != nil && !e.see(r) {
		return errStopped
	}
	return nil
}

// limit is up to where the tree is computed: where records have no gap it may go on
// behind the last checkpoint, for those that somebody else holds.
func (e *events) limit() uint64 {
	if e.about.From == 1 || e.about.signed() >= e.about.From-1 && e.about.signed() > 0 {
		return e.about.To
	}
	return e.about.signed()
}

// fill adds the hashes of what lies in front of a leaf.
func (e *events) fill(leaf uint64) error {
	for len(e.nodes) > 0 && e.nodes[0].N<<e.nodes[0].Level < leaf {
		n := &e.nodes[0]
		if e.tree.size != n.N<<n.Level {
			return errTree
		}
		if err := e.grow(n.Level, parseHash(n.Hash)); err != nil {
			return err
		}
		e.nodes = e.nodes[1:]
	}
	return nil
}

// grow adds to the tree, and keeps its root where somebody signed it.
func (e *events) grow(level int, h eventlog.Hash) error {
	if err := e.tree.add(level, h); err != nil {
		return err
	}
	if e.wanted[e.tree.size] {
		e.roots[e.tree.size] = e.tree.root()
	}
	return nil
}

// end is called behind the last record, and adds what the tree holds behind it.
func (e *events) end() error {
	if err := e.fill(indexMax + 1); err != nil {
		return &BadError{Part: treeName, Reason: err.Error()}
	}
	return nil
}
