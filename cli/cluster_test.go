package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"quorate/engine/api"
)

// A trio is several orchestrators on one replicated log, as processes.
type trio struct {
	*cluster
	// By the number of the process, from 1; a replica's number may differ.
	agents, raft, api map[int]string
	servers           []int
}

func serverName(i int) string { return "server-" + strconv.Itoa(i) }

func (c *trio) dirOf(i int) string { return filepath.Join(c.dir, serverName(i)) }

func (c *trio) socket(i int) string { return "unix://" + filepath.Join(c.dirOf(i), socketName) }

// newTrio starts three orchestrators, as an operator does, and an agent per host.
func newTrio(t *testing.T, hosts ...string) *trio {
	t.Helper()
	return newServers(t, 3, hosts...)
}

// newServers starts so many.
func newServers(t *testing.T, n int, hosts ...string) *trio {
	t.Helper()
	dir, err := os.MkdirTemp("", "quorate-test-") // short: it holds unix sockets
	if err != nil {
		t.Fatal(err)
	}
	c := &trio{cluster: &cluster{t: t, dir: dir, processes: map[string]*process{}}, agents: map[int]string{}, raft: map[int]string{}, api: map[int]string{}}
	t.Cleanup(func() { c.close() })
	c.serve(1, nil, "--bootstrap")
	c.dialAll()
	if err := (&embedded{client: c.client}).ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := 2; i <= n; i++ {
		c.add(i)
	}
	c.dialAll()
	c.voters(n)
	for _, host := range hosts {
		token, err := c.client.CreateToken(t.Context(), api.TokenCreate{Name: host, Role: roleAgent, TTLSeconds: 600})
		if err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(dir, host)
		if err := os.MkdirAll(filepath.Join(data, "root"), 0o700); err != nil {
			t.Fatal(err)
		}
		c.start(host, []string{"QUORATE_TOKEN=" + token.Token}, "agent", "--server", c.gateways(), "--data-dir", data, "--work-dir", filepath.Join(data, "root"))
	}
	c.connected(hosts...)
	return c
}

// serve starts an orchestrator on addresses of its own.
func (c *trio) serve(i int, env []string, more ...string) {
	c.t.Helper()
	var err error
	if c.agents[i], err = freeAddress(); err != nil {
		c.t.Fatal(err)
	}
	if c.raft[i], err = freeStreamAddress(); err != nil {
		c.t.Fatal(err)
	}
	if c.api[i], err = freeStreamAddress(); err != nil {
		c.t.Fatal(err)
	}
	c.servers = append(c.servers, i)
	c.start(serverName(i), env, append([]string{"server", "--data-dir", c.dirOf(i), "--listen", c.agents[i], "--raft", c.raft[i], "--http", c.api[i]}, more...)...)
}

// add joins another orchestrator, with what "cluster add" prints.
func (c *trio) add(i int, flags ...string) {
	c.t.Helper()
	var out addition
	c.document(&out, append([]string{"cluster", "add"}, flags...)...)
	env := []string{"QUORATE_TOKEN=" + out.Token}
	c.serve(i, env, append([]string{"--join", out.Join}, flags...)...)
}

// quorate is a command for any of the orchestrators.
func (c *trio) quorate(args ...string) *command {
	c.t.Helper()
	return c.command(append([]string{"--server", c.sockets(c.servers...)}, args...)...)
}

// document runs a command that has to succeed, and decodes what it prints.
func (c *trio) document(into any, args ...string) {
	c.t.Helper()
	cmd := c.quorate(append(args, "-o", "json")...)
	if cmd.code() != 0 {
		c.t.Fatalf("%s: %s", strings.Join(args, " "), cmd)
	}
	if err := json.Unmarshal(cmd.out.Bytes(), into); err != nil {
		c.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, cmd)
	}
}

func (c *trio) sockets(servers ...int) string {
	var all []string
	for _, i := range servers {
		all = append(all, c.socket(i))
	}
	return strings.Join(all, ",")
}

func (c *trio) gateways() string {
	var all []string
	for _, i := range c.servers {
		all = append(all, c.agents[i])
	}
	return strings.Join(all, ",")
}

func (c *trio) dialAll() {
	c.t.Helper()
	if c.client != nil {
		_ = c.client.Close()
	}
	var err error
	if c.client, err = api.Dial(c.sockets(c.servers...)); err != nil {
		c.t.Fatal(err)
	}
}

// voters waits until so many orchestrators have a vote and nobody catches up.
func (c *trio) voters(want int) (now *api.Cluster) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("%d voters", want), func() bool {
		var err error
		now, err = c.client.Cluster(c.t.Context())
		return err == nil && !now.Stale && now.Leader != 0 && now.Voters == want &&
			!slices.ContainsFunc(now.Members, func(m api.Member) bool { return m.Role == "learner" || m.Role == "joining" })
	})
	return now
}

// process returns the number of the process that is a replica.
func (c *trio) process(now *api.Cluster, replica uint64) int {
	c.t.Helper()
	for i := range now.Members {
		for n, address := range c.raft {
			if now.Members[i].Replica == replica && now.Members[i].RaftAddress == address {
				return n
			}
		}
	}
	c.t.Fatalf("no process is replica %d of %+v", replica, now.Members)
	return 0
}

// get fetches a path of an orchestrator's API, for those who have no client.
func (c *trio) get(i int, path string) int {
	c.t.Helper()
	socket := strings.TrimPrefix(c.socket(i), "unix://")
	h := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer h.CloseIdleConnections()
	resp, err := h.Get("http://orchestrator" + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// The life of a cluster, by the commands of an operator: the leader dies in the
// middle of a run and is replaced; a majority dies and comes back; all is lost
// but a backup, or but one orchestrator's files.
func TestClusterLife(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for majorities that do not come")
	}
	t.Parallel()
	c := newTrio(t, killHosts...)
	if !t.Run("facts through any", c.factsThroughAny) ||
		!t.Run("an operator is revoked", c.operatorRevoked) ||
		!t.Run("the leader dies", c.leaderDies) ||
		!t.Run("it is replaced", c.replaced) ||
		!t.Run("it is audited", c.audited) ||
		!t.Run("the leader is stopped", c.leaderStops) ||
		!t.Run("a majority dies", c.majorityDies) {
		return
	}
	file := filepath.Join(c.dir, "cluster.backup")
	t.Run("backup", func(t *testing.T) { c.backedUp(t, file) })
	if t.Failed() {
		return
	}
	for _, i := range c.servers {
		if p := c.processes[serverName(i)]; p.running() {
			c.kill(serverName(i))
		}
	}
	t.Run("its files are audited", c.filesAudited)
	t.Run("restore", func(t *testing.T) { c.restored(t, file) })
	t.Run("recover", c.recovered)
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// factsThroughAny asks each orchestrator for the facts of each agent, most of which are
// connected to others.
func (c *trio) factsThroughAny(t *testing.T) {
	for _, i := range c.servers {
		for _, host := range killHosts {
			eventually(t, "facts of "+host+" through "+serverName(i), func() bool {
				facts := c.command("--server", c.socket(i), "agent", "facts", host, "-o", "json")
				return facts.code() == 0 && strings.Contains(facts.out.String(), `"asked": true`)
			})
		}
	}
}

func (c *trio) leaderDies(t *testing.T) {
	effects := filepath.Join(c.dir, "effects")
	apply := c.quorate(append([]string{"apply"}, writeDeployment(t, filepath.Join(c.dir, "input"), effects)...)...)
	eventually(t, "effects", func() bool {
		text, _ := os.ReadFile(effects)
		return strings.Count(string(text), "\n") >= 5
	})
	now := c.voters(3)
	c.kill(serverName(c.process(now, now.Leader)))
	if code := apply.code(); code != 0 {
		t.Fatalf("apply: %s", apply)
	}
	checkEffects(t, effects)
	run, err := c.client.Run(t.Context(), "latest")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stepsOf(run, "succeeded") {
		if s.Attempts != 1 {
			t.Errorf("step %s took %d attempts", s.ID, s.Attempts)
		}
	}
	if later := c.voters(3); later.Leader == now.Leader {
		t.Errorf("orchestrator %d leads, and is dead", later.Leader)
	}
}

func (c *trio) replaced(t *testing.T) {
	now := c.voters(3)
	var lost uint64
	for _, m := range now.Members {
		if !m.Self && m.Reachable != nil && !*m.Reachable {
			lost = m.Replica
		}
	}
	if lost == 0 {
		t.Fatalf("nobody is unreachable: %+v", now.Members)
	}
	status := c.quorate("cluster", "status")
	if status.code() != 0 || !strings.Contains(status.out.String(), "unreachable") || !strings.Contains(status.out.String(), "it stops when one more fails") {
		t.Errorf("status: %s", status)
	}
	for line := range strings.Lines(status.out.String()) {
		// A slow disk has an alarm, which says what it says.
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 && !strings.HasPrefix(line, "alarm: ") {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	dead := c.process(now, lost)
	c.add(4, "--replace", fmt.Sprint(lost))
	// It dies while it joins, and is started again by the same command.
	eventually(t, "the request to join", func() bool {
		_, asked := os.Stat(filepath.Join(c.dirOf(4), joinFile))
		_, joined := os.Stat(filepath.Join(c.dirOf(4), memberFile))
		return asked == nil || joined == nil
	})
	c.kill(serverName(4))
	c.restart(serverName(4))
	c.dialAll()
	eventually(t, "the replacement's vote", func() bool {
		now = c.voters(3)
		return slices.ContainsFunc(now.Members, func(m api.Member) bool { return m.Replica == 4 && m.Role == "voter" }) &&
			slices.ContainsFunc(now.Members, func(m api.Member) bool { return m.Replica == lost && m.Role == "removed" })
	})
	c.barred(t, lost, dead)
	// The lost one turns up again: it is out, and says so.
	c.restart(serverName(dead))
	p := c.processes[serverName(dead)]
	eventually(t, "the end of the removed one", func() bool { return !p.running() })
	log, err := os.ReadFile(filepath.Join(c.dir, serverName(dead)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	if p.cmd.ProcessState.ExitCode() != exitError || !strings.Contains(string(log), "quorate: error: ") || !strings.Contains(string(log), "cluster add") {
		t.Errorf("the removed one ended with %s:\n%s", p.cmd.ProcessState, log)
	}
	c.servers = slices.DeleteFunc(c.servers, func(i int) bool { return i == dead })
	c.dialAll()
}

// leaderStops ends the leader as a service manager does: it hands over first.
func (c *trio) leaderStops(t *testing.T) {
	now := c.voters(3)
	i := c.process(now, now.Leader)
	p := c.processes[serverName(i)]
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.done
	log, err := os.ReadFile(filepath.Join(c.dir, serverName(i)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(string(log), "handed over") {
		t.Errorf("the leader ended with %d, and did not hand over", code)
	}
	c.restart(serverName(i))
	if later := c.voters(3); later.Leader == now.Leader {
		t.Errorf("%d still leads", now.Leader)
	}
}

func (c *trio) majorityDies(t *testing.T) {
	killed, left := c.servers[:2], c.servers[2]
	c.kill(serverName(killed[0]), serverName(killed[1]))
	// One that starts without the others serves what it has.
	c.kill(serverName(left))
	c.restart(serverName(left))
	eventually(t, "an answer of the one that is left", func() bool { return c.get(left, "/livez") == http.StatusOK })
	if code := c.get(left, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("without a majority readiness is answered %d", code)
	}
	list := c.quorate("run", "ls")
	if list.code() != 0 || !strings.Contains(list.out.String(), "succeeded") ||
		!strings.Contains(list.err.String(), "quorate: warning: no majority answers: this may be out of date") {
		t.Errorf("a stale read: %s", list)
	}
	status := c.quorate("cluster", "status")
	if status.code() != 0 || !strings.Contains(status.out.String(), "no majority answers") {
		t.Errorf("status: %s", status)
	}
	token := c.quorate("token", "create", "--name", "nobody")
	if token.code() != exitError || token.out.Len() > 0 || !strings.Contains(token.err.String(), "nothing was recorded") || !strings.Contains(token.err.String(), "quorate: hint: ") {
		t.Errorf("a command without a majority: %s", token)
	}
	c.restart(serverName(killed[0]), serverName(killed[1]))
	c.voters(3)
	if code := c.get(left, "/readyz"); code != http.StatusOK {
		t.Errorf("with a majority readiness is answered %d", code)
	}
	exec := c.quorate("exec", "RUN", "true", "--target", killHosts[0])
	if exec.code() != 0 {
		t.Errorf("a run when the majority is back: %s", exec)
	}
	transfer := c.quorate("cluster", "transfer")
	if transfer.code() != 0 || !strings.Contains(transfer.out.String(), " leads") {
		t.Errorf("transfer: %s", transfer)
	}
}

func (c *trio) backedUp(t *testing.T, file string) {
	backup := c.quorate("cluster", "backup", file)
	if backup.code() != 0 || !strings.Contains(backup.err.String(), "it holds the cluster's keys") {
		t.Fatalf("backup: %s", backup)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %s, %v", info.Mode(), err)
	}
	if again := c.quorate("cluster", "backup", file); again.code() != exitRefused {
		t.Errorf("a second backup to the same file: %s", again)
	}
}

// rebuiltWorks starts a cluster of one that was built anew, and wants its past
// and its future.
func (c *trio) rebuiltWorks(t *testing.T, i int, source string) {
	t.Helper()
	c.serve(i, nil)
	c.servers = []int{i}
	c.dialAll()
	now := c.voters(1)
	if now.Leader != numberStep || len(now.Members) != 5 {
		t.Errorf("members %+v", now.Members)
	}
	list := c.quorate("log", "ls", "--kind", "cluster_recovered")
	if text := quietly(list); list.code() != 0 || !strings.Contains(text, "source="+source) || !strings.Contains(text, "behind record") {
		t.Errorf("log: %s", list)
	}
	output := c.quorate("run", "show", "1")
	if output.code() != 0 || !strings.Contains(output.out.String(), "run 1 succeeded") {
		t.Errorf("the run before: %s", output)
	}
	c.add(i + 1)
	c.dialAll()
	if now = c.voters(2); !slices.ContainsFunc(now.Members, func(m api.Member) bool { return m.Replica == numberStep+1 && m.Role == "voter" }) {
		t.Errorf("members %+v", now.Members)
	}
	c.kill(serverName(i), serverName(i+1))
}

func (c *trio) restored(t *testing.T, file string) {
	dir := c.dirOf(11)
	if refused := c.quorate("cluster", "restore", file, "--data-dir", dir); refused.code() != exitUsage {
		t.Errorf("a restore that nobody confirmed: %s", refused)
	}
	restore := c.quorate("cluster", "restore", file, "--data-dir", dir, "--yes")
	if restore.code() != 0 || !strings.Contains(restore.err.String(), "quorate server --data-dir "+dir) {
		t.Fatalf("restore: %s", restore)
	}
	if again := c.quorate("cluster", "restore", file, "--data-dir", dir, "--yes"); again.code() != exitRefused {
		t.Errorf("a second restore to the same directory: %s", again)
	}
	c.rebuiltWorks(t, 11, "backup")
}

func (c *trio) recovered(t *testing.T) {
	// Any of the orchestrators that were there when all was stopped will do.
	survivor := c.dirOf(4)
	before, err := os.ReadFile(filepath.Join(survivor, memberFile))
	if err != nil {
		t.Fatal(err)
	}
	recover := c.quorate("cluster", "recover", "--data-dir", survivor, "--yes")
	if recover.code() != 0 || !strings.Contains(recover.err.String(), "is lost") {
		t.Fatalf("recover: %s", recover)
	}
	// As if it had died just before it was done.
	if err := os.WriteFile(filepath.Join(survivor, memberFile), before, 0o600); err != nil {
		t.Fatal(err)
	}
	again := c.quorate("cluster", "recover", "--data-dir", survivor, "--yes")
	if again.code() != 0 || again.out.String() != recover.out.String() {
		t.Fatalf("recover once more: %s", again)
	}
	if err := os.Rename(survivor, c.dirOf(21)); err != nil {
		t.Fatal(err)
	}
	c.rebuiltWorks(t, 21, "member")
}
