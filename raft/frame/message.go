package frame

import (
	"encoding/binary"
	"fmt"

	"github.com/lni/dragonboat/v4/raftpb"
)

// Bounds of a frame of messages. The decoder's are wider than the encoder's by
// what one message may have by itself.
const (
	// targetBytes is where the encoder begins another frame. On a slow line a
	// follower hears from its leader with every one, and starts no election
	// while it catches up.
	targetBytes = 512 << 10

	messagesMax     = 1024
	entriesMax      = 16 << 10
	messageBytesMin = 12
	entryBytesMin   = 8
	// entryOverheadBytes is what an entry has besides its command, at most.
	entryOverheadBytes = 1 + 7*binary.MaxVarintLen64
)

// Sendable reports whether messages of the type are exchanged by replicas. Others
// are a replica's to itself, and would be a way to harm it.
func Sendable(t raftpb.MessageType) bool {
	switch t {
	case raftpb.NoOP, raftpb.Propose, raftpb.Replicate, raftpb.ReplicateResp, raftpb.RequestVote, raftpb.RequestVoteResp,
		raftpb.RequestPreVote, raftpb.RequestPreVoteResp, raftpb.Heartbeat, raftpb.HeartbeatResp, raftpb.ReadIndex,
		raftpb.ReadIndexResp, raftpb.SnapshotReceived, raftpb.LeaderTransfer, raftpb.TimeoutNow, raftpb.RateLimit:
		return true
	}
	return false
}

// An Encoder makes frames of message batches. It is for one goroutine.
type Encoder struct {
	buf               []byte
	messages, entries int
}

// Batch makes one or more frames of the batch, each with its header, and passes
// them to send, which must not keep them. Messages that replicas do not exchange
// are left out.
func (e *Encoder) Batch(batch raftpb.MessageBatch, send func(frame []byte) error) error {
	if cap(e.buf) > keptBytesMax {
		e.buf = nil
	}
	e.start(&batch)
	for i := range batch.Requests {
		if !Sendable(batch.Requests[i].Type) {
			continue
		}
		m := batch.Requests[i]
		all := m.Entries
		for first := true; first || len(all) > 0; first = false {
			n := fitting(all)
			m.Entries, all = all[:n], all[n:]
			if err := e.message(&batch, &m, send); err != nil {
				return err
			}
			if n > 0 {
				// What follows continues behind the part that was sent.
				m.LogIndex, m.LogTerm = continued(&m)
			}
		}
	}
	return e.flush(send)
}

// continued is where a further part of the message's entries goes.
func continued(m *raftpb.Message) (index, term uint64) {
	if m.Type != raftpb.Replicate {
		return m.LogIndex, m.LogTerm
	}
	last := &m.Entries[len(m.Entries)-1]
	return last.Index, last.Term
}

// fitting is how many of the entries go into one message, at least one.
func fitting(entries []raftpb.Entry) int {
	bytes := 0
	for i := range entries {
		bytes += entryOverheadBytes + len(entries[i].Cmd)
		if i > 0 && (bytes > targetBytes || i == entriesMax) {
			return i
		}
	}
	return len(entries)
}

// message adds a message, after what was before it where both are too much.
func (e *Encoder) message(batch *raftpb.MessageBatch, m *raftpb.Message, send func([]byte) error) error {
	bytes := 0
	for i := range m.Entries {
		bytes += entryOverheadBytes + len(m.Entries[i].Cmd)
	}
	if e.messages > 0 && (len(e.buf)+bytes > targetBytes || e.messages == messagesMax || e.entries+len(m.Entries) > entriesMax) {
		if err := e.flush(send); err != nil {
			return err
		}
		e.start(batch)
	}
	e.buf = appendMessage(e.buf, m)
	e.messages++
	e.entries += len(m.Entries)
	return nil
}

func (e *Encoder) start(batch *raftpb.MessageBatch) {
	e.buf = begin(e.buf)
	e.buf = binary.AppendUvarint(e.buf, uint64(batch.BinVer))
	e.buf = binary.AppendUvarint(e.buf, batch.DeploymentId)
	e.messages, e.entries = 0, 0
}

func (e *Encoder) flush(send func([]byte) error) error {
	if e.messages == 0 {
		return nil
	}
	frame, err := finish(e.buf)
	if err != nil {
		return err
	}
	return send(frame)
}

func appendMessage(b []byte, m *raftpb.Message) []byte {
	b = append(b, byte(m.Type))
	b = appendBool(b, m.Reject)
	for _, v := range [...]uint64{m.To, m.From, m.ShardID, m.Term, m.LogTerm, m.LogIndex, m.Commit, m.Hint, m.HintHigh, uint64(len(m.Entries))} {
		b = binary.AppendUvarint(b, v)
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		b = append(b, byte(e.Type))
		for _, v := range [...]uint64{e.Term, e.Index, e.Key, e.ClientID, e.SeriesID, e.RespondedTo} {
			b = binary.AppendUvarint(b, v)
		}
		b = appendBytes(b, e.Cmd)
	}
	return b
}

// A Link is what is known of a connection: its messages are from and to no other
// replica, and of no other shard.
type Link struct {
	From, To, Shard uint64
}

func (l Link) check(what string, from, to, shard uint64) error {
	if l.From == from && l.To == to && l.Shard == shard {
		return nil
	}
	return malformed("%s from replica %d to replica %d of shard %d, on a connection from %d to %d of %d",
		what, from, to, shard, l.From, l.To, l.Shard)
}

// Messages reads a frame. The entries' commands are copied out of it. Every
// message is of the link, of a type that replicas exchange, and its entries are
// such as Raft can take.
func Messages(frame []byte, link Link) (raftpb.MessageBatch, error) {
	c := &cursor{b: frame}
	batch := raftpb.MessageBatch{}
	version := c.uint()
	batch.BinVer = uint32(version)
	if uint64(batch.BinVer) != version {
		c.fail("version %d", version)
	}
	batch.DeploymentId = c.uint()
	commands := 0
	entries := entriesMax
	for len(c.b) > 0 {
		if len(batch.Requests) == messagesMax {
			c.fail("more than %d messages", messagesMax)
			break
		}
		m := raftpb.Message{}
		commands += c.message(&m, entries)
		entries -= len(m.Entries)
		if c.err == nil {
			c.err = checkMessage(&m, link)
		}
		if c.err != nil {
			break
		}
		batch.Requests = append(batch.Requests, m)
	}
	if c.err == nil && len(batch.Requests) == 0 {
		c.fail("a frame without messages")
	}
	if c.err != nil {
		return raftpb.MessageBatch{}, fmt.Errorf("raft messages: %w", c.err)
	}
	own(batch.Requests, commands)
	return batch, nil
}

// message reads a message, and returns how many bytes its commands have. These
// are still parts of the frame.
func (c *cursor) message(m *raftpb.Message, entriesLeft int) (commands int) {
	m.Type = raftpb.MessageType(c.byte())
	m.Reject = c.bool()
	for _, v := range [...]*uint64{&m.To, &m.From, &m.ShardID, &m.Term, &m.LogTerm, &m.LogIndex, &m.Commit, &m.Hint, &m.HintHigh} {
		*v = c.uint()
	}
	n := c.count(entriesLeft, entryBytesMin)
	if n == 0 {
		return 0
	}
	m.Entries = make([]raftpb.Entry, n)
	for i := range m.Entries {
		e := &m.Entries[i]
		e.Type = raftpb.EntryType(c.byte())
		for _, v := range [...]*uint64{&e.Term, &e.Index, &e.Key, &e.ClientID, &e.SeriesID, &e.RespondedTo} {
			*v = c.uint()
		}
		if cmd := c.bytes(); len(cmd) > 0 {
			e.Cmd = cmd
			commands += len(cmd)
		}
	}
	return commands
}

// own copies the commands into memory that nobody else writes to.
func own(messages []raftpb.Message, commands int) {
	if commands == 0 {
		return
	}
	room := make([]byte, 0, commands)
	for i := range messages {
		for j := range messages[i].Entries {
			e := &messages[i].Entries[j]
			if len(e.Cmd) > 0 {
				at := len(room)
				room = append(room, e.Cmd...)
				e.Cmd = room[at:len(room):len(room)]
			}
		}
	}
}

// checkMessage refuses what the library answers with a panic.
func checkMessage(m *raftpb.Message, link Link) error {
	if !Sendable(m.Type) {
		return malformed("a message of type %d", m.Type)
	}
	if err := link.check(m.Type.String(), m.From, m.To, m.ShardID); err != nil {
		return err
	}
	switch {
	case m.Type == raftpb.LeaderTransfer && m.Hint == 0:
		return malformed("a transfer to nobody")
	case len(m.Entries) > 0 && m.Type != raftpb.Replicate && m.Type != raftpb.Propose:
		return malformed("%s with entries", m.Type)
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Type < raftpb.ApplicationEntry || e.Type > raftpb.MetadataEntry {
			return malformed("an entry of type %d", e.Type)
		}
		if m.Type == raftpb.Replicate && (e.Index != m.LogIndex+1+uint64(i) || e.Term > m.Term || e.Term < m.LogTerm) {
			return malformed("entry %d of term %d as number %d behind entry %d of term %d in term %d", e.Index, e.Term, i, m.LogIndex, m.LogTerm, m.Term)
		}
	}
	return nil
}
