package cli

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A fleet is processes of this program that end with it.
type fleet struct {
	program string
	logs    string // directory
	members []member
}

type member struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has been waited for
	log  string
}

// stopGrace is how long a process may take to end before it is killed.
const stopGrace = 5 * time.Second

// start starts the program with the arguments. Its messages go to a file; it
// ends with this process, and a Ctrl-C on the terminal does not reach it.
func (f *fleet) start(ctx context.Context, name string, env []string, args ...string) error {
	log, err := os.Create(filepath.Join(f.logs, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), f.program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	m := member{name: name, cmd: cmd, done: make(chan struct{}), log: log.Name()}
	go func() {
		defer close(m.done)
		_ = cmd.Wait()
	}()
	f.members = append(f.members, m)
	return nil
}

// ended returns the name of a process that has ended, or "".
func (f *fleet) ended() string {
	for _, m := range f.members {
		select {
		case <-m.done:
			return m.name
		default:
		}
	}
	return ""
}

// stop ends the processes, agents before the orchestrator that was started first.
func (f *fleet) stop() {
	for i := len(f.members) - 1; i >= 0; i-- {
		_ = f.members[i].cmd.Process.Signal(syscall.SIGTERM)
	}
	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	for _, m := range f.members {
		select {
		case <-m.done:
		case <-grace.Done():
			_ = m.cmd.Process.Kill()
			<-m.done
		}
	}
	f.members = nil
}

// kill ends a process without warning, and waits for its end.
func (f *fleet) kill(name string) error {
	for _, m := range f.members {
		if m.name == name {
			err := m.cmd.Process.Kill()
			if err == nil {
				<-m.done
			}
			return err
		}
	}
	return fmt.Errorf("no process %s", name)
}

// explain prints the last words of the processes that wrote errors.
func (f *fleet) explain(con *console) {
	logs, err := filepath.Glob(filepath.Join(f.logs, "*.log"))
	if err != nil {
		return
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "level=ERROR") && !strings.Contains(string(text), "quorate: error:") {
			continue
		}
		for _, line := range lastLines(string(text), linesShownMax) {
			con.note("%s: %s", filepath.Base(path), printable(line))
		}
	}
}

// temporaryDir makes a directory that a unix socket has room below: TMPDIR may be too
// long for that, and /tmp is used then.
func temporaryDir(prefix, socket string) (string, error) {
	var dir string
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		var err error
		if dir, err = os.MkdirTemp(parent, prefix); err != nil || len(filepath.Join(dir, socket)) <= socketPathMax {
			return dir, err
		}
		if err = os.Remove(dir); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("directory %s: its path is too long for unix sockets below it", dir)
}

// Ports below those that the kernel gives to who asks for any: one of these might be
// taken before the process that it was found for listens on it.
const portMin, portMax, portTriesMax = 20_000, 32_768, 100

// freeStreamAddress finds a TCP port that nobody listens on.
func freeStreamAddress() (string, error) {
	return free(func(address string) (io.Closer, error) { return net.Listen("tcp", address) })
}

// freeAddress finds a UDP port that nobody listens on.
func freeAddress() (string, error) {
	return free(func(address string) (io.Closer, error) { return net.ListenPacket("udp", address) })
}

func free(listen func(address string) (io.Closer, error)) (address string, err error) {
	for range portTriesMax {
		address = net.JoinHostPort("127.0.0.1", strconv.Itoa(portMin+rand.IntN(portMax-portMin)))
		var listener io.Closer
		if listener, err = listen(address); err == nil {
			return address, listener.Close()
		}
	}
	return "", err
}
