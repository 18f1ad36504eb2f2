package frame

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/lni/dragonboat/v4/raftpb"
)

// Bounds of a chunk's membership.
const (
	membersMax      = 1024
	addressBytesMax = 64 // a symbol, such as replica-3
	memberBytesMin  = 2
)

// Chunk makes a frame of a snapshot's chunk, with its header, in the buffer where
// that is large enough. Chunks of witnesses and of further files are refused:
// this product's snapshots have none.
func Chunk(buf []byte, chunk raftpb.Chunk) ([]byte, error) {
	if chunk.Witness || chunk.HasFileInfo {
		return nil, fmt.Errorf("snapshot chunk: of a witness or a further file")
	}
	if need := len(chunk.Data) + 16<<10; cap(buf) < need {
		buf = make([]byte, 0, need)
	}
	buf = begin(buf)
	buf = binary.AppendUvarint(buf, uint64(chunk.BinVer))
	for _, v := range chunkNumbers(&chunk) {
		buf = binary.AppendUvarint(buf, *v)
	}
	m := &chunk.Membership
	buf = binary.AppendUvarint(buf, m.ConfigChangeId)
	for _, addresses := range []map[uint64]string{m.Addresses, m.NonVotings, m.Witnesses} {
		buf = binary.AppendUvarint(buf, uint64(len(addresses)))
		for _, replica := range slices.Sorted(maps.Keys(addresses)) {
			buf = binary.AppendUvarint(buf, replica)
			buf = appendBytes(buf, []byte(addresses[replica]))
		}
	}
	buf = binary.AppendUvarint(buf, uint64(len(m.Removed)))
	for _, replica := range slices.Sorted(maps.Keys(m.Removed)) {
		buf = binary.AppendUvarint(buf, replica)
		buf = appendBool(buf, m.Removed[replica])
	}
	buf = appendBytes(buf, chunk.Data)
	frame, err := finish(buf)
	if err != nil {
		return nil, fmt.Errorf("snapshot chunk: %w", err)
	}
	return frame, nil
}

// chunkNumbers are the fields in the order in which they are written.
func chunkNumbers(c *raftpb.Chunk) []*uint64 {
	return []*uint64{
		&c.DeploymentId, &c.From, &c.ReplicaID, &c.ShardID, &c.ChunkId, &c.ChunkSize, &c.ChunkCount,
		&c.Index, &c.Term, &c.FileSize, &c.FileChunkId, &c.FileChunkCount, &c.OnDiskIndex,
	}
}

// ReadChunk reads a frame. The chunk is of the link, its data is a copy, and its
// file's name is the one that belongs to the snapshot.
func ReadChunk(frame []byte, link Link) (raftpb.Chunk, error) {
	c := &cursor{b: frame}
	chunk := raftpb.Chunk{}
	version := c.uint()
	chunk.BinVer = uint32(version)
	if uint64(chunk.BinVer) != version {
		c.fail("version %d", version)
	}
	for _, v := range chunkNumbers(&chunk) {
		*v = c.uint()
	}
	m := &chunk.Membership
	m.ConfigChangeId = c.uint()
	for _, addresses := range []*map[uint64]string{&m.Addresses, &m.NonVotings, &m.Witnesses} {
		*addresses = c.members()
	}
	m.Removed = c.removed()
	if data := c.bytes(); len(data) > 0 {
		chunk.Data = slices.Clone(data)
	}
	if len(c.b) > 0 {
		c.fail("%d bytes too many", len(c.b))
	}
	if c.err == nil {
		c.err = link.check("a chunk", chunk.From, chunk.ReplicaID, chunk.ShardID)
	}
	if c.err == nil && chunk.ChunkSize != uint64(len(chunk.Data)) {
		c.fail("a chunk of %d bytes with %d", chunk.ChunkSize, len(chunk.Data))
	}
	if c.err != nil {
		return raftpb.Chunk{}, fmt.Errorf("snapshot chunk: %w", c.err)
	}
	chunk.Filepath = fileOf(chunk.Index)
	return chunk, nil
}

// fileOf is the name that the library gives to a snapshot's file. The receiver
// makes it itself: nobody else names its files.
func fileOf(index uint64) string { return fmt.Sprintf("snapshot-%016X.gbsnap", index) }

// replicas reads ascending numbers, each with something behind it.
func (c *cursor) replicas(each func(replica uint64)) {
	n := c.count(membersMax, memberBytesMin)
	last := uint64(0)
	for range n {
		replica := c.uint()
		if replica <= last {
			c.fail("replica %d behind %d", replica, last)
			return
		}
		last = replica
		each(replica)
	}
}

func (c *cursor) members() map[uint64]string {
	all := map[uint64]string{}
	c.replicas(func(replica uint64) {
		address := c.bytes()
		if len(address) > addressBytesMax {
			c.fail("an address of %d bytes", len(address))
		}
		all[replica] = string(address)
	})
	return all
}

func (c *cursor) removed() map[uint64]bool {
	all := map[uint64]bool{}
	c.replicas(func(replica uint64) { all[replica] = c.bool() })
	return all
}
