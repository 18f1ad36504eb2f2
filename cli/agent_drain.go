package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

// drainPoll is how often an agent is asked for that is waited for.
const drainPoll = 500 * time.Millisecond

func (p *program) agentDrainCommand() *cli.Command {
	return &cli.Command{
		Name: "drain", Usage: "give an agent no new steps, and wait until it has ended what it has", ArgsUsage: "AGENT", Action: p.agentDrain,
		Description: "What it has started goes on to its end; what was only sent to it is called back. Runs\n" +
			"wait for it, and say so, until \"quorate agent undrain\". Nothing is taken back where the\n" +
			"wait ends early: the agent stays drained.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "reason", Usage: "`TEXT` that the log keeps, and runs that wait show"},
			&cli.DurationFlag{Name: "timeout", Usage: "wait no longer than this `TIME`"},
			&cli.BoolFlag{Name: "detach", Usage: "do not wait"},
		},
	}
}

func (p *program) agentUndrainCommand() *cli.Command {
	return &cli.Command{
		Name: "undrain", Usage: "give an agent steps again", ArgsUsage: "AGENT", Action: p.agentUndrain,
		Flags: []cli.Flag{&cli.StringFlag{Name: "reason", Usage: "`TEXT` that the log keeps"}},
	}
}

func (p *program) agentDrain(c *cli.Context) error {
	if err := checkTimeout(c); err != nil {
		return err
	}
	in := api.AgentChange{RequestID: requestID(), Reason: c.String("reason")}
	return p.onAgent(c, func(ctx context.Context, client *api.Client, name string) (agent *api.Agent, err error) {
		err = persist(ctx, func() (err error) {
			agent, err = client.Drain(ctx, name, in)
			return err
		})
		if err != nil || c.Bool("detach") {
			return agent, err
		}
		if timeout := c.Duration("timeout"); timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		agent, err = p.awaitDrained(ctx, client, agent)
		if errors.Is(err, context.DeadlineExceeded) && c.Context.Err() == nil {
			return nil, fail(exitTimeout, fmt.Errorf("agent %s is drained, and has not ended all that it had after %s", name, c.Duration("timeout")),
				fmt.Sprintf("it ends by itself: see \"quorate agent show %s\"", name))
		}
		return agent, err
	})
}

// awaitDrained returns the agent once it has nothing under way.
func (p *program) awaitDrained(ctx context.Context, client *api.Client, agent *api.Agent) (*api.Agent, error) {
	told := -1
	for agent.Open > 0 && agent.Drain != nil {
		if agent.Open != told {
			p.con.note("agent %s is given nothing more; %d under way", agent.Name, agent.Open)
			told = agent.Open
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(drainPoll):
		}
		next, err := client.Agent(ctx, agent.Name)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == nil:
			agent = next
		case !transient(err):
			return nil, err
		}
	}
	return agent, nil
}

func (p *program) agentUndrain(c *cli.Context) error {
	in := api.AgentChange{RequestID: requestID(), Reason: c.String("reason")}
	return p.changeAgent(c, func(ctx context.Context, client *api.Client, name string) (*api.Agent, error) {
		return client.Undrain(ctx, name, in)
	})
}
