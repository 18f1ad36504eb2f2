package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quorate/engine/api"
)

// A cluster is an orchestrator and agents as processes of their own, which a
// test may kill and start again.
type cluster struct {
	t       *testing.T
	dir     string
	address string // for agents
	client  *api.Client

	mu        sync.Mutex
	processes map[string]*process
}

// A process is one of quorate's.
type process struct {
	args []string
	env  []string
	cmd  *exec.Cmd
	done chan struct{}
}

// patience bounds every wait of these tests.
const patience = 60 * time.Second

// newCluster starts an orchestrator on a kind of log, and an agent per host.
func newCluster(t *testing.T, log string, hosts ...string) *cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "quorate-test-") // short: it holds a unix socket
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: dir, processes: map[string]*process{}}
	t.Cleanup(func() { c.close() })
	if c.address, err = freeAddress(); err != nil {
		t.Fatal(err)
	}
	server := filepath.Join(dir, "server")
	args := []string{"server", "--data-dir", server, "--listen", c.address, "--log", log, "--bootstrap"}
	if log == logRaft {
		raft, err := freeStreamAddress()
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "--raft", raft)
	}
	c.start("server", nil, args...)
	if c.client, err = api.Dial("unix://" + filepath.Join(server, socketName)); err != nil {
		t.Fatal(err)
	}
	if err := (&embedded{client: c.client}).ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		token, err := c.client.CreateToken(t.Context(), api.TokenCreate{Name: host, Role: "agent", TTLSeconds: 600})
		if err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(dir, host)
		if err := os.MkdirAll(filepath.Join(data, "root"), 0o700); err != nil {
			t.Fatal(err)
		}
		c.start(host, []string{"QUORATE_TOKEN=" + token.Token}, "agent", "--server", c.address, "--data-dir", data, "--work-dir", filepath.Join(data, "root"))
	}
	c.connected(hosts...)
	return c
}

// connected waits until the agents are connected.
func (c *cluster) connected(hosts ...string) {
	c.t.Helper()
	if err := (&agentGroup{}).connected(c.t.Context(), c.client, hosts); err != nil {
		c.t.Fatal(err)
	}
}

// start starts a process under a name.
func (c *cluster) start(name string, env []string, args ...string) {
	c.t.Helper()
	p := &process{args: args, env: env, done: make(chan struct{})}
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	p.cmd = exec.Command("quorate", args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.processes[name] = p
}

// kill ends processes without warning.
func (c *cluster) kill(names ...string) {
	c.t.Helper()
	for _, name := range names {
		c.mu.Lock()
		p := c.processes[name]
		c.mu.Unlock()
		if err := p.cmd.Process.Kill(); err != nil {
			c.t.Fatalf("kill %s: %v", name, err)
		}
	}
	for _, name := range names {
		c.mu.Lock()
		p := c.processes[name]
		c.mu.Unlock()
		<-p.done
	}
}

// restart starts killed processes again, with the arguments that they had.
func (c *cluster) restart(names ...string) {
	c.t.Helper()
	for _, name := range names {
		p := c.processes[name]
		c.start(name, p.env, p.args...)
	}
}

// close ends everything and shows the logs of a failed test.
func (c *cluster) close() {
	for _, p := range c.processes {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	for name, p := range c.processes {
		select {
		case <-p.done:
		case <-time.After(stopGrace):
			c.t.Errorf("%s did not end on SIGTERM", name)
			_ = p.cmd.Process.Signal(syscall.SIGQUIT)
			<-p.done
		}
	}
	if c.client != nil {
		_ = c.client.Close()
	}
	if c.t.Failed() {
		logs, _ := filepath.Glob(filepath.Join(c.dir, "*.log"))
		for _, path := range logs {
			text, _ := os.ReadFile(path)
			c.t.Logf("%s:\n%s", filepath.Base(path), strings.Join(lastLines(string(text), 80), "\n"))
		}
	}
	if err := os.RemoveAll(c.dir); err != nil {
		c.t.Error(err)
	}
}

// A command is quorate at work for an operator.
type command struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
	done     chan struct{}
}

// command starts quorate as an operator would.
func (c *cluster) command(args ...string) *command {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	o := &command{cmd: exec.CommandContext(ctx, "quorate", args...), done: make(chan struct{})}
	o.cmd.Env = append(os.Environ(), "QUORATE_SERVER=unix://"+filepath.Join(c.dir, "server", socketName))
	o.cmd.Stdout, o.cmd.Stderr = &o.out, &o.err
	if err := o.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer cancel()
		defer close(o.done)
		_ = o.cmd.Wait()
	}()
	return o
}

// code waits for the end of a command and returns its exit code.
func (o *command) code() int {
	<-o.done
	return o.cmd.ProcessState.ExitCode()
}

func (o *command) String() string {
	return fmt.Sprintf("exit %d\n%s%s", o.cmd.ProcessState.ExitCode(), &o.out, &o.err)
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
		<-time.After(5 * time.Millisecond)
	}
}
