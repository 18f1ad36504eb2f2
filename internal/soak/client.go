package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"quorate/engine/api"
	"quorate/internal/soak/lab"
)

// Bounds of what a client does: answerTimeout for one request, retryPause
// before it is repeated, thinkMax between two, and openMax the runs that may be
// under way.
const (
	answerTimeout = 5 * time.Second
	retryPause    = 100 * time.Millisecond
	thinkMax      = 300 * time.Millisecond
	openMax       = 6
)

// Acknowledged are the commands that the cluster has answered, by request id: the
// run of each that it started, cancelled or resolved.
type Acknowledged struct {
	mu       sync.Mutex
	Runs     map[string]uint64
	Cancels  map[string]uint64
	Resolves map[string]uint64
}

// NewAcknowledged returns an empty list.
func NewAcknowledged() *Acknowledged {
	return &Acknowledged{Runs: map[string]uint64{}, Cancels: map[string]uint64{}, Resolves: map[string]uint64{}}
}

func (a *Acknowledged) note(list map[string]uint64, request string, run uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list[request] = run
}

// Len returns how many there are.
func (a *Acknowledged) Len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.Runs) + len(a.Cancels) + len(a.Resolves)
}

// A client is an operator's machine that starts, reads and cancels runs.
type client struct {
	number      int
	host        *lab.Host
	apis        []*api.Client // of one orchestrator each
	any         *api.Client   // of all of them
	stale       atomic.Bool   // an answer since it was set to false
	rand        *rand.Rand
	history     *History
	acked       *Acknowledged
	deployments []*Deployment
	counts      *counts
	clocks      bool // orchestrators' clocks may be wrong
}

// newClient makes a client on a host of its own.
func (s *soak) newClient(number int) (*client, error) {
	host, err := s.lab.Client("c" + strconv.Itoa(number))
	if err != nil {
		return nil, err
	}
	c := &client{
		number: number, host: host, rand: rand.New(rand.NewPCG(s.cfg.Seed, uint64(1000+number))),
		history: s.history, acked: s.acked, deployments: s.deployments, counts: &s.counts, clocks: s.cfg.Clocks,
	}
	notice := api.WithNotice(func(n api.Notice) {
		if n.Stale {
			c.stale.Store(true)
		}
	})
	servers := s.lab.Servers()
	for i := range servers {
		one, err := s.lab.Dial(host, servers[i:i+1], notice)
		if err != nil {
			return nil, err
		}
		c.apis = append(c.apis, one)
	}
	c.any, err = s.lab.Dial(host, servers, notice)
	return c, err
}

// work goes on until stop is closed; what was begun then is brought to its end,
// as long as ctx lasts.
func (c *client) work(ctx context.Context, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(c.rand.Int64N(int64(thinkMax)))):
		}
		var err error
		if c.rand.IntN(2) == 0 {
			c.read(ctx)
		} else {
			err = c.submit(ctx, stop)
		}
		if err != nil {
			return fmt.Errorf("client %d: %w", c.number, err)
		}
	}
}

// pick is one orchestrator's API, or that of all.
func (c *client) pick() *api.Client {
	if i := c.rand.IntN(len(c.apis) + 1); i < len(c.apis) {
		return c.apis[i]
	}
	return c.any
}

// read asks for the newest run. An answer that says of itself that it may be old
// promises nothing.
func (c *client) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	c.stale.Store(false)
	end := c.history.Call(c.number, false)
	runs, err := c.pick().Runs(ctx, 1)
	switch {
	case err != nil:
		c.counts.unanswered.Add(1)
	case c.stale.Load():
		c.counts.stale.Add(1)
	case len(runs) == 0:
		end(0)
	default:
		end(runs[0].ID)
	}
}

// submit starts a run and repeats the request until it is answered.
func (c *client) submit(ctx context.Context, stop <-chan struct{}) error {
	if c.counts.open.Load() >= openMax {
		return nil
	}
	d := c.deployments[c.rand.IntN(len(c.deployments))]
	in := api.RunSubmit{PlanID: d.PlanID, RequestID: c.requestID(), IgnoreCache: true}
	end := c.history.Call(c.number, true)
	var run *api.Run
	err := c.persist(ctx, func(ctx context.Context, to *api.Client) (err error) {
		run, err = to.CreateRun(ctx, in)
		return err
	})
	if err != nil {
		return fmt.Errorf("start of %s: %w", d.Name, err)
	}
	end(run.ID)
	c.acked.note(c.acked.Runs, in.RequestID, run.ID)
	c.counts.runs.Add(1)
	c.counts.open.Add(1)
	if d.Cancels {
		return c.cancel(ctx, stop, run.ID)
	}
	return nil
}

// cancel cancels a run after a while.
func (c *client) cancel(ctx context.Context, stop <-chan struct{}, run uint64) error {
	select {
	case <-stop:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(c.rand.Int64N(int64(3 * time.Second)))):
	}
	in := api.Cancel{RequestID: c.requestID(), Reason: "the soak wants it so"}
	done := false
	err := c.persist(ctx, func(ctx context.Context, to *api.Client) error {
		_, err := to.CancelRun(ctx, strconv.FormatUint(run, 10), in)
		var refused *api.Error
		if errors.As(err, &refused) && refused.Code == "conflict" {
			done = true // it ended before
			return nil
		}
		return err
	})
	if err == nil && !done {
		c.acked.note(c.acked.Cancels, in.RequestID, run)
		c.counts.cancels.Add(1)
	}
	return err
}

// persist repeats a command through any orchestrator until one answers. An answer
// that refuses the command for good ends the soak.
func (c *client) persist(ctx context.Context, command func(context.Context, *api.Client) error) error {
	for {
		trying, cancel := context.WithTimeout(ctx, answerTimeout)
		err := command(trying, c.pick())
		cancel()
		var refused *api.Error
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errors.Join(ctx.Err(), err)
		case errors.As(err, &refused) && !c.passing(refused.Code):
			return err
		}
		c.counts.ambiguous.Add(1)
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// passing reports whether a refusal is of the moment. By a clock that is years
// wrong nobody's certificate is valid.
func (c *client) passing(code string) bool {
	return code == "unavailable" || code == "internal" || code == "unauthorized" && c.clocks
}

func (c *client) requestID() string {
	return fmt.Sprintf("soak-%d-%016x", c.number, c.rand.Uint64())
}
