package engine

import (
	"fmt"

	"quorate/eventlog"
)

// A Checkpoint is what the cluster signed of its log: a note under the first Size
// records, on record at Index. Whoever holds one can tell whether the log was
// rewritten below Size since.
type Checkpoint struct {
	Size, Index uint64
	Note        []byte
}

// A Recovery is where the log goes on in place of records that are lost.
type Recovery struct{ Index, Generation uint64 }

// foldCheckpointSigned takes a newer checkpoint. What the note says is compared with
// the log by who reads it from there: judging it here would need the tree over all
// records.
func (s *State) foldCheckpointSigned(e *eventlog.CheckpointSigned) string {
	switch {
	case e.Size >= s.Index:
		return fmt.Sprintf("a checkpoint of %d records behind %d", e.Size, s.Index-1)
	case e.Size <= s.Checkpoint.Size:
		return fmt.Sprintf("a checkpoint of %d records is on record since %d", s.Checkpoint.Size, s.Checkpoint.Index)
	case e.Size < s.RecoveredAt:
		return fmt.Sprintf("a checkpoint of %d records from before the recovery at %d", e.Size, s.RecoveredAt)
	case len(e.Note) == 0 || len(e.Note) > eventlog.NoteBytesMax:
		return fmt.Sprintf("a note of %d bytes", len(e.Note))
	}
	s.Checkpoint = Checkpoint{Size: e.Size, Index: s.Index, Note: e.Note}
	return ""
}
