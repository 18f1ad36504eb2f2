package raft

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// An operation of a client, as the history records it. Times are in nanoseconds
// since the history began.
type operation struct {
	client      int
	texts       []string // of an append; nil for a read
	first, size uint64   // where the append is; how long the log was read to be
	begin, end  int64
	unknown     bool // it had no answer
}

// logModel is an append-only log: its state is its length. An append gets the
// index behind it, a read its length. Which record is where is checked apart.
func logModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return uint64(0) },
		Step: func(state, input, output any) (bool, any) {
			at := state.(uint64)
			if n := input.(int); n > 0 {
				return output.(uint64) == at+1, at + uint64(n)
			}
			return output.(uint64) == at, at
		},
	}
}

// A chaos is clients that append and read through any replica while replicas are
// killed, paused and started again.
type chaos struct {
	*fleet
	t       *testing.T
	ids     []uint64
	random  *rand.Rand
	began   time.Time
	mu      sync.Mutex
	history []operation
}

func (c *chaos) now() int64 { return time.Since(c.began).Nanoseconds() }

// client works until stop, each step through a replica chosen by chance.
func (c *chaos) client(id int, stop <-chan struct{}) {
	random := rand.New(rand.NewPCG(uint64(id), 7))
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		op := operation{client: id, begin: c.now()}
		replica := c.ids[random.IntN(len(c.ids))]
		var err error
		var a Answer
		if random.IntN(4) == 0 {
			a, err = c.call(replica, "Head", Call{Within: 2 * time.Second})
			op.size = a.Index
		} else {
			for k := range 1 + random.IntN(3) {
				op.texts = append(op.texts, fmt.Sprintf("%d/%d/%d", id, i, k))
			}
			a, err = c.call(replica, "Append", Call{Texts: op.texts, Within: 2 * time.Second})
			op.first = a.Index
		}
		op.end, op.unknown = c.now(), err != nil
		if err != nil && op.texts == nil {
			continue // a read without an answer has no effect
		}
		c.mu.Lock()
		c.history = append(c.history, op)
		c.mu.Unlock()
	}
}

// disturb does one thing to one replica, and undoes it.
func (c *chaos) disturb() {
	victim := c.ids[c.random.IntN(len(c.ids))]
	if c.random.IntN(2) == 0 { // the leader more often than by chance
		if a, err := c.call(victim, "Leader", Call{Within: time.Second}); err == nil && a.Leader != 0 {
			victim = a.Leader
		}
	}
	length := time.Duration(50+c.random.IntN(600)) * time.Millisecond
	if c.random.IntN(3) == 0 {
		c.signal(victim, syscall.SIGSTOP)
		c.pause(length)
		c.signal(victim, syscall.SIGCONT)
	} else {
		c.kill(victim)
		c.pause(length)
		c.start(victim, false, false)
	}
	c.pause(time.Duration(c.random.IntN(400)) * time.Millisecond)
}

func runChaos(t *testing.T, size uint64, clients int, length time.Duration) {
	seed := seedOf(t)
	c := &chaos{fleet: newFleet(t, length+2*time.Minute), t: t, random: rand.New(rand.NewPCG(seed, 1))}
	c.found(size)
	for id := range size {
		c.ids = append(c.ids, id+1)
	}
	c.began = time.Now()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for id := range clients {
		wg.Go(func() { c.client(id, stop) })
	}
	for time.Since(c.began) < length {
		c.disturb()
	}
	close(stop)
	wg.Wait()
	c.check(c.agree(c.ids...))
}

// check compares the history with the log: every acknowledged append is in it
// once, where it was said to be, and the history is linearizable.
func (c *chaos) check(log []string) {
	c.t.Helper()
	at := map[string]uint64{}
	for i, text := range log {
		if before, twice := at[text]; twice {
			c.t.Fatalf("%q is at %d and at %d", text, before, i+1)
		}
		at[text] = uint64(i + 1)
	}
	var ops []porcupine.Operation
	last := c.now()
	acknowledged, unknown := 0, 0
	// What was there before the clients.
	ops = append(ops, porcupine.Operation{ClientId: 0, Input: 1, Call: -2, Output: uint64(1), Return: -1})
	for _, op := range c.history {
		p := porcupine.Operation{ClientId: op.client, Input: len(op.texts), Call: op.begin, Output: op.size, Return: op.end}
		if op.texts != nil {
			first, there := at[op.texts[0]]
			for k, text := range op.texts {
				if at[text] != 0 != there || there && at[text] != first+uint64(k) {
					c.t.Fatalf("%q is at %d, and %q at %d", text, at[text], op.texts[0], first)
				}
			}
			switch {
			case op.unknown && !there:
				continue
			case op.unknown:
				unknown++
				p.Return = last
			case first != op.first:
				c.t.Fatalf("%q was acknowledged at %d and is at %d", op.texts[0], op.first, first)
			default:
				acknowledged++
			}
			p.Output = first
		}
		ops = append(ops, p)
	}
	for i := range ops { // a client of the model does one thing at a time
		ops[i].ClientId = i
	}
	c.t.Logf("%d records, %d appends acknowledged, %d without an answer are there", len(log), acknowledged, unknown)
	if acknowledged == 0 {
		c.t.Fatal("nothing was acknowledged")
	}
	if result := porcupine.CheckOperationsTimeout(logModel(), ops, time.Minute); result != porcupine.Ok {
		c.t.Fatalf("the history is not linearizable: %v", result)
	}
}

// seedOf is QUORATE_SEED, or one of chance, and told so that the test can be repeated.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("QUORATE_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("QUORATE_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("QUORATE_SEED=%d go test ./raft -run '^%s$'", seed, t.Name())
	return seed
}

// soak is how long the long version of a test runs; 0 is the quick one.
func soak(t *testing.T) time.Duration {
	text := os.Getenv("QUORATE_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("QUORATE_SOAK: %v", err)
	}
	return d
}

// G1: what was acknowledged is on all replicas, once, where it was said to be,
// whoever is killed or paused.
func TestNothingAcknowledgedIsLostWhileReplicasAreKilled(t *testing.T) {
	t.Parallel()
	runChaos(t, 3, 4, max(soak(t), 3*time.Second))
}

func TestFiveReplicasLoseNothingEither(t *testing.T) {
	if soak(t) == 0 {
		t.Skip("QUORATE_SOAK=5m go test ./raft runs it for five minutes")
	}
	runChaos(t, 5, 4, soak(t))
}
