package edge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"quorate/cli"
	"quorate/internal/soak/lab"
)

// program is quorate: the test binary, when it is called by that name.
var program string

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "quorate" {
		os.Exit(cli.Main("test", os.Args))
	}
	os.Exit(func() int {
		self, err := os.Executable()
		if err == nil {
			program, err = os.MkdirTemp("", "quorate-edge-")
			defer os.RemoveAll(program)
		}
		if err == nil {
			program = filepath.Join(program, "quorate")
			err = os.Symlink(self, program)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// full reports whether tests are to take the time that the real thing takes, as "make
// edge" asks for: otherwise they are the same with less of it.
func full() bool { return os.Getenv("QUORATE_EDGE") == "full" }

// size is one of two amounts: those of the real thing, or enough to tell.
func size[N any](real, enough N) N {
	if full() {
		return real
	}
	return enough
}

// beside lets a test run beside others, but for the real thing, whose figures count.
func beside(t *testing.T) {
	if !full() {
		t.Parallel()
	}
}

// A site is a cluster whose agents are behind links of their own.
type site struct {
	*lab.Lab
	t       testing.TB
	network *lab.Network
	router  *lab.Host
	links   []*Link // of the agents, in their order
	closing sync.Once
}

// newSite starts orchestrators, which are near each other, and agents behind links.
func newSite(t testing.TB, orchestrators, agents int, c Conditions) *site {
	t.Helper()
	network, err := lab.Isolate()
	if err != nil {
		t.Skipf("bad links need network namespaces, and those root: %v", err)
	}
	s := &site{t: t, network: network}
	t.Cleanup(s.close)
	if s.router, err = network.Host("router"); err != nil {
		t.Fatal(err)
	}
	s.on(s.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	if s.Lab, err = lab.New(t.Context(), lab.Options{Binary: program, Network: network, Orchestrators: orchestrators, Agents: agents}); err != nil {
		t.Fatal(err)
	}
	for _, o := range s.Servers() {
		s.on(o.Host, "ip", "route", "add", "10.88.0.0/16", "via", s.router.Address)
	}
	for i := range s.Agents() {
		s.connect(i, c)
	}
	return s
}

// close shows the logs of a failed test and ends everything.
func (s *site) close() { s.closing.Do(s.end) }

func (s *site) end() {
	defer func() {
		if err := s.network.Close(); err != nil {
			s.t.Error(err)
		}
	}()
	if s.Lab == nil {
		return
	}
	if s.t.Failed() {
		s.t.Log(s.Logs(60))
		if out, err := s.Run(context.Background(), s.Servers()[0], "log", "ls"); err == nil {
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			s.t.Log(strings.Join(lines[max(0, len(lines)-60):], "\n"))
		}
	}
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
	for _, l := range s.links {
		if err := l.Close(); err != nil {
			s.t.Error(err)
		}
	}
}

// on runs a command on a host.
func (s *site) on(h *lab.Host, argv ...string) {
	s.t.Helper()
	if err := try(h, argv...); err != nil {
		s.t.Fatal(err)
	}
}

func try(h *lab.Host, argv ...string) error {
	argv = h.Command(argv...)
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}

// address is what the agent's end of its link may have: several are its own.
func address(agent, number int) string { return fmt.Sprintf("10.88.%d.%d", agent, 2+number) }

// connect takes the agent's host off the local network and puts it behind a link.
func (s *site) connect(i int, c Conditions) {
	s.t.Helper()
	a := s.Agents()[i]
	a.Slay()
	near := s.device(s.router, fmt.Sprintf("site%d", i))
	far := s.device(a.Host, "wan")
	s.on(s.router, "ip", "link", "set", fmt.Sprintf("site%d", i), "txqueuelen", "5000", "up")
	s.on(s.router, "ip", "route", "add", fmt.Sprintf("10.88.%d.0/24", i), "dev", fmt.Sprintf("site%d", i))
	if err := a.Cut(); err != nil {
		s.t.Fatal(err)
	}
	s.on(a.Host, "ip", "addr", "flush", "dev", "eth0")
	s.on(a.Host, "ip", "link", "set", "wan", "txqueuelen", "5000", "up")
	if err := s.renumber(i, "", address(i, 0)); err != nil {
		s.t.Fatal(err)
	}
	s.links = append(s.links, Join(near, far, c, uint64(i)))
	if err := a.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.present(a.Name(), address(i, 0))
}

// device makes a TUN device on a host.
func (s *site) device(h *lab.Host, name string) (tun *os.File) {
	s.t.Helper()
	err := h.Within(func() (err error) {
		tun, err = OpenTUN(name)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		s.t.Skipf("bad links need TUN devices: %v", err)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return tun
}

// renumber gives the agent's end of its link another address.
func (s *site) renumber(i int, from, to string) error {
	h := s.Agents()[i].Host
	err := try(h, "ip", "addr", "add", to+"/32", "dev", "wan")
	if err == nil {
		err = try(h, "ip", "route", "replace", "default", "dev", "wan", "src", to)
	}
	if err == nil && from != "" {
		err = try(h, "ip", "addr", "del", from+"/32", "dev", "wan")
	}
	return err
}

// present waits until an agent is connected from an address.
func (s *site) present(name, from string) {
	s.t.Helper()
	err := s.Until(s.t.Context(), name+" is connected", func() bool {
		for _, o := range s.Servers() {
			client, err := o.Local()
			if err != nil || !o.Running() {
				continue
			}
			a, err := client.Agent(s.t.Context(), name)
			_ = client.Close()
			if err == nil && a.Status == "connected" && strings.HasPrefix(a.Address, from+":") {
				return true
			}
		}
		return false
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// write puts a file where the cluster's are.
func (s *site) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// until waits for what comes by itself.
func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	if err := s.Until(s.t.Context(), what, ok); err != nil {
		s.t.Fatal(err)
	}
}

// anyServer returns an orchestrator that runs.
func (s *site) anyServer() *lab.Server {
	s.t.Helper()
	for _, o := range s.Servers() {
		if o.Running() {
			return o
		}
	}
	s.t.Fatal("no orchestrator runs")
	return nil
}
