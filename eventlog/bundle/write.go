package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"quorate/eventlog"
)

// The names of the parts, in their order.
const (
	aboutName    = "bundle.json"
	schemasName  = "schemas/events.json"
	keyName      = "key"
	certName     = "key.pem"
	checkpointed = "checkpoints/%016d"
	treeName     = "tree.json"
	stateName    = "state"
	eventsName   = "events/%06d.ndjson"
	blobPrefix   = "blobs/"
)

const (
	// chunkBytes is how long a part of events is at least, but for the last: it ends
	// with the line that reaches it.
	chunkBytes     = 1 << 20
	readRecordsMax = 1024
	keyBytesMax    = 4096
	certBytesMax   = 64 << 10
	schemaBytesMax = 4 << 20
	treeBytesMax   = 160 << 20
)

// A Source is a log, and what lies beside it. An orchestrator is one, and so are the
// files of a stopped one.
type Source interface {
	// Records returns up to limit records from the index on, and at least one where
	// there is one.
	Records(ctx context.Context, from uint64, limit int) ([]eventlog.Record, error)
	// Tree returns the Merkle tree over the first records.
	Tree(size uint64) (*eventlog.Tree, error)
	// Blob opens a blob, and returns its length. The error wraps fs.ErrNotExist where it
	// is not to be had.
	Blob(ctx context.Context, digest string) (content io.ReadCloser, bytes int64, err error)
}

// Content is what a bundle is made of.
type Content struct {
	Program string // the version of the one who writes
	Cluster string
	Run     uint64 // 0 for a part of the log
	// From and To bound the contiguous records, Also are others in front of them,
	// ascending.
	From, To uint64
	Also     []uint64
	// Checkpoints are signed notes by the sizes they are of.
	Checkpoints map[uint64][]byte
	// Key is what verifies the notes, as note.NewVerifier takes it, and Certificate
	// the authority's word for it in PEM, or nil. Both count where there is a note.
	Key         string
	Certificate []byte
	// State is the encoded state in front of From, or nil.
	State []byte
	// Blobs and Missing are as in [About].
	Blobs   []Blob
	Missing []string
}

// Write writes a bundle. What it wrote when it returns an error is none: a reader
// tells by its end.
func Write(ctx context.Context, w io.Writer, src Source, c *Content) (*About, error) {
	a, err := about(ctx, src, c)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	p := &packer{w: w}
	head, err := document(a)
	if err != nil {
		return nil, err
	}
	p.bytes(aboutName, head)
	schemas := eventlog.Schemas()
	text, err := document(schemas)
	if err != nil {
		return nil, err
	}
	p.bytes(schemasName, text)
	if len(a.Checkpoints) > 0 {
		if err := writeProof(p, src, a, c); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
	}
	if a.State {
		p.bytes(stateName, c.State)
	}
	if err := writeEvents(ctx, p, src, a, newDescriber(schemas)); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	for _, b := range a.Blobs {
		if err := writeBlob(ctx, p, src, b); err != nil {
			return nil, fmt.Errorf("bundle: %w", err)
		}
	}
	if err := p.end(); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return a, nil
}

// about is the first part, of what will be written.
func about(ctx context.Context, src Source, c *Content) (*About, error) {
	a := &About{
		Format: formatName, Version: FormatVersion, Program: c.Program, Cluster: c.Cluster, Run: c.Run,
		From: c.From, To: c.To, Also: append([]uint64{}, c.Also...), Checkpoints: []uint64{},
		Certified: len(c.Certificate) > 0 && len(c.Checkpoints) > 0, State: c.State != nil,
		Blobs: append([]Blob{}, c.Blobs...), Missing: append([]string{}, c.Missing...),
	}
	for size := range c.Checkpoints {
		a.Checkpoints = append(a.Checkpoints, size)
	}
	slices.Sort(a.Checkpoints)
	var before eventlog.Hash
	if c.From > 1 {
		r, err := record(ctx, src, c.From-1)
		if err != nil {
			return nil, err
		}
		before = r.Hash
	}
	last, err := record(ctx, src, c.To)
	if err != nil {
		return nil, err
	}
	a.Before, a.Head = before.String(), last.Hash.String()
	return a, a.check()
}

func record(ctx context.Context, src Source, index uint64) (eventlog.Record, error) {
	page, err := src.Records(ctx, index, 1)
	if err != nil {
		return eventlog.Record{}, err
	}
	if len(page) == 0 || page[0].Index != index {
		return eventlog.Record{}, fmt.Errorf("there is no record %d", index)
	}
	return page[0], nil
}

// writeProof writes what vouches for the records: the key, the checkpoints, and the
// hashes of all subtrees that hold none of them.
func writeProof(p *packer, src Source, a *About, c *Content) error {
	p.bytes(keyName, []byte(c.Key+"\n"))
	if a.Certified {
		p.bytes(certName, c.Certificate)
	}
	for _, size := range a.Checkpoints {
		p.bytes(fmt.Sprintf(checkpointed, size), c.Checkpoints[size])
	}
	tree, err := src.Tree(a.signed())
	if err != nil {
		return err
	}
	nodes := []node{}
	for lo, hi := range holes(a) {
		for level, n := range pieces(lo, hi) {
			h, err := tree.Subtree(n<<level, (n+1)<<level)
			if err != nil {
				return err
			}
			if nodes = append(nodes, node{level, n, h.String()}); len(nodes) > treeNodesMax {
				return errors.New("its records lie too far apart to be proven in one bundle: take fewer, or all")
			}
		}
	}
	text, err := document(nodes)
	if err != nil {
		return err
	}
	p.bytes(treeName, text)
	return nil
}

// writeEvents writes the lines of all records, in parts.
func writeEvents(ctx context.Context, p *packer, src Source, a *About, d *describer) error {
	var chunk []byte
	number := 0
	flush := func() {
		number++
		p.bytes(fmt.Sprintf(eventsName, number), chunk)
		chunk = chunk[:0]
	}
	add := func(r *eventlog.Record) error {
		chunk = d.appendLine(chunk, r)
		if len(chunk) >= chunkBytes {
			flush()
		}
		return errors.Join(p.err, ctx.Err())
	}
	for _, index := range a.Also {
		r, err := record(ctx, src, index)
		if err == nil {
			err = add(&r)
		}
		if err != nil {
			return err
		}
	}
	for next := a.From; next <= a.To; {
		page, err := src.Records(ctx, next, int(min(readRecordsMax, a.To-next+1)))
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return fmt.Errorf("there is no record %d", next)
		}
		for i := range page {
			if err := add(&page[i]); err != nil {
				return err
			}
		}
		next += uint64(len(page))
	}
	if len(chunk) > 0 {
		flush()
	}
	return p.err
}

func writeBlob(ctx context.Context, p *packer, src Source, b Blob) error {
	r, _, err := src.Blob(ctx, b.SHA256)
	if err != nil {
		return err
	}
	p.add(blobPrefix+b.SHA256, b.Bytes, r)
	if p.err == nil && !bytes.HasSuffix(p.sums, []byte(b.SHA256+"  "+blobPrefix+b.SHA256+"\n")) {
		p.err = fmt.Errorf("blob %s is damaged", b.SHA256)
	}
	return errors.Join(p.err, r.Close())
}
