package planner

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/vmihailenco/msgpack/v5"
)

// Encode returns the plan's canonical bytes: msgpack arrays, no maps.
func (p *Plan) Encode() []byte {
	data, err := msgpack.Marshal(p)
	if err != nil {
		panic("planner: a plan holds only what msgpack encodes: " + err.Error())
	}
	return data
}

// ID is the SHA-256 of the plan's bytes, lower-case hex.
func (p *Plan) ID() string {
	sum := sha256.Sum256(p.Encode())
	return hex.EncodeToString(sum[:])
}

// Decode reads a plan's bytes and checks everything that users of a plan rely on.
func Decode(data []byte) (*Plan, error) {
	p := new(Plan)
	if err := msgpack.Unmarshal(data, p); err != nil {
		return nil, err
	}
	return p, nil
}
