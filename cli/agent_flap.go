package cli

import (
	"context"
	"fmt"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine"
	"quorate/engine/api"
)

func (p *program) agentPolicyCommand() *cli.Command {
	return &cli.Command{
		Name: "policy", Usage: "show or set how agents are dealt with whose connection comes and goes", Action: p.agentPolicy,
		Description: "Each reconnection counts against an agent, half of it is forgotten in each half-life, and\n" +
			"from the threshold on the agent flaps, until it is below half of that.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "flapping", Usage: "`WORK` they are given: hold (none while the run gets on with others), last (what room others leave; the default) or normal"},
			&cli.DurationFlag{Name: "half-life", Usage: "`TIME` until half is forgotten, such as 5m"},
			&cli.UintFlag{Name: "threshold", Usage: "`N` reconnections at once make an agent one that flaps"},
		},
	}
}

func (p *program) agentCalmCommand() *cli.Command {
	return &cli.Command{
		Name: "calm", Usage: "forgive an agent its reconnections", ArgsUsage: "AGENT", Action: p.agentCalm,
		Flags: []cli.Flag{&cli.StringFlag{Name: "reason", Usage: "`TEXT` that the log keeps"}},
	}
}

func (p *program) agentPolicy(c *cli.Context) error {
	if c.NArg() > 0 {
		return usage(commandLine(c)+" --help", "it is one policy for all agents: %q is one too many", c.Args().First())
	}
	switch {
	case c.IsSet("half-life") && c.Duration("half-life") <= 0:
		return usage(commandLine(c)+" --help", "--half-life %s: want more than 0", c.Duration("half-life"))
	case c.IsSet("threshold") && (c.Uint("threshold") < engine.FlapThresholdMin || c.Uint("threshold") > engine.FlapThresholdMax):
		return usage(commandLine(c)+" --help", "--threshold %d: want %d to %d", c.Uint("threshold"), engine.FlapThresholdMin, engine.FlapThresholdMax)
	}
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	in := api.DampingChange{
		RequestID: requestID(), Flapping: c.String("flapping"), HalfLifeSeconds: c.Duration("half-life").Seconds(), Threshold: uint32(c.Uint("threshold")),
	}
	var out *api.Damping
	if c.IsSet("flapping") || c.IsSet("half-life") || c.IsSet("threshold") {
		err = persist(c.Context, func() (err error) {
			out, err = client.SetDamping(c.Context, in)
			return err
		})
	} else {
		out, err = client.Damping(c.Context)
	}
	if err != nil {
		return err
	}
	return p.emit(out, func() error {
		g := &grid{header: []any{"FIELD", "VALUE"}}
		g.add("flapping", out.Flapping)
		g.add("half-life", seconds(out.HalfLifeSeconds))
		g.add("threshold", out.Threshold)
		g.add("connections on record", fmt.Sprintf("at most %d an hour of one agent", out.ConnectionsPerHour))
		if out.Seq != 0 {
			g.add("set", fmt.Sprintf("by %s at %d", out.By, out.Seq))
		}
		return p.printGrid(g)
	})
}

func (p *program) agentCalm(c *cli.Context) error {
	in := api.AgentChange{RequestID: requestID(), Reason: c.String("reason")}
	return p.changeAgent(c, func(ctx context.Context, client *api.Client, name string) (*api.Agent, error) {
		return client.Calm(ctx, name, in)
	})
}

// agentStatus is a status with what does not exclude it.
func agentStatus(a *api.Agent) string {
	status := a.Status
	if a.Flapping {
		status += ", FLAPPING"
	}
	if a.Behind {
		status += ", BEHIND"
	}
	switch {
	case a.Drain == nil:
	case a.Drain.Done:
		status += ", drained"
	default:
		status += ", draining"
	}
	return status
}

// steadiness adds what is worth telling of an agent's connection.
func (g *grid) steadiness(s *api.Steadiness) {
	if s == nil || s.Connections == 0 {
		return
	}
	g.add("connections", fmt.Sprintf("%d, %d of them count as flaps", s.Connections, s.Flaps))
	g.add("penalty", fmt.Sprintf("%.1f (flaps from %d)", s.Penalty, s.Threshold))
	if s.Since != nil {
		g.add("flaps since", stamp(*s.Since))
		g.add("calm", "in "+seconds(s.CalmInSeconds)+", unless it connects again")
		g.add("given", map[string]string{
			"hold": "no steps while its run gets on with others (hold)",
			"last": "the room that others leave (last)",
		}[s.Given])
		if s.Given == "normal" {
			g.rows[len(g.rows)-1][1] = "steps like any other (normal)"
		}
	}
	if s.ConnectInSeconds > 0 {
		g.add("let in", "in "+seconds(s.ConnectInSeconds)+", if it went now")
	}
}

// comings is what an agent's connection did, oldest first.
func comings(s *api.Steadiness) *grid {
	g := &grid{header: []any{"TIME", "CHANGE", "ORCHESTRATOR", "OFF RECORD", "FLAP", "DETAIL"}}
	for _, c := range s.Changes {
		away, flap, text := "-", "-", c.Reason
		if c.Change == "connected" {
			text = c.Address
		}
		if c.AwaySeconds > 0 {
			away = seconds(c.AwaySeconds)
		}
		if c.Counts {
			flap = "yes"
		}
		g.add(stamp(c.Time), c.Change, c.Gateway, away, flap, orDash(text))
	}
	return g
}

// seconds is a time for people.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d >= time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}
