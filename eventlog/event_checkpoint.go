package eventlog

import "encoding/json"

// NoteBytesMax bounds the note of a [CheckpointSigned].
const NoteBytesMax = 4096

// CheckpointSigned is the cluster's signature under its first Size records. Where
// the log is ever rewritten below Size, everyone who has kept the note can tell.
type CheckpointSigned struct {
	_msgpack struct{} `msgpack:",as_array"`

	Size uint64 `json:"size"`
	// Note is a signed note whose text is a checkpoint, see package
	// internal/checkpoint.
	Note []byte `json:"note"`
}

// MarshalJSON writes the note as the text that it is.
func (c *CheckpointSigned) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Size uint64 `json:"size"`
		Note string `json:"note"`
	}{c.Size, string(c.Note)})
}

// Kind implements Event.
func (*CheckpointSigned) Kind() Kind { return KindCheckpointSigned }
