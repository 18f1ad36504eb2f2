package cloudevent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// cursorVersion begins every cursor.
const cursorVersion = "v1"

// Bounds of a cursor's parts, in bytes.
const (
	clusterBytesMax = 64
	cursorHashBytes = 32 // hex digits of the hash that a cursor keeps
)

// ErrCursor is wrapped by errors for text that is no cursor.
var ErrCursor = errors.New("this is no cursor of a log")

// A Cursor is a place in one log: behind the record Seq, as long as that is the one with
// this hash. So a cursor holds across restarts, and does not for another cluster, nor for
// a record that a recovery of the cluster has lost.
type Cursor struct {
	Cluster string
	Seq     uint64
	Hash    string // of the record, lower-case hex; of a parsed one its beginning
}

// String returns the cursor as text without blanks, for [ParseCursor].
func (c Cursor) String() string {
	return fmt.Sprintf("%s:%s:%d:%.*s", cursorVersion, c.Cluster, c.Seq, cursorHashBytes, c.Hash)
}

// Is reports whether the cursor is of a record with this hash.
func (c Cursor) Is(hash string) bool {
	return len(c.Hash) == cursorHashBytes && strings.HasPrefix(hash, c.Hash)
}

// ParseCursor reads a cursor. The error wraps [ErrCursor].
func ParseCursor(text string) (c Cursor, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 4 || parts[0] != cursorVersion {
		return c, fmt.Errorf("%.80q: %w", text, ErrCursor)
	}
	seq, err := strconv.ParseUint(parts[2], 10, 64)
	c = Cursor{Cluster: parts[1], Seq: seq, Hash: parts[3]}
	if err != nil || seq == 0 || c.Cluster == "" || len(c.Cluster) > clusterBytesMax || len(c.Hash) != cursorHashBytes || strings.Trim(c.Hash, "0123456789abcdef") != "" || c.String() != text {
		return Cursor{}, fmt.Errorf("%.80q: %w", text, ErrCursor)
	}
	return c, nil
}

// fields returns an event's fields with its numbers as they are written: as float64 they
// would lose nanoseconds.
func fields(event any) (map[string]any, error) {
	data, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	return out, nil
}
