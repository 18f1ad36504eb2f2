package raft

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quorate/eventlog"
	"quorate/eventlog/logtest"
)

// cluster stands for the replicated state machine: a machine that gets commands
// in some order, some of them more than once.
type cluster struct {
	mu      sync.Mutex
	window  *window
	head    eventlog.Head
	records []eventlog.Record
	index   uint64
	tries   int
	flying  int
	most    int
}

func (c *cluster) apply(cmd []byte) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index++
	m := machine{window: c.window}
	r := m.apply(&c.head, &c.records, c.index, cmd)
	return r.Value
}

func withAggregator(t *testing.T, try try, test func(a *aggregator)) {
	a := newAggregator(7, try, func() eventlog.Head { return eventlog.Head{} })
	var running sync.WaitGroup
	running.Go(a.run)
	test(a)
	close(a.stop)
	running.Wait()
}

func TestProposalsWithoutAnAnswerTakeEffectOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{window: newWindow()}
		withAggregator(t, func(cmd []byte) (uint64, then, error) {
			c.mu.Lock()
			c.tries++
			n := c.tries
			c.flying++
			c.most = max(c.most, c.flying)
			c.mu.Unlock()
			time.Sleep(time.Duration(n%7) * time.Millisecond)
			defer func() {
				c.mu.Lock()
				c.flying--
				c.mu.Unlock()
			}()
			switch n % 5 {
			case 0: // lost on the way there
				return 0, later, nil
			case 1, 2: // applied, and the answer is lost
				c.apply(cmd)
				return 0, later, nil
			}
			return c.apply(cmd), never, nil
		}, func(a *aggregator) {
			var wg sync.WaitGroup
			for w := range 20 {
				wg.Go(func() {
					for i := range 20 {
						texts := []string{fmt.Sprintf("%d %d a", w, i), fmt.Sprintf("%d %d b", w, i)}
						first, err := a.append(context.Background(), []eventlog.Entry{
							logtest.Entry(t, 1, texts[0]), logtest.Entry(t, 1, texts[1])})
						if err != nil {
							t.Errorf("append: %v", err)
							return
						}
						for k, text := range texts {
							e, err := eventlog.Decode(eventlog.KindTaskRecorded, c.record(first+uint64(k)).Data)
							if err != nil || e.(*eventlog.TaskRecorded).Messages[0] != text {
								t.Errorf("record %d is %v, %v; want %s", first+uint64(k), e, err, text)
							}
						}
					}
				})
			}
			wg.Wait()
		})
		if len(c.records) != 800 {
			t.Errorf("%d records of 800 entries", len(c.records))
		}
		if c.most > proposalsInFlight || c.most < 2 {
			t.Errorf("%d proposals in flight", c.most)
		}
	})
}

func (c *cluster) record(index uint64) eventlog.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.records[index-1]
}

func TestAppendEndsWithItsContextAndFreesItsProposal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{window: newWindow()}
		var down sync.Map
		down.Store("down", true)
		withAggregator(t, func(cmd []byte) (uint64, then, error) {
			time.Sleep(time.Second)
			if _, is := down.Load("down"); is {
				return 0, later, nil
			}
			return c.apply(cmd), never, nil
		}, func(a *aggregator) {
			var wg sync.WaitGroup
			for range 2 * proposalsInFlight {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					defer cancel()
					if _, err := a.append(ctx, []eventlog.Entry{logtest.Entry(t, 1, "x")}); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("append while down: %v", err)
					}
				})
			}
			wg.Wait()
			down.Delete("down")
			if _, err := a.append(context.Background(), []eventlog.Entry{logtest.Entry(t, 1, "y")}); err != nil {
				t.Errorf("append after the outage: %v", err)
			}
		})
	})
}

func TestAppendsEndWhenTheAggregatorStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAggregator(7, func([]byte) (uint64, then, error) {
			time.Sleep(time.Second)
			return 0, later, nil
		}, func() eventlog.Head { return eventlog.Head{} })
		go a.run()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := a.append(context.Background(), []eventlog.Entry{logtest.Entry(t, 1, "x")}); !errors.Is(err, eventlog.ErrClosed) {
					t.Errorf("append: %v", err)
				}
			})
		}
		time.Sleep(10 * time.Second)
		close(a.stop)
		wg.Wait()
	})
}
