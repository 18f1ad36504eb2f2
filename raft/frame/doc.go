// Package frame is how replicas write Raft messages and snapshot chunks to each
// other: frames of a length and that many bytes.
//
// The encoding is our own and not the Raft library's, whose decoder takes a peer's
// word for what it allocates, panics on damaged bytes and, for some, never returns.
// Here a frame has at most [BytesMax] bytes; memory grows with what has arrived and
// never with what was announced; what a frame may hold is counted; and bytes that
// are not exactly what [Encoder] writes are an error that wraps [ErrMalformed].
//
// A frame holds whole messages. What Raft sends at once may be longer: an Encoder
// makes several of it, and parts the entries of one message among several where
// it has to, which to Raft is as if they had been sent so.
package frame
