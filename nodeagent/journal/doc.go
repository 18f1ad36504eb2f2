// Package journal is the agent's memory of what it was told to do, and the rules
// by which it accepts, starts, ends, refuses and forgets.
//
// It has two halves. [State] is pure: its methods look at the state and at what
// came in, and return the records that have to be written and the effects that
// may follow them; only Apply changes it, by a record. [Journal] is the file: it
// appends records, syncs them for all that wait, finds its way back after a crash
// and rewrites itself when most of it is history. Because the rules know nothing
// of files and clocks, the tests run them through crashes at every point.
//
// The order is always the same: decide, append, sync where the decision says so,
// and only then act.
//
// What a crash can take: a killed process loses nothing that was appended, for
// the page cache outlives it; a machine that goes down loses at most what was
// appended after the last sync. That is why the intent to start jobs is synced
// and their progress is not.
package journal
