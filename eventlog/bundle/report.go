package bundle

import (
	"fmt"
	"strings"
	"time"
)

// A Report is what a check that found nothing wrong amounts to.
type Report struct {
	About
	// Log is true where a log was checked, and not a bundle: From is 1 then.
	Log bool
	// Key is what verified the checkpoints, or empty where there was none; KeyTrusted
	// says that it is the one that the reader knows from elsewhere, and KeyFrom, where
	// it does not come with the bundle, where it was found.
	Key        string
	KeyTrusted bool
	KeyFrom    string
	// Signed are the checkpoints that were checked, by ascending size, Outside those of
	// the reader's that were found to agree, and NotCompared those of sizes that the
	// records do not tell anything about.
	Signed, Outside, NotCompared []Checkpoint
	// Unverified counts checkpoints for which there was no key.
	Unverified int
	// ChainSigned says that a checkpoint covers the chain's hashes too.
	ChainSigned bool
	// NewerEvents says that there are fields or kinds of events that this program does
	// not know.
	NewerEvents bool
	// RunEnds says that the last record is the end of the run that the bundle is of.
	RunEnds bool
	// FirstTime and LastTime are of the first and the last record, unix nanoseconds.
	FirstTime, LastTime int64
	// StateVouched is the record that vouches for the state, or 0; see [Report.Vouch].
	StateVouched uint64
}

// Vouch says that a StateHashed at an index agrees with the state in the bundle.
func (r *Report) Vouch(index uint64) { r.StateVouched = index }

// Proven is in words what the signatures prove, given the key.
func (r *Report) Proven() []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	whose := "the key in it"
	switch {
	case r.KeyTrusted:
		whose = "the cluster's key"
	case r.KeyFrom != "":
		whose = "the key in " + r.KeyFrom
	}
	signed := r.signed()
	if last := min(r.To, signed); signed > 0 && last >= r.From {
		say("records %d to %d are those of cluster %.12s, as %s signed them at %s: none was changed, added, dropped or moved",
			r.From, last, r.Cluster, whose, utc(r.Signed[len(r.Signed)-1].Time))
	}
	if n := r.alsoWithin(signed); n > 0 {
		say("%s that they stand on (%s) are of the same log", counted(n, "record", "records"), numbers(r.Also[:n]))
	}
	if r.RunEnds && r.To <= signed {
		say("record %d created a run, and %d ended run %d", r.From, r.To, r.Run)
	}
	if len(r.Signed) > 1 {
		say("%d checkpoints, of %d to %d records, are of one log that only grew", len(r.Signed), r.Signed[0].Size, signed)
	}
	for _, c := range r.Outside {
		say("it agrees with your checkpoint of %d records, signed at %s", c.Size, utc(c.Time))
	}
	if r.To > signed && r.To > 0 {
		say("records %d to %d follow each other: each hash covers the one before", max(r.From, signed+1), r.To)
	}
	if len(r.Blobs) > 0 {
		say("%s (plans, inputs, files) are those that the records name", counted(len(r.Blobs), "blob", "blobs"))
	}
	if r.vouched() {
		say("the state in front of record %d agrees with what the orchestrators recorded of theirs at %d", r.From, r.StateVouched)
	}
	return all
}

// NotProven is in words what the check leaves open.
func (r *Report) NotProven() []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	signed := r.signed()
	switch {
	case signed == 0 && r.Unverified > 0:
		say("that the records are the cluster's: there are %s, and no key to verify them with; name it with --key", counted(r.Unverified, "checkpoint", "checkpoints"))
	case signed == 0:
		say("that the records are the cluster's: there is no signed checkpoint, and whoever changes all of them can compute all hashes anew")
	case !r.KeyTrusted && r.KeyFrom != "":
		say("that the key is the cluster's: it comes from %s itself; name the key with --key, or the authority's certificate with --ca", r.KeyFrom)
	case !r.KeyTrusted:
		say("that the key is the cluster's: it comes with the file; name the one that you know with --key, or the authority's certificate with --ca")
	}
	if signed > 0 && r.To > signed {
		say("that records %d to %d are the cluster's: they are behind the last checkpoint", max(r.From, signed+1), r.To)
	}
	for _, c := range r.NotCompared {
		switch {
		case lost(r.Signed, &c):
			say("that it agrees with your checkpoint of %d records: the cluster was recovered since, and what that signed last is gone", c.Size)
		case c.Size > max(r.To, signed):
			say("that it agrees with your checkpoint of %d records: the log went on to there, and this ends before", c.Size)
		default:
			say("that it agrees with your checkpoint of %d records: nothing in it tells of a log of that size", c.Size)
		}
	}
	if r.Run > 0 && !(r.RunEnds && r.To <= signed) {
		say("that this is run %d, and all of it: no signed record in it says that the run ended, so it was under way, or somebody left out the rest", r.Run)
	}
	say("that nothing happened behind record %d", r.reach())
	if len(r.Missing) > 0 {
		say("what %s said that were not to be had: %s", counted(len(r.Missing), "blob", "blobs"), shortened(r.Missing))
	}
	if r.State && !r.vouched() {
		say("the state in front of record %d: no signed record in the bundle says what it was", r.From)
	}
	if !r.ChainSigned && r.From > 1 && signed > 0 {
		say("the hashes of the chain, which no checkpoint among the records covers")
	}
	if r.NewerEvents {
		say("what newer kinds or fields of events are called: a newer version wrote them")
	}
	say("that hosts did what their agents reported, or that clocks were right: the records say what was reported, and when by whose clock")
	return all
}

// vouched reports that a record says what the state was, and that it is signed.
func (r *Report) vouched() bool {
	return r.State && r.StateVouched > 0 && r.StateVouched <= r.signed()
}

// reach is the last record that the log is known to have had.
func (r *Report) reach() uint64 {
	last := max(r.To, r.signed())
	for _, c := range r.NotCompared {
		if !lost(r.Signed, &c) {
			last = max(last, c.Size)
		}
	}
	return last
}

func (r *Report) alsoWithin(signed uint64) (n int) {
	for n < len(r.Also) && r.Also[n] <= signed {
		n++
	}
	return n
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// numbers lists a few numbers.
func numbers(list []uint64) string {
	var text []string
	for _, n := range list[:min(len(list), 8)] {
		text = append(text, fmt.Sprint(n))
	}
	if len(list) > len(text) {
		text = append(text, "…")
	}
	return strings.Join(text, ", ")
}

func shortened(digests []string) string {
	var text []string
	for _, d := range digests[:min(len(digests), 4)] {
		text = append(text, d[:12])
	}
	if len(digests) > len(text) {
		text = append(text, "…")
	}
	return strings.Join(text, ", ")
}
