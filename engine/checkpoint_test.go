package engine

import (
	"bytes"
	"testing"

	"quorate/eventlog"
)

// A checkpoint counts when it is of records before it, newer than the last, and of
// this log since its last recovery.
func TestCheckpointSigned(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.agent("h0")
	signed := func(size uint64) *eventlog.CheckpointSigned {
		return &eventlog.CheckpointSigned{Size: size, Note: []byte("note")}
	}
	l.void(signed(l.s.Index + 1)) // itself
	l.void(signed(l.s.Index + 9))
	l.void(signed(0))
	l.void(&eventlog.CheckpointSigned{Size: 1})
	l.void(&eventlog.CheckpointSigned{Size: 1, Note: bytes.Repeat([]byte("n"), eventlog.NoteBytesMax+1)})
	if l.s.Checkpoint.Size != 0 {
		t.Errorf("void checkpoints count: %+v", l.s.Checkpoint)
	}
	last := l.s.Index
	l.ok(signed(last))
	if c := l.s.Checkpoint; c.Size != last || c.Index != l.s.Index || string(c.Note) != "note" {
		t.Errorf("the checkpoint is %+v, want one of %d records", c, last)
	}
	l.void(signed(last))
	l.void(signed(last - 1))
	l.ok(&eventlog.ClusterRecovered{Replica: 1, Name: "o1", RaftAddress: "a:1", Generation: 7})
	at := l.s.Index
	l.void(signed(at - 1)) // of the log that is lost, perhaps
	l.ok(signed(at))
	if r := l.s.Recoveries; len(r) != 1 || r[0].Index != at || r[0].Generation != l.s.Generation {
		t.Errorf("recoveries %+v, want the one at %d", r, at)
	}
}
