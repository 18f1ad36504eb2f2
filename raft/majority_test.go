package raft

import (
	"fmt"
	"testing"
	"time"
)

// While two of three are dead nothing is acknowledged and nothing that a majority
// would have to confirm is answered; what waits goes on when one is back.
func TestNothingIsAcknowledgedWithoutAMajority(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testDeadline)
	f.found(3)
	leader := f.leader(1, 2, 3)
	alone, other := leader%3+1, (leader+1)%3+1
	f.kill(leader)
	f.kill(other)
	for _, method := range []string{"Append", "Head"} {
		if a, err := f.call(alone, method, Call{Texts: []string{"alone"}, Within: 300 * time.Millisecond}); err == nil {
			t.Errorf("%s without a majority: %+v", method, a)
		}
	}
	waiting := make(chan error, 2)
	go func() {
		_, err := f.call(alone, "Append", Call{Texts: []string{"patient"}})
		waiting <- err
	}()
	go func() {
		_, err := f.call(alone, "Head", Call{})
		waiting <- err
	}()
	f.start(other, false, false)
	for range 2 {
		if err := <-waiting; err != nil {
			t.Errorf("with a majority again: %v", err)
		}
	}
	f.start(leader, false, false)
	count := map[string]int{}
	for _, text := range f.agree(1, 2, 3) {
		count[text]++
	}
	if count["patient"] != 1 || count["alone"] > 1 {
		t.Errorf("the log holds %v", count)
	}
}

// A dead member is replaced by a new one with an empty directory, which has
// everything; the cluster then survives the death of another.
func TestDeadMemberIsReplaced(t *testing.T) {
	t.Parallel()
	f := newFleet(t, testDeadline)
	f.found(3)
	for i := range 20 {
		f.must(uint64(1+i%3), "Append", Call{Texts: []string{fmt.Sprint(i)}})
	}
	dead := f.leader(1, 2, 3)
	f.kill(dead)
	through := dead%3 + 1
	f.must(through, "Change", Call{Texts: []string{"remove"}, Replica: dead})
	f.join(through, 4)
	f.kill(through)
	left := []uint64{(dead+1)%3 + 1, 4}
	f.must(4, "Append", Call{Texts: []string{"after"}})
	if log := f.agree(left...); len(log) != 22 {
		t.Errorf("%d records of 22", len(log))
	}
}
