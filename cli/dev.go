package cli

import (
	"fmt"
	"os"
	"path/filepath"

	cli "github.com/urfave/cli/v2"
)

func (p *program) devCommand() *cli.Command {
	return &cli.Command{
		Name: "dev", Category: sectionCluster, Usage: "run a cluster of one with agents, all in this process",
		Description: "For trying things out. Jobs run on this machine, each agent's below a directory of its own.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "agents", Value: 1, Usage: "start `N` agents, agent-1 to agent-N"},
			&cli.StringSliceFlag{Name: "host", Usage: "start agents with these `NAME,...` instead"},
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_DEV_DATA_DIR"}, Usage: "`DIR` of everything; one that exists is used again"},
			&cli.StringFlag{Name: "http", Value: "127.0.0.1:0", Usage: "`ADDRESS` for operators (HTTPS, with certificates)"},
		},
		Action: p.dev,
	}
}

// devAgentsMax is more than one process is sensibly asked to hold.
const devAgentsMax = 10000

func (p *program) dev(c *cli.Context) error {
	names := list(c, "host")
	if len(names) == 0 {
		n := c.Int("agents")
		if n < 0 || n > devAgentsMax {
			return usage(commandLine(c)+" --help", "--agents %d: want 0 to %d", n, devAgentsMax)
		}
		for i := range n {
			names = append(names, fmt.Sprintf("agent-%d", i+1))
		}
	}
	dir, err := p.dataDir(c, "dev")
	if err != nil {
		return err
	}
	e, err := p.openEmbedded(c.Context, dir, c.String("http"))
	if err != nil {
		return err
	}
	defer e.stop()
	hosts := map[string]bool{}
	for _, n := range names {
		hosts[n] = true
	}
	if err := e.populate(c.Context, p, hosts, false); err != nil {
		return err
	}
	p.con.note("%s and a controller are connected; data is in %s", count(len(names), "agent"), dir)
	p.con.note("operators: https://%s with --identity %s", e.node.api, filepath.Join(dir, operatorFile))
	p.con.note("in another terminal:")
	if _, err := fmt.Fprintf(p.con.out, "export QUORATE_SERVER=%s\n", e.node.address()); err != nil {
		return err
	}
	select {
	case <-c.Context.Done():
		return nil
	case <-e.broken:
		return e.node.wait()
	}
}

// executable is the path of this very program.
func executable() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("path of this program: %w", err)
	}
	return path, nil
}
