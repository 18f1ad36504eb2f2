package raft

import (
	"testing"

	"github.com/lni/dragonboat/v4/raftpb"
)

// BenchmarkTransport measures a batch there and one back, over TLS on loopback.
func BenchmarkTransport(b *testing.B) {
	ctx, p := deadline(b), newPorts(b)
	one, two := p.end(1), p.end(2)
	there, back := one.reach(ctx, b, 2), two.reach(ctx, b, 1)
	batch := heartbeat(1, 2, 9)
	batch.Requests[0].Type = raftpb.Replicate
	batch.Requests[0].Entries = []raftpb.Entry{{Term: 9, Index: 1, Cmd: make([]byte, 512)}}
	b.ReportAllocs()
	for b.Loop() {
		if err := there.SendMessageBatch(batch); err != nil {
			b.Fatal(err)
		}
		<-two.received
		if err := back.SendMessageBatch(heartbeat(2, 1, 9)); err != nil {
			b.Fatal(err)
		}
		<-one.received
	}
}

// BenchmarkTransportBytes measures the throughput of entries of 64 KiB.
func BenchmarkTransportBytes(b *testing.B) {
	ctx, p := deadline(b), newPorts(b)
	one, two := p.end(1), p.end(2)
	conn := one.reach(ctx, b, 2)
	batch := heartbeat(1, 2, 9)
	batch.Requests[0].Type = raftpb.Replicate
	for i := range uint64(64) {
		batch.Requests[0].Entries = append(batch.Requests[0].Entries, raftpb.Entry{Term: 9, Index: 1 + i, Cmd: make([]byte, 64<<10)})
	}
	b.SetBytes(4 << 20)
	for b.Loop() {
		if err := conn.SendMessageBatch(batch); err != nil {
			b.Fatal(err)
		}
		for entries := 0; entries < 64; {
			for _, m := range (<-two.received).Requests {
				entries += len(m.Entries)
			}
		}
	}
}
