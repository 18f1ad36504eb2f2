package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// hostsMax bounds the hosts of a network: all are in one /24 (or its like).
const hostsMax = 250

// deadLink is a link-layer address that nobody has. Packets that are sent to it
// are lost in silence, as on a broken path.
const deadLink = "02:00:00:00:00:fe"

// A Network joins hosts. Its methods may be called concurrently.
type Network struct {
	prefix  string   // of the namespaces' names; empty on the loopback interface
	subnet  string   // the first three numbers of all addresses
	outside *os.File // the namespace of this process

	mu       sync.Mutex
	hosts    int
	released []string // names of namespaces to remove
}

// A Host is one machine of a network: an address, and a namespace of its own
// where the network has them.
type Host struct {
	Name    string
	Address string // IPv4
	net     *Network
	space   string // name of the namespace; empty on the loopback interface
	port    string // its end of the link in the switch's namespace
}

// Isolate makes a network of namespaces. It removes what killed processes have
// left of theirs first. Only root may.
func Isolate() (*Network, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root")
	}
	sweep()
	outside, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	n := &Network{prefix: fmt.Sprintf("qlab%d", os.Getpid()), subnet: "10.77.0", outside: outside}
	for i := 0; ; i++ { // several networks of one process
		err := ip("netns", "add", n.space("sw"))
		if err == nil {
			break
		}
		if i == 16 || !strings.Contains(err.Error(), "exists") {
			return nil, err
		}
		n.prefix = fmt.Sprintf("qlab%d.%d", os.Getpid(), i+1)
	}
	n.released = append(n.released, n.space("sw"))
	if err := batch(n.space("sw"), "link add br0 type bridge", "link set br0 up"); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Loopback makes a network of loopback addresses, which needs no rights.
func Loopback() *Network {
	pid := os.Getpid()
	return &Network{subnet: fmt.Sprintf("127.%d.%d", 1+pid>>8&0x7f, pid&0xff)}
}

func (n *Network) space(name string) string { return n.prefix + "-" + name }

// Isolated reports whether hosts can be cut off.
func (n *Network) Isolated() bool { return n.prefix != "" }

// Host adds a host.
func (n *Network) Host(name string) (*Host, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts++; n.hosts > hostsMax {
		return nil, fmt.Errorf("more than %d hosts", hostsMax)
	}
	h := &Host{Name: name, Address: fmt.Sprintf("%s.%d", n.subnet, n.hosts), net: n}
	if !n.Isolated() {
		return h, nil
	}
	h.space, h.port = n.space(name), "p"+strconv.Itoa(n.hosts)
	if err := ip("netns", "add", h.space); err != nil {
		return nil, err
	}
	n.released = append(n.released, h.space)
	err := batch(n.space("sw"),
		fmt.Sprintf("link add %s type veth peer name eth0 netns %s", h.port, h.space),
		fmt.Sprintf("link set %s master br0 up", h.port))
	if err != nil {
		return nil, err
	}
	return h, batch(h.space, "link set lo up", "addr add "+h.Address+"/24 dev eth0", "link set eth0 up")
}

// Close ends every process that is left in the namespaces and removes them.
func (n *Network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, space := range n.released {
		for _, pid := range pidsIn(space) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		errs = append(errs, ip("netns", "del", space))
	}
	n.released = nil
	if n.outside != nil {
		errs = append(errs, n.outside.Close())
	}
	return errors.Join(errs...)
}

// sweep removes namespaces of labs whose process is gone.
func sweep() {
	spaces, _ := filepath.Glob("/run/netns/qlab*")
	for _, path := range spaces {
		space := filepath.Base(path)
		text, _, _ := strings.Cut(strings.TrimPrefix(space, "qlab"), "-")
		text, _, _ = strings.Cut(text, ".")
		pid, err := strconv.Atoi(text)
		if err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		for _, left := range pidsIn(space) {
			_ = syscall.Kill(left, syscall.SIGKILL)
		}
		_ = ip("netns", "del", space)
	}
}

// Cut takes the host off the bridge: whatever it sends or is sent is lost in
// silence. It may be repeated. (A link that is set down comes up a second later.)
func (h *Host) Cut() error { return batch(h.net.space("sw"), "link set "+h.port+" nomaster") }

// Mend puts the host back on the bridge. It may be repeated.
func (h *Host) Mend() error { return batch(h.net.space("sw"), "link set "+h.port+" master br0") }

// Mute loses every packet from this host to another, in silence and in this
// direction only; Unmute ends that. Both may be repeated.
func (h *Host) Mute(to *Host) error {
	return batch(h.space, fmt.Sprintf("neigh replace %s lladdr %s dev eth0 nud permanent", to.Address, deadLink))
}

// Unmute lets packets through again.
func (h *Host) Unmute(to *Host) error {
	err := batch(h.space, "neigh del "+to.Address+" dev eth0")
	if err != nil && strings.Contains(err.Error(), "No such file") {
		return nil
	}
	return err
}

// Pids returns every process of the host, also those whose parents are gone.
func (h *Host) Pids() []int { return pidsIn(h.space) }

// Command wraps a command so that it runs on the host. The process that is started
// becomes the command: its pid is the command's.
func (h *Host) Command(argv ...string) []string {
	if h.space == "" {
		return argv
	}
	return append([]string{"ip", "netns", "exec", h.space}, argv...)
}

// Dial connects from the host.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.within(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Within calls f on a thread that is in the host's namespace: devices and sockets
// that f makes are there, goroutines that it starts are not. f must not call it again.
func (h *Host) Within(f func() error) error { return h.within(f) }

// within calls f on a thread that is in the host's namespace. Sockets that f opens
// stay there; goroutines that it starts do not begin there.
func (h *Host) within(f func() error) error {
	if h.space == "" {
		return f()
	}
	other, err := os.Open(filepath.Join("/run/netns", h.space))
	if err != nil {
		return err
	}
	defer other.Close()
	runtime.LockOSThread()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("network namespace of %s: %w", h.Name, err)
	}
	err = f()
	if back := unix.Setns(int(h.net.outside.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back) // the thread stays locked, and ends with the goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// pidsIn returns the processes of a namespace.
func pidsIn(space string) []int {
	if space == "" {
		return nil
	}
	out, _ := exec.Command("ip", "netns", "pids", space).Output() // none where the namespace is gone
	var pids []int
	for _, text := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(text); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ip runs one command of iproute2.
func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// batch runs several in a namespace.
func batch(space string, lines ...string) error {
	cmd := exec.Command("ip", "-n", space, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip -n %s %s: %w: %s", space, strings.Join(lines, "; "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
