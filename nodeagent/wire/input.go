package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// OutputBytes is the length of what stands for what a step has made of its host.
const OutputBytes = 16

// A Sum is of what steps of one task have made of their hosts, in whatever order these
// are added. The zero value is of none.
type Sum [OutputBytes]byte

// Add adds what the step on the host has made of it, the output of its attempt's end.
func (s *Sum) Add(host string, output []byte) {
	h := sha256.Sum256(append([]byte(host+"\x00"), output...))
	low, carry := bits.Add64(binary.BigEndian.Uint64(s[8:]), binary.BigEndian.Uint64(h[8:]), 0)
	high, _ := bits.Add64(binary.BigEndian.Uint64(s[:]), binary.BigEndian.Uint64(h[:]), carry)
	binary.BigEndian.PutUint64(s[8:], low)
	binary.BigEndian.PutUint64(s[:], high)
}

// An Input is what became of a task that a step requires, on all hosts that the task is
// for. A task of which that is not known in whole is not named: what the step was based
// on before counts on.
type Input struct {
	_msgpack struct{} `msgpack:",as_array"`

	Task string
	// Output is of the hosts on which the task's step has ended already.
	Output Sum
	// Open are the other ones' attempts, all of them among Dispatch.After and other
	// agents': each is added when it ends. Where one of them ends without an output the
	// task is as good as not named.
	Open []uint64
}
