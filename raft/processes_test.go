package raft

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func processCPU() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// A process is a replica in a process of its own.
type process struct {
	settings replicaSettings
	cmd      *exec.Cmd
	client   *rpc.Client
	exited   chan struct{}
}

// A fleet is a cluster of processes that speak TLS over loopback.
type fleet struct {
	tb   testing.TB
	base string
	ctx  context.Context

	mu        sync.Mutex
	processes map[uint64]*process
	book      map[uint64]string
	stall     time.Duration
	every     int
	sample    bool
}

func newFleet(tb testing.TB, deadline time.Duration) *fleet {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	f := &fleet{tb: tb, base: tb.TempDir(), ctx: ctx, processes: map[uint64]*process{}, book: map[uint64]string{}}
	tb.Cleanup(func() {
		for id := range f.processes {
			f.kill(id)
		}
		cancel()
	})
	pid, name := os.Getpid(), fnv.New32a()
	name.Write([]byte(tb.Name())) // never fails
	base := 10000 + 10*uint64(name.Sum32()%2000)
	for id := range uint64(9) { // an address that no other test uses, nor its process
		f.book[id+1] = fmt.Sprintf("127.%d.%d.%d:%d", 100+pid>>16&0x3f, pid>>8&0xff, pid&0xff, base+id)
	}
	return f
}

func (f *fleet) dir(id uint64) string { return filepath.Join(f.base, fmt.Sprint(id)) }

// start starts a replica's process, and returns when its node runs.
func (f *fleet) start(id uint64, bootstrap, join bool) {
	f.tb.Helper()
	if err := f.tryStart(id, bootstrap, join); err != nil {
		f.tb.Fatalf("replica %d: %v", id, err)
	}
}

func (f *fleet) tryStart(id uint64, bootstrap, join bool) error {
	p := &process{exited: make(chan struct{}), settings: replicaSettings{
		Dir: f.dir(id), PKI: filepath.Join(f.base, "pki"), Replica: id,
		Bootstrap: bootstrap, Join: join, Book: f.book, Stall: f.stall, StallEvery: f.every, Sample: f.sample,
	}}
	settings, err := json.Marshal(p.settings)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.settings.Dir, 0o700); err != nil {
		return err
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), replicaEnv+"="+string(settings))
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.client = rpc.NewClient(struct {
		io.Reader
		io.WriteCloser
	}{out, in})
	f.mu.Lock()
	f.processes[id] = p
	f.mu.Unlock()
	_, err = f.call(id, "Leader", Call{})
	return err
}

// kill ends a process as a power cut would.
func (f *fleet) kill(id uint64) {
	f.mu.Lock()
	p := f.processes[id]
	delete(f.processes, id)
	f.mu.Unlock()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended by itself
	_ = p.client.Close()
	_ = p.cmd.Wait() // killed
}

func (f *fleet) signal(id uint64, s syscall.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.processes[id]; p != nil {
		if err := p.cmd.Process.Signal(s); err != nil {
			f.tb.Errorf("signal to replica %d: %v", id, err)
		}
	}
}

// call asks a replica; an error of one that was killed comes at once, of one that
// is stopped when its time is over.
func (f *fleet) call(id uint64, method string, c Call) (Answer, error) {
	f.mu.Lock()
	p := f.processes[id]
	f.mu.Unlock()
	if p == nil {
		return Answer{}, fmt.Errorf("replica %d is down", id)
	}
	var a Answer
	limit := c.Within + time.Second
	if c.Within == 0 {
		limit = testDeadline
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	called := p.client.Go("Replica."+method, c, &a, make(chan *rpc.Call, 1))
	select {
	case <-called.Done:
		return a, called.Error
	case <-timer.C:
		return Answer{}, context.DeadlineExceeded
	}
}

func (f *fleet) must(id uint64, method string, c Call) Answer {
	f.tb.Helper()
	a, err := f.call(id, method, c)
	if err != nil {
		f.tb.Fatalf("%s of replica %d: %v", method, id, err)
	}
	return a
}

// found starts a cluster of so many replicas.
func (f *fleet) found(size uint64) {
	f.tb.Helper()
	f.start(1, true, false)
	f.must(1, "Append", Call{Texts: []string{"first"}})
	for id := uint64(2); id <= size; id++ {
		f.join(1, id)
	}
}

func (f *fleet) join(through, id uint64) {
	f.tb.Helper()
	f.must(through, "Change", Call{Texts: []string{"add"}, Replica: id})
	f.start(id, false, true)
	f.must(id, "Head", Call{})
	f.must(id, "Change", Call{Texts: []string{"promote"}, Replica: id})
}

// leader waits until a replica that runs leads, and all that run know it.
func (f *fleet) leader(ids ...uint64) uint64 {
	f.tb.Helper()
	for {
		leads := map[uint64]int{}
		for _, id := range ids {
			if a, err := f.call(id, "Leader", Call{Within: time.Second}); err == nil {
				leads[a.Leader]++
			}
		}
		for _, id := range ids {
			if leads[id] == len(ids) {
				return id
			}
		}
		f.pause(5 * time.Millisecond)
	}
}

func (f *fleet) pause(d time.Duration) {
	f.tb.Helper()
	select {
	case <-time.After(d):
	case <-f.ctx.Done():
		f.tb.Fatal(f.ctx.Err())
	}
}

// agreeHeads returns where all replicas end alike.
func (f *fleet) agreeHeads(ids ...uint64) Answer {
	f.tb.Helper()
	var want Answer
	for i, id := range ids {
		a := f.must(id, "Head", Call{})
		if i == 0 {
			want = a
		}
		if a.Index != want.Index || a.Hash != want.Hash {
			f.tb.Fatalf("replica %d ends at %d %s, replica %d at %d %s", id, a.Index, a.Hash, ids[0], want.Index, want.Hash)
		}
	}
	return want
}

// agree returns all texts, when all replicas have them alike.
func (f *fleet) agree(ids ...uint64) []string {
	f.tb.Helper()
	want := f.agreeHeads(ids...)
	var all []string
	for uint64(len(all)) < want.Index {
		all = append(all, f.must(ids[0], "Read", Call{From: uint64(len(all)) + 1}).Texts...)
	}
	return all
}
