package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

func (p *program) clusterCommand() *cli.Command {
	return &cli.Command{
		Name: "cluster", Category: sectionCluster, Usage: "the orchestrators: who leads, add, remove, back up, recover",
		Description: "Three orchestrators go on while two of them are up, five while three are. Each command may\n" +
			"be given to any of them; --server takes several addresses, separated by commas.",
		Subcommands: []*cli.Command{
			{Name: "status", Usage: "show who leads, and how each orchestrator is", Action: p.clusterStatus},
			{Name: "members", Usage: "list the orchestrators with their addresses, former ones too", Action: p.clusterMembers},
			{Name: "add", Usage: "make a token, and print the command that adds an orchestrator", Action: p.clusterAdd,
				Description: "The token is as good as the cluster's keys, which the new orchestrator is given: only a\n" +
					"local administrator can make one, on the machine of an orchestrator.",
				Flags: []cli.Flag{
					&cli.DurationFlag{Name: "ttl", Value: time.Hour, Usage: "how long the token may be used, a `DURATION`"},
					&cli.Uint64Flag{Name: "replace", Usage: "the `NUMBER` of the orchestrator that leaves for the new one, because it is lost"},
					&cli.BoolFlag{Name: "force-replace", Usage: "replace it also where it answers"},
				}},
			{Name: "remove", Usage: "end an orchestrator's part in the cluster, for ever", ArgsUsage: "NUMBER", Action: p.clusterRemove,
				Flags: []cli.Flag{reasonFlag(), yesFlag(),
					&cli.BoolFlag{Name: "force", Usage: "also where too few of the others seem to be up"}}},
			{Name: "transfer", Usage: "let another orchestrator lead", ArgsUsage: "[NUMBER]", Action: p.clusterTransfer},
			{Name: "backup", Usage: "write all that the cluster can be restored from to a file, or to - for stdout", ArgsUsage: "FILE", Action: p.clusterBackup,
				Description: "The file holds the log, the blobs of all plans, and the cluster's keys: whoever has it can act\n" +
					"as any part of the cluster. It is made with mode 0600, by a local administrator only."},
			{Name: "restore", Usage: "make a cluster of one from a backup; offline", ArgsUsage: "FILE", Action: p.clusterRestore,
				Description: "For when all orchestrators are lost. What was recorded after the backup is lost with them,\n" +
					"and none of them may be started again.",
				Flags: []cli.Flag{dataDirFlag(), yesFlag()}},
			{Name: "recover", Usage: "make a cluster of one from a surviving orchestrator's files; offline", Action: p.clusterRecover,
				Description: "For when a majority is lost for good. What the lost ones had acknowledged and this one had\n" +
					"not received is lost with them, and none of them may be started again.",
				Flags: []cli.Flag{dataDirFlag(), yesFlag()}},
		},
	}
}

func dataDirFlag() cli.Flag {
	return &cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_DATA_DIR"}, Usage: "`DIR` of the orchestrator"}
}

// onCluster runs a command with a client and the cluster as it is.
func (p *program) onCluster(c *cli.Context, do func(ctx context.Context, client *api.Client, now *api.Cluster) error) error {
	client, err := p.dial()
	if err != nil {
		return err
	}
	defer client.Close()
	now, err := client.Cluster(c.Context)
	if err != nil {
		return err
	}
	return do(c.Context, client, now)
}

func (p *program) clusterStatus(c *cli.Context) error {
	return p.onCluster(c, func(_ context.Context, _ *api.Client, now *api.Cluster) error {
		return p.emit(now, func() error { return p.printCluster(now) })
	})
}

// printCluster fits a terminal of 80 columns.
func (p *program) printCluster(now *api.Cluster) error {
	fmt.Fprintf(p.con.out, "cluster %.12s, at %d\n%s\n", now.ClusterID, now.Seq, headline(now))
	g := &grid{header: []any{"NUMBER", "NAME", "STATE", "AT", "LAG", "AGENTS", "ADDRESS"}}
	for i := range now.Members {
		m := &now.Members[i]
		if m.Role == "removed" {
			continue
		}
		g.add(number(m), shortened(m.Name, nameColumns), stateOf(m, now.Stale), optional(m.Seq), optional(m.Lag), m.Agents, shortened(m.RaftAddress, addressColumns))
	}
	if len(g.rows) > 0 {
		fmt.Fprintln(p.con.out)
		if err := p.printGrid(g); err != nil {
			return err
		}
	}
	if l := versionsLine(now); l != "" {
		fmt.Fprintf(p.con.out, "\n%s\n", l)
	}
	if l := sizesLine(now.Log); l != "" {
		fmt.Fprintf(p.con.out, "\n%s\n", l)
	}
	for _, a := range alarmsOf(now) {
		fmt.Fprintf(p.con.out, "%s %s\n", p.con.paint(p.con.out, red, "alarm:"), printable(a))
	}
	return nil
}

// alarmsOf are the alarms of who answers and, with their numbers, of the others.
func alarmsOf(now *api.Cluster) []string {
	alarms := slices.Clone(now.Alarms)
	for i := range now.Members {
		m := &now.Members[i]
		for _, a := range m.Alarms {
			if m.Role != "removed" && !m.Self {
				alarms = append(alarms, fmt.Sprintf("orchestrator %d: %s", m.Replica, a))
			}
		}
	}
	return alarms
}

// versionsLine says who is to be upgraded, where orchestrators read different versions of the log.
func versionsLine(now *api.Cluster) string {
	var newest uint32
	var behind []string
	for i := range now.Members {
		if v := now.Members[i].LogVersion; v != nil {
			newest = max(newest, *v)
		}
	}
	for i := range now.Members {
		if m := &now.Members[i]; m.LogVersion != nil && *m.LogVersion < newest {
			behind = append(behind, strconv.FormatUint(m.Replica, 10))
		}
	}
	switch len(behind) {
	case 0:
		return ""
	case 1:
		return "older than the others, and may stop: orchestrator " + behind[0] + "; upgrade it now"
	}
	return "older than the others, and may stop: orchestrators " + strings.Join(behind, ", ") + "; upgrade them now"
}

// nameColumns and addressColumns bound what is of any length.
const (
	nameColumns    = 14
	addressColumns = 22
)

// headline is the cluster in a few words.
func headline(now *api.Cluster) string {
	up := 0
	for i := range now.Members {
		m := &now.Members[i]
		if m.Role == "voter" && (m.Self || m.Reachable != nil && *m.Reachable) {
			up++
		}
	}
	votes := fmt.Sprintf("%d of %d that vote are up", up, now.Voters)
	switch {
	case now.Stale:
		return "no majority answers, this is what " + fmt.Sprint(now.Replica) + " knows"
	case len(now.Members) == 0:
		return fmt.Sprintf("%d leads, alone, on a log that no other can join", now.Replica)
	case now.Leader == 0:
		return "nobody leads, " + votes
	case now.Voters == 1:
		return fmt.Sprintf("%d leads, alone", now.Leader)
	case up <= now.Majority-1:
		return fmt.Sprintf("%d leads, %s", now.Leader, votes)
	}
	spare := up - now.Majority
	if spare == 0 {
		return fmt.Sprintf("%d leads, %s; it stops when one more fails", now.Leader, votes)
	}
	return fmt.Sprintf("%d leads, %s; %d more may fail", now.Leader, votes, spare)
}

// number marks the one that answers.
func number(m *api.Member) string {
	if m.Self {
		return fmt.Sprintf("%d *", m.Replica)
	}
	return fmt.Sprintf("%d  ", m.Replica)
}

// stateOf is what a member does, in a word.
func stateOf(m *api.Member, stale bool) string {
	switch {
	case !m.Self && m.Reachable != nil && !*m.Reachable:
		return "unreachable"
	case m.Leader && !stale:
		return "leads"
	case m.Role == "voter":
		return "follows"
	case m.Role == "learner":
		return "catches up"
	}
	return m.Role
}

func optional(n *uint64) any {
	if n == nil {
		return "-"
	}
	return *n
}

func (p *program) clusterMembers(c *cli.Context) error {
	return p.onCluster(c, func(_ context.Context, _ *api.Client, now *api.Cluster) error {
		// When each joined, which -o json has, would not fit 80 columns.
		g := &grid{header: []any{"NUMBER", "NAME", "ROLE", "RAFT", "AGENTS", "OPERATORS", "REASON"}}
		for i := range now.Members {
			m := &now.Members[i]
			g.add(m.Replica, m.Name, m.Role, orDash(m.RaftAddress), orDash(m.AgentAddress), orDash(m.APIAddress), m.Reason)
		}
		return emitAll(p, now, now.Members, g)
	})
}

// memberNamed finds the member that a number or a name stands for.
func memberNamed(now *api.Cluster, text string) (*api.Member, error) {
	var found []*api.Member
	for i := range now.Members {
		m := &now.Members[i]
		if strconv.FormatUint(m.Replica, 10) == text {
			return m, nil
		}
		if m.Name == text && m.Role != "removed" {
			found = append(found, m)
		}
	}
	see := "see \"quorate cluster members\""
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fail(exitError, fmt.Errorf("no orchestrator %q", text), see)
	}
	return nil, fail(exitError, fmt.Errorf("%d orchestrators are called %q: say which by its number", len(found), text), see)
}

// raftAddresses are those of the members that another one may join.
func raftAddresses(now *api.Cluster, except uint64) string {
	var out []string
	for i := range now.Members {
		m := &now.Members[i]
		if m.Role != "removed" && m.Replica != except && m.RaftAddress != "" && (m.Reachable == nil || *m.Reachable) {
			out = append(out, m.RaftAddress)
		}
	}
	return strings.Join(out, ",")
}
