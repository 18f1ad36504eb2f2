package raft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestReplicasJoinAppendAndAgree(t *testing.T) {
	g := three(t)
	for i := range 30 {
		g.append(uint64(1+i%3), fmt.Sprint("through ", i))
	}
	if index, _ := g.agree(); index != 50 {
		t.Fatalf("the log ends at %d", index)
	}
	m, err := g.nodes[3].Members(g.ctx)
	g.must(err)
	if !slices.Equal(m.Voters, []uint64{1, 2, 3}) || len(m.Learners)+len(m.Removed) != 0 {
		t.Fatalf("members %+v", m)
	}
	// A restart needs nobody to tell it who is who.
	g.stop(2)
	g.append(1, "while one is away")
	g.start(2, Config{})
	g.append(2, "back again")
	if index, _ := g.agree(); index != 52 {
		t.Fatalf("the log ends at %d", index)
	}
}

func TestMembershipChangesAreIdempotent(t *testing.T) {
	g := three(t)
	g.must(g.nodes[2].AddLearner(g.ctx, 3))
	g.must(g.nodes[2].Promote(g.ctx, 3))
	if err := g.nodes[2].Promote(g.ctx, 9); !errors.Is(err, ErrNotMember) {
		t.Errorf("promotion of a stranger: %v", err)
	}
	g.must(g.nodes[2].Remove(g.ctx, 9))
	g.must(g.nodes[3].Transfer(g.ctx, 3))
	g.must(g.nodes[1].Transfer(g.ctx, 2))
	g.must(g.nodes[1].Transfer(g.ctx, 2))
	if leader := g.leader(); leader != 2 {
		t.Errorf("replica %d leads", leader)
	}
	if _, term, _ := g.nodes[2].Leader(); !g.nodes[2].Handed(term) || g.nodes[2].Handed(term-1) || g.nodes[1].Handed(term) {
		t.Errorf("replica 2 does not know that it was asked to lead in term %d, or another one takes it that it was", term)
	}
	if err := g.nodes[1].Transfer(g.ctx, 9); !errors.Is(err, ErrNotMember) {
		t.Errorf("transfer to a stranger: %v", err)
	}
	g.must(g.nodes[1].Remove(g.ctx, 3))
	g.must(g.nodes[2].Remove(g.ctx, 3))
	if err := g.nodes[1].AddLearner(g.ctx, 3); !errors.Is(err, ErrRemoved) {
		t.Errorf("a removed replica is added: %v", err)
	}
	m, err := g.nodes[1].Members(g.ctx)
	if err != nil || !slices.Equal(m.Voters, []uint64{1, 2}) || !slices.Equal(m.Removed, []uint64{3}) {
		t.Errorf("members %+v, %v", m, err)
	}
}

func TestRemovedReplicaEndsAndSaysSo(t *testing.T) {
	for _, leads := range []bool{true, false} {
		t.Run(fmt.Sprintf("leads=%v", leads), func(t *testing.T) {
			g := three(t)
			leader := g.leader()
			removed := leader
			if !leads {
				removed = leader%3 + 1
			}
			g.must(g.nodes[removed].Remove(g.ctx, removed))
			n := g.nodes[removed]
			select {
			case <-n.Done():
			case <-g.ctx.Done():
				t.Fatal("it goes on")
			}
			if err := n.Err(); !errors.Is(err, ErrRemoved) {
				t.Fatalf("it ended with %v", err)
			}
			if err := n.Barrier(g.ctx); !errors.Is(err, ErrRemoved) {
				t.Errorf("barrier: %v", err)
			}
			if _, err := n.Append(g.ctx, cloneEntries(nil)); err == nil {
				t.Error("it appends")
			}
			g.append(removed%3+1, "without it")
			g.stop(removed)
			cfg := Config{DataDir: g.dir(removed), Replica: removed, transport: channels{}}
			if again, err := Start(g.ctx, cfg); !errors.Is(err, ErrRemoved) {
				t.Errorf("it starts again: %v, %v", again, err)
			}
			g.agree()
		})
	}
}

// Start does not wait for ever: for a leader that has yet to add the replica, nor
// for a majority that is away.
func TestReplicaStartsWithoutAMajority(t *testing.T) {
	g := newGroup(t)
	g.start(1, Config{Bootstrap: true})
	early := g.start(2, Config{Join: true})
	g.append(1, "a")
	short, cancel := context.WithTimeout(g.ctx, 50*time.Millisecond)
	defer cancel()
	if err := early.Barrier(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("barrier before it was added: %v", err)
	}
	g.must(g.nodes[1].AddLearner(g.ctx, 2))
	g.must(early.Barrier(g.ctx))
	g.must(early.Promote(g.ctx, 2))
	g.stop(1)
	g.stop(2)
	alone := g.start(2, Config{})
	if index, _ := alone.Head(); index != 1 {
		t.Errorf("it has %d records", index)
	}
	short, cancel = context.WithTimeout(g.ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := alone.Append(short, nil); err == nil {
		t.Error("it appends")
	}
	if m, err := alone.Members(short); err == nil {
		t.Errorf("members without a majority: %+v", m)
	}
	g.start(1, Config{})
	g.must(alone.Barrier(g.ctx))
	g.agree()
}
