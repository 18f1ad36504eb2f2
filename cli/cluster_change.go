package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
)

// An addition is what "cluster add" prints.
type addition struct {
	Schema    string    `json:"schema"`
	Token     string    `json:"token"`
	Join      string    `json:"join"`
	Command   string    `json:"command"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (p *program) clusterAdd(c *cli.Context) error {
	ttl := c.Duration("ttl")
	if ttl < time.Second {
		return usage(commandLine(c)+" --help", "--ttl %s: want at least 1s", ttl)
	}
	return p.onCluster(c, func(ctx context.Context, client *api.Client, now *api.Cluster) error {
		replaces := c.Uint64("replace")
		if replaces != 0 {
			m, err := memberNamed(now, fmt.Sprint(replaces))
			if err != nil {
				return err
			}
			if m.Role == "removed" {
				return fail(exitRefused, fmt.Errorf("orchestrator %d is no member any more: %s", replaces, m.Reason), "leave --replace out")
			}
			if !c.Bool("force-replace") && (m.Self || m.Reachable != nil && *m.Reachable) {
				return fail(exitRefused, fmt.Errorf("orchestrator %d answers: it is not lost", replaces),
					fmt.Sprintf("check the number with \"quorate cluster status\"; if you mean that one, use \"quorate cluster remove %d\", or --force-replace", replaces))
			}
		}
		out := addition{Schema: api.Schema, Join: raftAddresses(now, replaces)}
		if out.Join == "" {
			return fail(exitRefused, fmt.Errorf("this orchestrator is on the embedded log: no other one can join it"),
				"a cluster begins with \"quorate server --log raft --bootstrap --raft ADDRESS\"")
		}
		token, err := client.CreateToken(ctx, api.TokenCreate{Role: roleOrchestrator, TTLSeconds: int64(ttl / time.Second)})
		if err != nil {
			return err
		}
		out.Token, out.ExpiresAt = token.Token, token.ExpiresAt
		out.Command = fmt.Sprintf("quorate server --data-dir DIR --raft :7442 --join %s --token @%s", out.Join, tokenFile)
		if replaces != 0 {
			out.Command += fmt.Sprintf(" --replace %d", replaces)
			if c.Bool("force-replace") {
				out.Command += " --force-replace"
			}
		}
		return p.emit(out, func() error {
			// The token is no argument of a program: every user of the machine sees those.
			if _, err := fmt.Fprintf(p.con.out, "(umask 077; echo %s > %s)\n%s\n", out.Token, tokenFile, out.Command); err != nil {
				return err
			}
			p.con.note("run that on the new machine, with an empty directory as DIR; the token may be used once, until %s", stamp(out.ExpiresAt))
			p.con.note("the first line puts the token into a file, which may go once the orchestrator has joined; QUORATE_TOKEN in the environment will do as well")
			if onlyLocal(out.Join) {
				p.con.warn("%s is for this machine alone: for a new machine to reach this one, start it again with --raft :7442 first", out.Join)
			}
			return nil
		})
	})
}

// tokenFile is where the commands that "cluster add" prints put the token.
const tokenFile = "quorate.token"

// onlyLocal reports whether nobody elsewhere reaches any of the addresses.
func onlyLocal(addresses string) bool {
	for address := range strings.SplitSeq(addresses, ",") {
		if !loopback(address) {
			return false
		}
	}
	return true
}

func (p *program) clusterRemove(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage(commandLine(c)+" --help", "want the NUMBER of an orchestrator")
	}
	return p.onCluster(c, func(ctx context.Context, client *api.Client, now *api.Cluster) error {
		m, err := memberNamed(now, c.Args().First())
		if err != nil {
			return err
		}
		err = p.con.confirm(c.Context, c.Bool("yes"), "orchestrator %d (%s) will be out for ever, and its files of no use", m.Replica, printable(m.Name))
		if err != nil {
			return err
		}
		in := api.MemberRemove{RequestID: requestID(), Replica: m.Replica, Reason: c.String("reason"), Force: c.Bool("force")}
		err = persist(ctx, func() (err error) {
			now, err = client.RemoveMember(ctx, in)
			return err
		})
		if err != nil {
			return err
		}
		return p.emit(now, func() error {
			after := "; " + headline(now)
			if m.Replica == now.Replica { // it knows no more of the cluster that it has left
				after = ": ask another one with --server"
			}
			_, err := fmt.Fprintf(p.con.out, "orchestrator %d is removed%s\n", m.Replica, after)
			return err
		})
	})
}

// transferMax bounds how long another leader is waited for.
const transferMax = 10 * time.Second

func (p *program) clusterTransfer(c *cli.Context) error {
	if c.NArg() > 1 {
		return usage(commandLine(c)+" --help", "want the NUMBER of one orchestrator, or none")
	}
	return p.onCluster(c, func(ctx context.Context, client *api.Client, now *api.Cluster) error {
		to, err := successor(now, c.Args().First())
		if err != nil {
			return err
		}
		if now, err = client.TransferLead(ctx, to); err != nil {
			return err
		}
		err = until(ctx, transferMax, fmt.Sprintf("orchestrator %d does not lead", to), func() (bool, error) {
			if now.Leader == to {
				return true, nil
			}
			now, err = client.Cluster(ctx)
			return false, err
		})
		if err != nil {
			return hinted(err, "see \"quorate cluster status\", and try again")
		}
		return p.emit(now, func() error {
			_, err := fmt.Fprintf(p.con.out, "orchestrator %d leads\n", to)
			return err
		})
	})
}

// successor is the member that is to lead: the one that is named, or else the
// one that is the least behind.
func successor(now *api.Cluster, text string) (uint64, error) {
	if text != "" {
		m, err := memberNamed(now, text)
		if err != nil {
			return 0, err
		}
		return m.Replica, nil
	}
	var best *api.Member
	for i := range now.Members {
		m := &now.Members[i]
		if m.Role != "voter" || m.Leader || m.Reachable != nil && !*m.Reachable {
			continue
		}
		if best == nil || m.Lag != nil && (best.Lag == nil || *m.Lag < *best.Lag) {
			best = m
		}
	}
	if best == nil {
		return 0, fail(exitRefused, fmt.Errorf("there is no other orchestrator that could lead"), "add one: \"quorate cluster add\" prints how")
	}
	return best.Replica, nil
}
