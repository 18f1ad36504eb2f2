package bundle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"quorate/eventlog"
	"quorate/internal/checkpoint"
)

// LogKey is what the checkpoints in a log are verified with, where the reader names no
// key.
type LogKey struct {
	Key         string // as note.NewVerifier takes it, or empty
	Certificate []byte // the authority's word for it in PEM, or nil
	From        string // where it was found
}

// VerifyLog checks the log in a file: the chain from the first record to the last, and
// the records against every checkpoint on record. It reads the file only. Errors are a
// [*eventlog.CorruptError], a [*BadError], or of opening the file; those of the first
// two kinds name the first record that is wrong, or may be.
func VerifyLog(ctx context.Context, path string, known LogKey, trust Trust) (*Report, error) {
	store, err := eventlog.OpenStore(path, eventlog.StoreOptions{ReadOnly: true, VerifyAll: true})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	head := store.Head()
	v := &logVerifier{
		store: store, trust: trust, head: head,
		events: events{roots: map[uint64]eventlog.Hash{}, heads: map[uint64]eventlog.Hash{}, wanted: map[uint64]bool{}},
		report: &Report{Log: true, About: About{
			Cluster: store.ClusterID(), From: min(1, head.Index), To: head.Index, Head: head.Hash.String(),
		}},
	}
	if err := v.findKey(known); err != nil {
		return nil, err
	}
	for _, pass := range []func(*eventlog.Record) error{v.findCheckpoint, v.count} {
		if err := v.each(ctx, pass); err != nil {
			return nil, err
		}
		for _, list := range [][]Checkpoint{v.report.Signed, v.outside} {
			for _, c := range list {
				v.events.wanted[c.Size] = true
			}
		}
	}
	return v.report, v.judge()
}

// A logVerifier is two passes over a log: one finds the checkpoints, the other one
// computes what they are compared with.
type logVerifier struct {
	store   *eventlog.Store
	trust   Trust
	head    eventlog.Head
	key     *key
	outside []Checkpoint
	events  events
	report  *Report
}

func (v *logVerifier) findKey(known LogKey) (err error) {
	r := v.report
	text, from := v.trust.Key, ""
	if text == "" {
		text, from = known.Key, known.From
	}
	if text != "" {
		if v.key, err = parseKey([]byte(text+"\n"), r.Cluster); err != nil {
			return &BadError{Log: true, Part: keyName, Reason: err.Error()}
		}
		if text == known.Key && len(known.Certificate) > 0 {
			if err := v.key.certify(known.Certificate); err != nil {
				return &BadError{Log: true, Part: certName, Reason: err.Error()}
			}
		}
		r.Key, r.KeyFrom = v.key.text, from
	}
	if v.outside, err = v.trust.outside(v.key); err != nil {
		return ofLog(err)
	}
	if v.trust.Key == "" && v.trust.CA == nil {
		return nil
	}
	if v.key == nil {
		return &BadError{Log: true, Reason: "the log does not hold the key of its checkpoints, and the authority's certificate alone does not tell it: name the key, or check the directory that the log is in"}
	}
	r.KeyTrusted, err = v.trust.judge(v.key)
	return ofLog(err)
}

// each calls f with every record.
func (v *logVerifier) each(ctx context.Context, f func(*eventlog.Record) error) error {
	for next := uint64(1); next <= v.head.Index; {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, err := v.store.Read(next, readRecordsMax)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return &eventlog.CorruptError{Path: v.store.Path(), Index: next, Reason: "the record is missing"}
		}
		for i := range page {
			if err := f(&page[i]); err != nil {
				return err
			}
		}
		next += uint64(len(page))
	}
	return nil
}

// findCheckpoint notes a record that is a checkpoint, which has to be of the key.
func (v *logVerifier) findCheckpoint(r *eventlog.Record) error {
	if v.report.FirstTime == 0 {
		v.report.FirstTime = r.Time
	}
	v.report.LastTime = r.Time
	if r.Kind != eventlog.KindCheckpointSigned {
		return nil
	}
	event, err := eventlog.Decode(r.Kind, r.Data)
	if err != nil {
		return &BadError{Log: true, Index: r.Index, Reason: err.Error()}
	}
	e, ok := event.(*eventlog.CheckpointSigned)
	if v.key == nil || !ok {
		v.report.Unverified++
		return nil
	}
	c, err := v.key.open(e.Note)
	if err == nil && (c.Size != e.Size || c.Size >= r.Index) {
		err = fmt.Errorf("it is of %d records", c.Size)
	}
	if err != nil {
		return &BadError{Log: true, Index: r.Index, Reason: fmt.Sprintf("the checkpoint is not one of the key: %v", err)}
	}
	if n := len(v.report.Signed); n == 0 || v.report.Signed[n-1].Size < c.Size {
		v.report.Signed = append(v.report.Signed, *c)
		v.report.Checkpoints = append(v.report.Checkpoints, c.Size)
	}
	return nil
}

// count adds a record to the tree.
func (v *logVerifier) count(r *eventlog.Record) error {
	if v.events.wanted[r.Index] {
		v.events.heads[r.Index] = r.Hash
	}
	return v.events.grow(0, r.LeafHash())
}

func (v *logVerifier) judge() error {
	r, e := v.report, &v.events
	first := func(size uint64) uint64 { return size + 1 }
	if (v.trust.Key != "" || v.trust.CA != nil) && len(r.Signed) == 0 {
		return &BadError{Log: true, Reason: "nothing in it is signed, and so nothing shows that it is of the key or the authority that you named"}
	}
	if err := compare(r.Signed, e.roots, e.heads, first); err != nil {
		return ofLog(err)
	}
	var fit []Checkpoint
	var beyond *Checkpoint // the first that signed more than there is
	for _, c := range v.outside {
		switch {
		case lost(r.Signed, &c):
			r.NotCompared = append(r.NotCompared, c)
		case c.Size <= v.head.Index:
			fit = append(fit, c)
		case beyond == nil:
			beyond = &c
		}
	}
	if err := compare(fit, e.roots, e.heads, first); err != nil {
		return ofLog(err)
	}
	if beyond != nil {
		return &BadError{Log: true, Index: v.head.Index + 1, Reason: fmt.Sprintf(
			"it ends at %d, and your checkpoint of %s signed %d records: the rest was cut off, or this orchestrator died before it had it; %s",
			v.head.Index, utc(beyond.Time), beyond.Size, agreed(len(fit)))}
	}
	r.Outside, r.ChainSigned = fit, len(r.Signed) > 0
	return nil
}

func agreed(n int) string {
	if n == 0 {
		return "none of your checkpoints is of less"
	}
	return fmt.Sprintf("what it has agrees with %s of less", counted(n, "checkpoint of yours", "checkpoints of yours"))
}

// ofLog says that what is bad is a log.
func ofLog(err error) error {
	if bad, ok := errors.AsType[*BadError](err); ok {
		bad.Log, bad.Part = true, ""
	}
	return err
}

// lost reports that the cluster was recovered since a checkpoint, to less than it
// signed: what signed checkpoints say of that counts.
func lost(signed []Checkpoint, c *Checkpoint) bool {
	if len(signed) == 0 {
		return false
	}
	newest := &signed[len(signed)-1]
	return slices.ContainsFunc(newest.Recoveries, func(r checkpoint.Recovery) bool {
		return r.Generation > c.Generation && r.Index <= c.Size
	})
}
