package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Ports that every orchestrator uses: each has an address of its own.
const (
	agentPort = "7440"
	httpPort  = "7441"
	raftPort  = "7442"
)

// Patience bounds how long a lab waits for what processes do by themselves.
const Patience = 90 * time.Second

// Options are how a lab is set up. The zero value is one orchestrator.
type Options struct {
	// Binary is the path of quorate; empty builds it.
	Binary string
	// Network is where the hosts are; nil is the loopback interface.
	Network *Network
	// Orchestrators is their number, at least 1; Agents may be 0.
	Orchestrators, Agents int
	// Relayed is how many of the agents, the last ones, are at a site behind a relay.
	Relayed int
	// SmallDisk is the number, from 1, of the orchestrator whose data directory is a
	// file system of its own of SmallDiskBytes; 0 is none. It needs root.
	SmallDisk      int
	SmallDiskBytes int64
	// Clocks gives every process a clock that can be set; the binary has to be one
	// of [BuildSkewed].
	Clocks bool
	// Env is added to the environment of all processes, as KEY=VALUE.
	Env []string
	// ServerFlags are further flags of the orchestrator of a number, from 1; nil is none.
	ServerFlags func(number int) []string
	// AgentName names the agents, which are numbered from 1; nil is a1, a2 and so on.
	AgentName func(number int) string
	// AgentCommand wraps the command of an agent, as Host.Command does: the process
	// that is started has to become the command. nil leaves it as it is.
	AgentCommand func(l *Lab, name string, argv []string) []string
	// Restless lets agents come and go as often as they are killed and cut off, without
	// being taken for ones that flap.
	Restless bool
}

// A Lab is a cluster of processes on one machine.
type Lab struct {
	Dir string // everything is below it
	Bin string
	Net *Network
	opt Options
	own bool // the network was made here

	mu       sync.Mutex
	servers  []*Server
	agents   []*Agent
	relay    *Relay // nil where no agent has one
	mounts   []string
	forwards []net.Listener
}

// A Server is an orchestrator's host and process.
type Server struct {
	*Host
	*Process
	Clock *Clock // nil without Options.Clocks
	// Dir is the data directory.
	Dir  string
	lab  *Lab
	gone bool // guarded by lab's mutex
}

// An Agent is an agent's host and process.
type Agent struct {
	*Host
	*Process
	Clock *Clock // nil without Options.Clocks
	Dir   string
	boot  string // the file that the host's boot id is read from; empty on the loopback interface
}

// Build compiles quorate and returns the path of the binary, in dir.
func Build(dir string) (string, error) { return build(dir) }

func build(dir string, flags ...string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "quorate")
	cmd := exec.Command("go", append(append([]string{"build", "-o", bin}, flags...), "./cli/quorate")...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return bin, nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// New starts a cluster and waits until all of it is connected. The caller closes it.
func New(ctx context.Context, opt Options) (*Lab, error) {
	l, err := Prepare(opt)
	if err != nil {
		return nil, err
	}
	if err := l.start(ctx); err != nil {
		logs := l.Logs(30)
		return nil, errors.Join(err, errors.New(logs), l.Close())
	}
	return l, nil
}

// Prepare sets up a lab without orchestrators and agents.
func Prepare(opt Options) (*Lab, error) {
	dir, err := os.MkdirTemp("", "qlab-") // short: it holds unix sockets
	if err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, Bin: opt.Binary, Net: opt.Network, opt: opt}
	if l.Net == nil {
		l.Net, l.own = Loopback(), true
	}
	switch {
	case l.Bin != "":
	case opt.Clocks:
		l.Bin, err = BuildSkewed(dir)
	default:
		l.Bin, err = Build(dir)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context) error {
	for range max(1, l.opt.Orchestrators) {
		s, err := l.addServer(ctx)
		if err != nil {
			return err
		}
		if err := l.Serving(ctx, s); err != nil {
			return err
		}
	}
	if err := l.voting(ctx); err != nil {
		return err
	}
	if l.opt.Restless {
		if err := l.undamp(ctx); err != nil {
			return err
		}
	}
	if l.opt.Relayed > 0 {
		if err := l.addRelay(ctx); err != nil {
			return err
		}
	}
	for range l.opt.Agents {
		if _, err := l.AddAgent(ctx); err != nil {
			return err
		}
	}
	return l.Connected(ctx, l.opt.Agents)
}

// Name is the host's and the process's.
func (s *Server) Name() string { return s.Host.Name }

// Name is the host's and the process's, and the name of the agent.
func (a *Agent) Name() string { return a.Host.Name }

// Servers returns the orchestrators that have not left, also those that do not run.
func (l *Lab) Servers() []*Server {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*Server
	for _, s := range l.servers {
		if !s.gone {
			all = append(all, s)
		}
	}
	return all
}

// Agents returns the agents, also those that do not run.
func (l *Lab) Agents() []*Agent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Agent(nil), l.agents...)
}

// process makes a process of quorate on a host.
func (l *Lab) process(h *Host, clock *Clock, env []string, argv ...string) *Process {
	env = append(append([]string{"QUORATE_SERVER=", "QUORATE_IDENTITY="}, l.opt.Env...), env...)
	if clock != nil {
		env = append(env, clockVariable+"="+clock.path)
	}
	return &Process{Name: h.Name, argv: h.Command(argv...), env: env, log: filepath.Join(l.Dir, h.Name+".log")}
}

// Close ends everything and removes it.
func (l *Lab) Close() error {
	var errs []error
	for _, a := range l.Agents() {
		a.Kill()
		for _, pid := range a.Pids() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if r := l.Relay(); r != nil {
		r.Kill()
	}
	for _, s := range l.servers {
		s.Kill()
	}
	l.mu.Lock()
	for _, ln := range l.forwards {
		_ = ln.Close()
	}
	l.mu.Unlock()
	if l.own {
		errs = append(errs, l.Net.Close())
	}
	for _, path := range l.mounts {
		errs = append(errs, syscall.Unmount(path, syscall.MNT_DETACH))
	}
	return errors.Join(append(errs, os.RemoveAll(l.Dir))...)
}

// Logs returns the last lines of every process's log.
func (l *Lab) Logs(lines int) string {
	var b strings.Builder
	for _, s := range l.servers {
		fmt.Fprintf(&b, "--- %s\n%s\n", s.Name(), s.LogTail(lines))
	}
	if r := l.Relay(); r != nil {
		fmt.Fprintf(&b, "--- %s\n%s\n", r.Name(), r.LogTail(lines))
	}
	for _, a := range l.Agents() {
		fmt.Fprintf(&b, "--- %s\n%s\n", a.Name(), a.LogTail(lines))
	}
	return b.String()
}

// Until polls for a condition that processes reach by themselves.
func (l *Lab) Until(ctx context.Context, what string, ok func() bool) error {
	return UntilWithin(ctx, Patience, what, ok)
}

// UntilWithin polls for a condition, every 10 ms.
func UntilWithin(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	deadline := time.Now().Add(limit)
	for tick := time.NewTicker(10 * time.Millisecond); !ok(); {
		select {
		case <-ctx.Done():
			tick.Stop()
			return ctx.Err()
		case <-tick.C:
			if time.Now().After(deadline) {
				tick.Stop()
				return fmt.Errorf("%s: not within %s", what, limit)
			}
		}
	}
	return nil
}
