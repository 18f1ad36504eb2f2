package wire

// Seen names a checkpoint that an agent remembers.
type Seen struct {
	_msgpack struct{} `msgpack:",as_array"`

	Size, Generation uint64
}

// Checkpoint tells how far the cluster's log is signed, and proves that it only added
// to what the agent has seen.
type Checkpoint struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Note is signed, see internal/checkpoint; NoteBytesMax bounds it.
	Note []byte
	// Proof are the hashes, one behind the other, of a consistency proof from the
	// checkpoint of Older records, which the agent has seen; ProofBytesMax bounds it.
	Older uint64
	Proof []byte
}

// Distrust says why the agent takes no work from this log: it is not the one that it
// has seen before.
type Distrust struct {
	_msgpack struct{} `msgpack:",as_array"`

	Reason string
	// Note is the newest checkpoint that the agent has seen: the proof of it.
	Note []byte
}
