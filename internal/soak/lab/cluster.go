package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"quorate/engine"
	"quorate/engine/api"
)

// probeTimeout bounds a look at one orchestrator.
const probeTimeout = 2 * time.Second

// addServer starts the founder, or one that joins.
func (l *Lab) addServer(ctx context.Context) (*Server, error) {
	if len(l.Servers()) == 0 {
		return l.launch("--bootstrap")
	}
	return l.Join(ctx, 0)
}

// Join starts one more orchestrator, which replaces the replica of a number, or
// none where it is 0. It does not wait for it to serve.
func (l *Lab) Join(ctx context.Context, replaces uint64) (*Server, error) {
	var token struct{ Token string }
	var through *Server
	for _, s := range l.Servers() {
		if s.Running() && s.serves(ctx) {
			through = s
			break
		}
	}
	if through == nil {
		return nil, errors.New("no orchestrator serves")
	}
	out, err := l.Run(ctx, through, "token", "create", "--role", "orchestrator", "-o", "json")
	if err == nil {
		err = json.Unmarshal(out, &token)
	}
	if err != nil {
		return nil, fmt.Errorf("token for an orchestrator: %w", err)
	}
	args := []string{"--join", through.RaftAddress(), "--token", token.Token}
	if replaces != 0 {
		args = append(args, "--replace", fmt.Sprint(replaces))
	}
	return l.launch(args...)
}

// launch starts an orchestrator on a new host.
func (l *Lab) launch(flags ...string) (*Server, error) {
	l.mu.Lock()
	number := len(l.servers) + 1
	l.mu.Unlock()
	h, err := l.Net.Host(fmt.Sprintf("o%d", number))
	if err != nil {
		return nil, err
	}
	s := &Server{Host: h, Dir: filepath.Join(l.Dir, h.Name), lab: l}
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		return nil, err
	}
	if l.opt.SmallDisk == number {
		data := fmt.Sprintf("size=%d,mode=700", l.opt.SmallDiskBytes)
		if err := syscall.Mount("tmpfs", s.Dir, "tmpfs", 0, data); err != nil {
			return nil, fmt.Errorf("small disk: %w", err)
		}
		l.mounts = append(l.mounts, s.Dir)
	}
	if s.Clock, err = l.clock(h); err != nil {
		return nil, err
	}
	args := append([]string{l.Bin, "server", "--data-dir", s.Dir, "--listen", s.AgentAddress(), "--http", net.JoinHostPort(h.Address, httpPort),
		"--raft", s.RaftAddress(), "--advertise", h.Address}, flags...)
	if l.opt.ServerFlags != nil {
		args = append(args, l.opt.ServerFlags(number)...)
	}
	s.Process = l.process(h, s.Clock, nil, args...)
	if err := s.Start(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.servers = append(l.servers, s)
	return s, nil
}

// undamp lets an agent connect as often as anything here does.
func (l *Lab) undamp(ctx context.Context) error {
	client, err := l.Servers()[0].Local()
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.SetDamping(ctx, api.DampingChange{RequestID: "lab-undamp", Threshold: engine.FlapThresholdMax})
	return err
}

// AddAgent starts one more agent, which knows of one orchestrator: the cluster
// tells it of the others.
func (l *Lab) AddAgent(ctx context.Context) (*Agent, error) {
	l.mu.Lock()
	number := len(l.agents) + 1
	l.mu.Unlock()
	name := fmt.Sprintf("a%d", number)
	if l.opt.AgentName != nil {
		name = l.opt.AgentName(number)
	}
	h, err := l.Net.Host(name)
	if err != nil {
		return nil, err
	}
	servers := l.Servers()
	local, err := servers[0].Local()
	if err != nil {
		return nil, err
	}
	token, err := local.CreateToken(ctx, api.TokenCreate{Name: h.Name, Role: "agent", TTLSeconds: 3600})
	if err != nil {
		return nil, err
	}
	a := &Agent{Host: h, Dir: filepath.Join(l.Dir, h.Name)}
	root := filepath.Join(a.Dir, "root")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if a.Clock, err = l.clock(h); err != nil {
		return nil, err
	}
	args := append(append([]string{l.Bin, "agent"}, l.through(number)...), "--data-dir", a.Dir, "--work-dir", root)
	if l.Net.Isolated() {
		a.boot = filepath.Join(l.Dir, h.Name+".boot")
		if err := a.newBoot(); err != nil {
			return nil, err
		}
		args = append([]string{"sh", "-c", `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, a.boot}, args...)
	}
	if l.opt.AgentCommand != nil {
		args = l.opt.AgentCommand(l, name, args)
	}
	a.Process = l.process(h, a.Clock, []string{"QUORATE_TOKEN=" + token.Token}, args...)
	if err := a.Start(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.agents = append(l.agents, a)
	return a, nil
}

// newBoot gives the host another boot id.
func (a *Agent) newBoot() error {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	id := fmt.Sprintf("%x-%x-%x-%x-%x\n", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	return os.WriteFile(a.boot, []byte(id), 0o600)
}

// Slay ends the agent and everything that it has started.
func (a *Agent) Slay() {
	a.Kill()
	for _, pid := range a.Pids() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Reboot ends everything on the agent's host, which has another boot id from then on.
func (a *Agent) Reboot() error {
	a.Slay()
	if a.boot == "" {
		return nil
	}
	return a.newBoot()
}

// AgentAddress is where agents connect, RaftAddress where orchestrators do.
func (s *Server) AgentAddress() string { return net.JoinHostPort(s.Address, agentPort) }

// RaftAddress is where other orchestrators connect.
func (s *Server) RaftAddress() string { return net.JoinHostPort(s.Address, raftPort) }

// Socket is the address of the API for local administrators.
func (s *Server) Socket() string { return "unix://" + filepath.Join(s.Dir, "quorate.sock") }

// Local returns a client of this orchestrator over its socket, which no cut
// network is in the way of. Every call bounds its own time.
func (s *Server) Local() (*api.Client, error) { return api.Dial(s.Socket()) }

// Status returns what this orchestrator says of itself.
func (s *Server) Status(ctx context.Context) (*api.Status, error) {
	client, err := s.Local()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return client.Status(ctx)
}

// Serving waits until an orchestrator answers, or has ended.
func (l *Lab) Serving(ctx context.Context, s *Server) error {
	err := l.Until(ctx, s.Name()+" serves", func() bool { return s.Crashed() || s.serves(ctx) })
	if err == nil && s.Crashed() {
		return fmt.Errorf("%s ended: %s", s.Name(), s.LogTail(5))
	}
	return err
}

func (s *Server) serves(ctx context.Context) bool {
	status, err := s.Status(ctx)
	return err == nil && status.Epoch > 0
}

// Leader returns the orchestrator that leads by its own word, in the newest term
// where several say so, or nil.
func (l *Lab) Leader(ctx context.Context) *Server {
	var leader *Server
	var epoch uint64
	for _, s := range l.Servers() {
		if !s.Running() {
			continue
		}
		if status, err := s.Status(ctx); err == nil && status.Leader && status.Epoch >= epoch {
			leader, epoch = s, status.Epoch
		}
	}
	return leader
}

// voting waits until every orchestrator is a voting member.
func (l *Lab) voting(ctx context.Context) error {
	servers := l.Servers()
	if len(servers) == 1 {
		return nil
	}
	return l.Until(ctx, fmt.Sprintf("%d voting orchestrators", len(servers)), func() bool { return l.Voters(ctx) == len(servers) })
}

// Connected waits until so many agents are connected.
func (l *Lab) Connected(ctx context.Context, want int) error {
	return l.Until(ctx, fmt.Sprintf("%d connected agents", want), func() bool {
		for _, s := range l.Servers() {
			if !s.Running() {
				continue
			}
			if status, err := s.Status(ctx); err == nil {
				return status.Connected >= want
			}
		}
		return false
	})
}

// Run runs quorate as an administrator on an orchestrator's machine and returns
// what it printed.
func (l *Lab) Run(ctx context.Context, s *Server, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, l.Bin, args...)
	cmd.Env = append(os.Environ(), "QUORATE_SERVER="+s.Socket(), "QUORATE_IDENTITY=")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("quorate %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// Client adds a host for clients of the API.
func (l *Lab) Client(name string) (*Host, error) { return l.Net.Host(name) }

// SmallDisk returns the orchestrator whose disk is small, or nil.
func (l *Lab) SmallDisk() *Server {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.opt.SmallDisk; n > 0 && n <= len(l.servers) {
		return l.servers[n-1]
	}
	return nil
}

// Leave takes the orchestrator out of the lab: it is not started again.
func (s *Server) Leave() {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	s.gone = true
}
