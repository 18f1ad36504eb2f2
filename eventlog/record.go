package eventlog

// A Hash is a SHA-256.
type Hash [32]byte

// A Record is an event at its place in the log.
type Record struct {
	// Index counts records from 1 without holes.
	Index uint64
	// Time is unix nanoseconds, stamped by the proposer and clamped by the log so
	// that it never runs backwards.
	Time int64
	Kind Kind
	// Data is the canonical encoding of the event; decode it with [Decode].
	Data []byte
	// Hash is SHA-256 over the hash of the record before and this one's own bytes.
	Hash Hash
}

// An Entry is an event on its way into a log, encoded.
type Entry struct {
	Time int64 // unix nanoseconds, the proposer's clock
	Kind Kind
	Data []byte
}
