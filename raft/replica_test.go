package raft

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/raft/port"
)

// replicaEnv makes a process of the test binary a replica: it holds its settings.
const replicaEnv = "QUORATE_TEST_REPLICA"

func TestMain(m *testing.M) {
	if settings := os.Getenv(replicaEnv); settings != "" {
		if err := replicaMain(settings); err != nil {
			fmt.Fprintln(os.Stderr, "replica:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// replicaSettings are of a replica in a process of its own.
type replicaSettings struct {
	Dir, PKI        string
	Replica         uint64
	Bootstrap, Join bool
	Book            map[uint64]string
	// Stall is for how long each StallEvery-th sync of Raft's log takes longer.
	Stall      time.Duration
	StallEvery int
	// Sample follows the peak of the process's memory.
	Sample bool
}

// replicaMain runs a replica until its standard input ends.
func replicaMain(settings string) error {
	var s replicaSettings
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	p, err := openTestPort(s, log)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(context.Background()) }()
	cfg := Config{DataDir: s.Dir, Replica: s.Replica, Bootstrap: s.Bootstrap, Join: s.Join, Port: p, Logger: log}
	if s.Stall > 0 {
		cfg.wrapLog = stalled(s.Stall, s.StallEvery)
	}
	debug.SetGCPercent(50) // as the server does
	remote := &Remote{}
	if s.Sample {
		ended := make(chan struct{})
		defer close(ended)
		go remote.sample(ended)
	}
	n, err := Start(context.Background(), cfg)
	if err != nil {
		return err
	}
	remote.node = n
	server := rpc.NewServer()
	if err := server.RegisterName("Replica", remote); err != nil {
		return err
	}
	server.ServeConn(pipe{os.Stdin, os.Stdout})
	return errors.Join(n.Close(), p.Close(), <-served)
}

type pipe struct {
	io.ReadCloser
	io.WriteCloser
}

func (p pipe) Close() error { return errors.Join(p.ReadCloser.Close(), p.WriteCloser.Close()) }

func openTestPort(s replicaSettings, log *slog.Logger) (*port.Port, error) {
	ca, err := pki.LoadOrCreate(s.PKI)
	if err != nil {
		return nil, err
	}
	raftCA, err := pki.LoadOrCreateRaft(s.PKI, ca.ClusterID())
	if err != nil {
		return nil, err
	}
	book, err := port.OpenBook(filepath.Join(s.Dir, "peers.json"))
	if err != nil {
		return nil, err
	}
	if err := book.Set(s.Book); err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(s.Book[s.Replica])
	if err != nil {
		return nil, err
	}
	server, client, err := pki.PeerTLS(ca, raftCA, s.Replica, []string{host})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", s.Book[s.Replica])
	if err != nil {
		return nil, err
	}
	return port.New(port.Config{Listener: listener, Server: server, Client: client, PeerOf: pki.ReplicaOf, Book: book, Logger: log}), nil
}

// Remote is a replica's node for the test's process. Its name is the library's
// demand: what is called has to be exported.
type Remote struct {
	node *Node
	peak atomic.Uint64 // of its memory, where it is sampled
	anon atomic.Uint64 // of the part that is no file's
}

// Call is what a method is asked; each uses what it needs.
type Call struct {
	Texts   []string
	Replica uint64
	From    uint64
	Within  time.Duration
	Writers int
	Events  int
}

// Answer is what a method says.
type Answer struct {
	Index        uint64
	Hash         eventlog.Hash
	Texts        []string
	Leader, Term uint64
	Members      Membership
	Elapsed      time.Duration
	RSS, Peak    uint64 // bytes
	Anon         uint64 // peak of the part of it that is no file's
	CPU          time.Duration
}

func (c *Call) ctx() (context.Context, context.CancelFunc) {
	if c.Within == 0 {
		c.Within = testDeadline
	}
	return context.WithTimeout(context.Background(), c.Within)
}

func entriesOf(texts []string) ([]eventlog.Entry, error) {
	var entries []eventlog.Entry
	for _, text := range texts {
		e, err := eventlog.NewEntry(1, &eventlog.TaskRecorded{Run: 1, Messages: []string{text}})
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Append appends texts.
func (r *Remote) Append(c Call, a *Answer) error {
	entries, err := entriesOf(c.Texts)
	if err != nil {
		return err
	}
	ctx, cancel := c.ctx()
	defer cancel()
	a.Index, err = r.node.Append(ctx, entries)
	return err
}

// Head returns the log's end, behind a barrier.
func (r *Remote) Head(c Call, a *Answer) error {
	ctx, cancel := c.ctx()
	defer cancel()
	err := r.node.Barrier(ctx)
	a.Index, a.Hash = r.node.Head()
	return err
}

// Read returns a page of texts.
func (r *Remote) Read(c Call, a *Answer) error {
	ctx, cancel := c.ctx()
	defer cancel()
	page, err := r.node.Read(ctx, c.From, 1000)
	if err != nil {
		return err
	}
	for _, record := range page {
		e, err := eventlog.Decode(record.Kind, record.Data)
		if err != nil {
			return err
		}
		a.Texts = append(a.Texts, e.(*eventlog.TaskRecorded).Messages[0])
	}
	return nil
}

// Leader returns who leads.
func (r *Remote) Leader(_ Call, a *Answer) error {
	a.Leader, a.Term, _ = r.node.Leader()
	return nil
}

// Change changes the membership, as Texts[0] says.
func (r *Remote) Change(c Call, a *Answer) error {
	ctx, cancel := c.ctx()
	defer cancel()
	switch c.Texts[0] {
	case "add":
		return r.node.AddLearner(ctx, c.Replica)
	case "promote":
		return r.node.Promote(ctx, c.Replica)
	case "remove":
		return r.node.Remove(ctx, c.Replica)
	case "transfer":
		return r.node.Transfer(ctx, c.Replica)
	}
	var err error
	a.Members, err = r.node.Members(ctx)
	return err
}

// Load appends Events events in batches of From, from Writers writers.
func (r *Remote) Load(c Call, a *Answer) error {
	texts := make([]string, max(c.From, 1))
	for i := range texts {
		texts[i] = strings.Repeat("x", 280)
	}
	entries, err := entriesOf(texts)
	if err != nil {
		return err
	}
	turns := make(chan struct{})
	failed := make(chan error, c.Writers)
	began := time.Now()
	var wg sync.WaitGroup
	for range c.Writers {
		wg.Go(func() {
			for range turns {
				ctx, cancel := c.ctx()
				_, err := r.node.Append(ctx, entries)
				cancel()
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	for done := 0; done < c.Events; done += len(entries) {
		select {
		case turns <- struct{}{}:
		case err := <-failed:
			close(turns)
			wg.Wait()
			return err
		}
	}
	close(turns)
	wg.Wait()
	a.Elapsed = time.Since(began)
	return nil
}

// Usage tells what the process costs.
func (r *Remote) Usage(_ Call, a *Answer) (err error) {
	a.RSS, _, err = ownMemory()
	a.Peak, a.Anon = max(a.RSS, r.peak.Load()), r.anon.Load()
	if err == nil {
		a.CPU, err = processCPU()
	}
	return err
}

// ownMemory is what the process has in memory, and the part that is no file's.
func ownMemory() (all, anonymous uint64, err error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			all = kib << 10
		}
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kib); n == 1 {
			anonymous = kib << 10
		}
	}
	if all == 0 {
		return 0, 0, errors.New("no VmRSS")
	}
	return all, anonymous, nil
}

// sample follows the peak of the process's memory until stop.
func (r *Remote) sample(stop <-chan struct{}) {
	for {
		if now, anonymous, err := ownMemory(); err == nil {
			r.peak.Store(max(now, r.peak.Load()))
			r.anon.Store(max(anonymous, r.anon.Load()))
		}
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
