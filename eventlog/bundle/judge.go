package bundle

import (
	"fmt"
	"slices"

	"quorate/eventlog"
)

// judge compares what the records amount to with what was signed, and fills in the
// report.
func (v *verifier) judge() (err error) {
	r, e := v.report, &v.events
	if r.KeyTrusted, err = v.trust.judge(v.key); err != nil {
		return err
	}
	if v.key == nil {
		if _, err := v.trust.outside(nil); err != nil {
			return err
		}
	} else {
		r.Key = v.key.text
	}
	if err := compare(r.Signed, e.roots, e.heads, v.firstBehind); err != nil {
		return err
	}
	var fit []Checkpoint
	for _, c := range v.outside {
		if _, known := e.roots[c.Size]; known && !lost(r.Signed, &c) {
			fit = append(fit, c)
		} else {
			r.NotCompared = append(r.NotCompared, c)
		}
	}
	if err := compare(fit, e.roots, e.heads, v.firstBehind); err != nil {
		return err
	}
	r.Outside = fit
	if e.chain.Hash != parseHash(v.about.Head) {
		return &BadError{Index: v.firstBehind(v.about.signed()), Part: aboutName, Reason: fmt.Sprintf(
			"the chain over the records does not end at %d in the hash that %s says", v.about.To, aboutName)}
	}
	for size := range e.heads {
		r.ChainSigned = r.ChainSigned || slices.ContainsFunc(r.Signed, func(c Checkpoint) bool { return c.Size == size })
	}
	r.FirstTime, r.LastTime = e.first, e.last.Time
	return nil
}

// firstBehind is the first record of the bundle behind a size, or 0.
func (v *verifier) firstBehind(size uint64) uint64 {
	for _, index := range v.about.Also {
		if index > size {
			return index
		}
	}
	if size < v.about.To {
		return max(size+1, v.about.From)
	}
	return 0
}

// compare compares checkpoints, by ascending size, with the roots and the heads at
// their sizes, as far as these are known. First is the first record behind a size.
func compare(list []Checkpoint, roots, heads map[uint64]eventlog.Hash, first func(size uint64) uint64) error {
	good := uint64(0) // the records up to here are what was signed
	for _, c := range list {
		root, known := roots[c.Size]
		head, headKnown := heads[c.Size]
		if known && root != c.Root || headKnown && head != c.Head {
			index := first(good)
			if index > c.Size {
				index = 0
			}
			return &BadError{Index: index, Part: treeName, Reason: fmt.Sprintf(
				"the %d records up to there are not those that the checkpoint of %s signed; those up to %d are",
				c.Size, c.Time.UTC().Format("2006-01-02T15:04:05Z"), good)}
		}
		if known {
			good = c.Size
		}
	}
	return nil
}
