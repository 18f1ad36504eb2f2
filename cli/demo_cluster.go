package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quorate/engine/api"
	"quorate/planner"
)

// The deployment of the demo's second act: a chain of tasks on every host, each
// job of which writes a line to the file of effects.
const (
	outageServers = 3
	outageTasks   = 8
	outageJobs    = 2
	outagePause   = "0.2" // seconds that a job takes
	outageDir     = "cluster"
)

// An outage is the demo's second act.
type outage struct {
	*demonstration
	dir     string
	hosts   []string
	raft    []string // addresses, by server
	effects string
	run     uint64
	killed  uint64 // the replica
	server  int    // its process
	at      time.Time
}

func (o *outage) serverDir(i int) string { return filepath.Join(o.dir, serverOf(i)) }

func serverOf(i int) string { return fmt.Sprintf("server-%d", i+1) }

// outage starts three orchestrators, kills the one that leads in the middle of a
// run, proves that nothing was lost, repeated or held up for long, and looks into it.
func (d *demonstration) outage(ctx context.Context, hosts []string) error {
	o := &outage{demonstration: d, dir: filepath.Join(d.dir, outageDir), hosts: hosts}
	o.effects = filepath.Join(o.dir, "effects")
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	d.step(6, "start three orchestrators on one replicated log, and %s", count(len(hosts), "agent"))
	if err := o.start(ctx); err != nil {
		return err
	}
	defer d.client.Close()
	if err := o.status(ctx); err != nil {
		return err
	}
	total := len(hosts) * outageTasks * outageJobs
	d.step(7, "quorate apply: %s, each writes a line; a third on, the leader is killed", count(total, "job"))
	made, err := o.compile()
	if err != nil {
		return err
	}
	if err := o.deploy(ctx, made, total); err != nil {
		return err
	}
	if err := o.status(ctx); err != nil {
		return err
	}
	d.step(8, "prove that every job took effect once")
	found, err := o.read(ctx)
	if err != nil {
		return err
	}
	d.fleet.stop()
	if err := o.prove(found, total); err != nil {
		return err
	}
	return o.postMortem(ctx)
}

// start starts the orchestrators, the second and third of which join the first.
func (o *outage) start(ctx context.Context) error {
	o.fleet.logs = o.dir
	var gateways, sockets []string
	for i := range outageServers {
		agents, err := freeAddress()
		if err != nil {
			return err
		}
		raft, err := freeStreamAddress()
		if err != nil {
			return err
		}
		args := []string{"server", "--data-dir", o.serverDir(i), "--listen", agents, "--raft", raft}
		var env []string
		if i == 0 {
			args = append(args, "--bootstrap")
		} else {
			token, err := o.client.CreateToken(ctx, api.TokenCreate{Role: roleOrchestrator, TTLSeconds: 600})
			if err != nil {
				return err
			}
			env = append(env, "QUORATE_TOKEN="+token.Token)
			args = append(args, "--join", o.raft[0])
		}
		if err := o.fleet.start(ctx, serverOf(i), env, args...); err != nil {
			return err
		}
		o.raft = append(o.raft, raft)
		gateways, sockets = append(gateways, agents), append(sockets, "unix://"+filepath.Join(o.serverDir(i), socketName))
		if i > 0 {
			continue
		}
		_ = o.client.Close()
		if o.client, err = api.Dial(sockets[0]); err != nil {
			return err
		}
		if err := o.ready(ctx); err != nil {
			return err
		}
	}
	err := until(ctx, readyMax, "the orchestrators did not join", func() (bool, error) {
		now, err := o.client.Cluster(ctx)
		return err == nil && now.Voters == outageServers && now.Leader != 0, nil
	})
	if err != nil {
		return err
	}
	_ = o.client.Close()
	if o.client, err = api.Dial(strings.Join(sockets, ",")); err != nil {
		return err
	}
	return o.startAgents(ctx, o.hosts, filepath.Join(o.dir, "agents"), strings.Join(gateways, ","))
}

func (o *outage) status(ctx context.Context) error {
	now, err := o.client.Cluster(ctx)
	if err != nil {
		return err
	}
	return o.printCluster(now)
}

// compile writes the deployment's files and compiles them.
func (o *outage) compile() (*compilation, error) {
	var services strings.Builder
	services.WriteString("id: chain\nversion: \"1.0\"\ntype: service\ntasks:\n")
	for task := range outageTasks {
		fmt.Fprintf(&services, "  - id: t%d\n    driver: directord\n    provides: [chain.t%d]\n", task, task)
		if task > 0 {
			fmt.Fprintf(&services, "    requires: [chain.t%d]\n", task-1)
		}
		services.WriteString("    jobs:\n")
		for job := range outageJobs {
			fmt.Fprintf(&services, "      - RUN: echo \"$(date +%%s%%N) $QUORATE_TASK $QUORATE_HOST %d\" >> %s; sleep %s\n", job, o.effects, outagePause)
		}
	}
	inventory := "hosts:\n"
	for _, h := range o.hosts {
		inventory += fmt.Sprintf("  %s: {role: node}\n", h)
	}
	src := planner.Sources{
		Services: filepath.Join(o.dir, "services"), Inventory: filepath.Join(o.dir, "inventory.yaml"), Roles: filepath.Join(o.dir, "roles.yaml"),
	}
	if err := os.MkdirAll(src.Services, 0o700); err != nil {
		return nil, err
	}
	for path, text := range map[string]string{
		filepath.Join(src.Services, "chain.yaml"): services.String(), src.Inventory: inventory, src.Roles: "node:\n  services: [chain]\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	made := compile(src, o.opt)
	o.printDiagnostics(made.diagnostics)
	if made.plan == nil {
		return nil, made.refusal()
	}
	return made, nil
}

// deploy runs the plan and kills the leader on the way.
func (o *outage) deploy(ctx context.Context, made *compilation, total int) error {
	run, err := submit(ctx, o.client, made, api.RunSubmit{PlanID: made.plan.ID(), RequestID: requestID()})
	if err != nil {
		return err
	}
	o.run = run.ID
	killing, stop := context.WithCancel(ctx)
	killed := make(chan error, 1)
	go func() { killed <- o.killLeader(killing, total/3) }()
	err = o.follow(ctx, following{client: o.client, run: run.ID})
	stop()
	if e := <-killed; err == nil && e != nil {
		err = fmt.Errorf("the leader was not killed in time: %w", e)
	}
	if err == nil {
		return nil
	}
	o.abandon(context.WithoutCancel(ctx), run.ID)
	if ctx.Err() != nil {
		return interrupted(errors.New("the run is cancelled and everything removed"))
	}
	return withoutHints(err)
}

// killLeader kills the orchestrator that leads when so many jobs have had their
// effect.
func (o *outage) killLeader(ctx context.Context, after int) error {
	err := until(ctx, readyMax, "the run did not get far enough", func() (bool, error) {
		text, err := os.ReadFile(o.effects)
		return err == nil && strings.Count(string(text), "\n") >= after, nil
	})
	if err != nil {
		return err
	}
	now, err := o.client.Cluster(ctx)
	if err != nil {
		return err
	}
	for i := range now.Members {
		for server, address := range o.raft {
			if m := &now.Members[i]; m.Leader && m.RaftAddress == address {
				o.killed, o.server, o.at = m.Replica, server, time.Now()
				if err := o.fleet.kill(serverOf(server)); err != nil {
					return err
				}
				if o.con.outTerminal {
					fmt.Fprint(o.con.out, "\r\x1b[K") // the progress is on it
				}
				fmt.Fprintln(o.con.out, o.con.paint(o.con.out, red, fmt.Sprintf("*** orchestrator %d, which leads, is killed", m.Replica)))
				return nil
			}
		}
	}
	return errors.New("nobody leads")
}
