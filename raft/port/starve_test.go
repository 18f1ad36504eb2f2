package port_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"quorate/internal/pki"
	"quorate/raft/port"
)

// starvingDir names the directory of the authorities to a child process that is
// to run out of file descriptors.
const starvingDir = "QUORATE_TEST_STARVING_DIR"

// starve serves replica 2 with few file descriptors, until its input ends.
func starve(dir string) {
	err := func() error {
		ca, err := pki.LoadOrCreate(dir)
		if err != nil {
			return err
		}
		ra, err := pki.LoadRaft(dir)
		if err != nil {
			return err
		}
		server, client, err := pki.PeerTLS(ca, ra, 2, nil)
		if err != nil {
			return err
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		book, err := port.OpenBook("")
		if err != nil {
			return err
		}
		lines := make(logged, 100)
		p := port.New(port.Config{Listener: listener, Server: server, Client: client, PeerOf: pki.ReplicaOf, Book: book, Logger: lines.logger()})
		p.Handle(port.Raft, echo)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 40, Max: 40}); err != nil {
			return err
		}
		go func() {
			fmt.Println(p.Addr())
			for line := range lines {
				fmt.Println(line)
			}
		}()
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			_, _ = os.Stdin.Read(make([]byte, 1))
			cancel()
		}()
		return p.Serve(ctx)
	}()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// TestNoFileDescriptors: a process that has none left to accept with neither
// ends nor stops to accept.
func TestNoFileDescriptors(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	ca, err := pki.LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	ra, err := pki.LoadOrCreateRaft(dir, ca.ClusterID())
	if err != nil {
		t.Fatal(err)
	}
	c.ca, c.ra = ca, ra

	child := exec.CommandContext(c.ctx, os.Args[0])
	child.Env = append(os.Environ(), starvingDir+"="+dir)
	input, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		input.Close()
		if err := child.Wait(); err != nil {
			t.Errorf("the child: %v", err)
		}
	}()
	lines := bufio.NewScanner(output)
	if !lines.Scan() {
		t.Fatal("the child does not listen")
	}
	address := lines.Text()

	var conns []net.Conn
	for range 60 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	for lines.Scan() {
		if strings.Contains(lines.Text(), "too many open files") {
			break
		}
	}
	if lines.Err() != nil || lines.Text() == "" {
		t.Fatal("the child did not run out of file descriptors")
	}
	for _, conn := range conns {
		conn.Close()
	}
	a := c.member(t, 1, port.Limits{})
	if err := a.book.Set(map[uint64]string{2: address}); err != nil {
		t.Fatal(err)
	}
	for {
		err := a.ask(c.ctx, 2, port.Raft)
		if err == nil {
			break
		}
		if c.ctx.Err() != nil {
			t.Fatalf("it does not serve again: %v", err)
		}
	}
}
