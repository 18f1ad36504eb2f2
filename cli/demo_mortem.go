package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quorate/engine"
	"quorate/engine/replay"
)

// incidentFile is the bundle that the demo's last act is made of.
const incidentFile = "incident.tar"

// postMortem looks into the run that was disturbed: by a bundle of it from the files of
// an orchestrator that survived, which is checked first. Nothing runs any more.
func (o *outage) postMortem(ctx context.Context) error {
	survivor := serverOf((o.server + 1) % outageServers)
	run := fmt.Sprint(o.run)
	o.step(9, "the post-mortem: a bundle of the run from a survivor's log, proven")
	var report strings.Builder // verify says the same
	if err := o.quorate(ctx, &report, "audit", "export", incidentFile, "--run", run, "--data-dir", survivor); err != nil {
		return err
	}
	if err := o.quorate(ctx, o.con.out, "audit", "verify", incidentFile, "--ca", filepath.Join(survivor, "pki", "ca.crt")); err != nil {
		return err
	}
	o.step(10, "the moment of the kill, and what became of each attempt")
	step, err := o.atTheKill(ctx)
	if err != nil {
		return err
	}
	if err := o.quorate(ctx, o.con.out, "explain", step, "--run", run, "--bundle", incidentFile); err != nil {
		return err
	}
	o.step(11, "the run, step by step")
	if err := o.quorate(ctx, o.con.out, "run", "timeline", run, "--bundle", incidentFile, "--by", "host"); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.con.out, "\nwalk through it, where --keep left it: quorate replay --bundle %s --step\n", incidentFile)
	return err
}

// quorate runs a command as a reader would type it in the directory of the cluster.
func (o *outage) quorate(ctx context.Context, out io.Writer, args ...string) error {
	fmt.Fprintln(o.con.out, o.con.paint(o.con.out, dim, "$ quorate "+strings.Join(args, " ")))
	cmd := exec.CommandContext(ctx, o.fleet.program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = o.dir, out, o.con.err
	// What the reader has set is about a cluster of their own.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "QUORATE_") })
	err := cmd.Run()
	if ctx.Err() != nil {
		return interrupted(errors.New("everything is removed"))
	}
	if err != nil {
		return fmt.Errorf("quorate %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// atTheKill prints the attempts that were under way when the leader was killed, with what
// became of them, and returns the step of one that was in the hands of the killed one.
func (o *outage) atTheKill(ctx context.Context) (step string, err error) {
	file, err := replay.OpenBundle(filepath.Join(o.dir, incidentFile))
	if err != nil {
		return "", err
	}
	defer file.Close()
	past, err := replay.New(ctx, file)
	if err != nil {
		return "", err
	}
	index, err := past.IndexAt(ctx, o.at.UnixNano())
	if err != nil {
		return "", err
	}
	then, err := past.StateAt(ctx, index)
	if err != nil {
		return "", err
	}
	end, err := past.StateAt(ctx, past.Last())
	if err != nil {
		return "", err
	}
	fmt.Fprintf(o.con.out, "orchestrator %d is killed at %s, behind record %d. Under way:\n", o.killed, o.at.UTC().Format("15:04:05.000"), index)
	g := &grid{header: []any{"STEP", "JOBS", "GATEWAY", "AFTER", "ENDED", "OUTCOME"}}
	ahead := 0
	for _, id := range slices.Sorted(maps.Keys(then.Attempts)) {
		a := then.Attempts[id]
		switch {
		case a.Run != o.run || a.Outcome != 0:
			continue
		case !a.Began && len(a.After) > 0:
			ahead++
			continue
		}
		name, before := toldOf(then, a).Step, gatewayOf(then, a)
		if step == "" || before == o.killed {
			step = name
		}
		after := end.Attempts[id]
		ended := time.Duration(after.EndedAt - o.at.UnixNano())
		g.add(name, fmt.Sprintf("%d of %d", a.Jobs.Len(), outageJobs), dash(before), dash(gatewayOf(end, after)), "+"+elapsed(ended), after.Outcome)
	}
	if step == "" {
		fmt.Fprintln(o.con.out, "all that was begun had ended")
		return "chain-t0@" + o.hosts[0], nil
	}
	if err := o.printGrid(g); err != nil {
		return "", err
	}
	if ahead > 0 {
		fmt.Fprintf(o.con.out, "and %s that wait behind them\n", count(ahead, "attempt"))
	}
	return step, nil
}

// gatewayOf is the orchestrator that the attempt's agent is connected to, or 0.
func gatewayOf(s *engine.State, a *engine.Attempt) uint64 {
	if agent := s.Agent(a.Agent); agent != nil && agent.Connected {
		return agent.Gateway
	}
	return 0
}
