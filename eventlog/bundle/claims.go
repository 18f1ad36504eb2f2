package bundle

import (
	"fmt"

	"quorate/eventlog"
)

// claims compares what bundle.json says of the records with the records: nobody signs
// it, and whoever passes a bundle on can leave out an end, or call it another run's.
type claims struct {
	about *About
	known map[string]bool // blobs that are there, or listed as missing
	ended bool            // the last record ends the run
	err   error           // the first one
}

func newClaims(a *About) *claims {
	c := &claims{about: a, known: make(map[string]bool, len(a.Blobs)+len(a.Missing))}
	for _, b := range a.Blobs {
		c.known[b.SHA256] = true
	}
	for _, digest := range a.Missing {
		c.known[digest] = true
	}
	return c
}

// see looks at a record, and reports whether it wants to see more.
func (c *claims) see(r eventlog.Record) bool {
	if c.about.Run > 0 && r.Index == c.about.From && r.Kind != eventlog.KindRunCreated {
		c.bad(&r, "the records of a run begin with the one that created it, and this one did not")
	}
	if r.Kind != eventlog.KindRunEnded && r.Kind != eventlog.KindPlanRecorded {
		return true
	}
	event, err := eventlog.Decode(r.Kind, r.Data)
	if err != nil {
		return true // the log holds it, and nobody can have acted on it
	}
	switch e := event.(type) {
	case *eventlog.RunEnded:
		c.ended = r.Index == c.about.To && e.Run == c.about.Run
	case *eventlog.PlanRecorded:
		c.named(&r, e.PlanID)
		for _, in := range e.Inputs {
			c.named(&r, in.Digest)
		}
	}
	return true
}

// named wants a plan or an input to be there, or to be listed as missing.
func (c *claims) named(r *eventlog.Record, digest string) {
	if isHash(digest) && !c.known[digest] {
		c.bad(r, fmt.Sprintf("it names the blob %.12s, which is neither there nor listed as missing", digest))
	}
}

func (c *claims) bad(r *eventlog.Record, reason string) {
	if c.err == nil {
		c.err = &BadError{Part: aboutName, Index: r.Index, Reason: reason}
	}
}
