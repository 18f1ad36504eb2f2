package raft

import (
	"fmt"
	"io"
	"net"
	"time"

	"github.com/lni/dragonboat/v4/raftpb"

	"quorate/raft/frame"
)

// A snapshotSender is the library's raftio.ISnapshotConnection: it sends one
// snapshot, for one goroutine.
type snapshotSender struct {
	conn     net.Conn
	stop     func() bool
	buf      []byte
	inFlight int // chunks that were sent and are not known to be stored
}

// SendChunk implements raftio.ISnapshotConnection. It returns when all chunks but
// the last few are stored, and with the last chunk when all are.
func (s *snapshotSender) SendChunk(chunk raftpb.Chunk) error {
	buf, err := frame.Chunk(s.buf, chunk)
	if err != nil {
		return err
	}
	s.buf = buf
	if err := s.conn.SetWriteDeadline(time.Now().Add(chunkTime)); err != nil {
		return err
	}
	if _, err := s.conn.Write(buf); err != nil {
		return fmt.Errorf("snapshot of %d: chunk %d: %w", chunk.Index, chunk.ChunkId, err)
	}
	s.inFlight++
	allowed := chunksInFlight
	if chunk.IsLastChunk() {
		allowed = 0
	}
	for s.inFlight > allowed {
		if err := s.stored(); err != nil {
			return fmt.Errorf("snapshot of %d: up to chunk %d: not stored: %w", chunk.Index, chunk.ChunkId, err)
		}
	}
	return nil
}

// stored waits for the answer to the oldest chunk in flight.
func (s *snapshotSender) stored() error {
	if err := s.conn.SetReadDeadline(time.Now().Add(chunkTime)); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(s.conn, answer[:]); err != nil {
		return err
	}
	if answer[0] != chunkStored {
		return fmt.Errorf("answered by %d", answer[0])
	}
	s.inFlight--
	return nil
}

// Close implements raftio.ISnapshotConnection.
func (s *snapshotSender) Close() {
	s.stop()
	abort(s.conn)
}
