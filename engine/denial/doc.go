// Package denial counts who was refused, so that it gets on record without that a stranger
// who hammers could fill the log: a [Ledger] tells what is new at once, what goes on less
// and less often, and never more than so much in an hour. It proposes nothing itself, and
// who refuses somebody waits for nothing.
package denial
