package journal

import (
	"fmt"

	"quorate/nodeagent/wire"
)

// The record of format versions 3 to 5 that has changed since: attempts waited for
// attempts of their own agent alone.

type predecessorV5 struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
	Any     bool
}

type awaitsV5 struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
	After   []predecessorV5
}

// decodeSingle is decodeRecord for a file of format versions 3 to 5.
func decodeSingle(data []byte) (Record, error) {
	if len(data) == 0 || Kind(data[0]) != KindAwaits {
		return decodeMute(data)
	}
	old := new(awaitsV5)
	if err := wire.Unmarshal(data[1:], old); err != nil {
		return nil, fmt.Errorf("journal record: %w", err)
	}
	r := &Awaits{Attempt: old.Attempt}
	for _, p := range old.After {
		r.After = append(r.After, wire.Predecessor{Attempt: p.Attempt, Any: p.Any})
	}
	return r, nil
}
