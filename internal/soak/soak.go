package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"quorate/engine/api"
	"quorate/internal/soak/lab"
)

// Bounds of a soak: calmMax is how long everything may take to end once nothing is
// done to it any more, restartAfter how long a crashed process stays down.
const (
	calmMax      = 3 * time.Minute
	restartAfter = time.Second
	smallDisk    = 512 << 20 // bytes
	// keptRecords stay in the live files of orchestrators that move old ones to
	// segment files.
	keptRecords = 1000
)

// A Config says what a soak is like. The same seed gives the same faults and the
// same clients, though not the same races.
type Config struct {
	Seed          uint64
	Length        time.Duration // of the trouble; the calm after it comes on top
	Orchestrators int
	Agents        int
	Relayed       int // how many of the agents are at a site behind a relay
	Clients       int
	// Binary is the path of quorate; empty builds it.
	Binary string
	// Clocks sets clocks wrong as well. It needs a build of its own.
	Clocks bool
	// Replace loses one orchestrator's disk halfway and replaces it.
	Replace bool
	// Log is told what happens.
	Log func(format string, args ...any)
	// Keep is a directory that is left with the logs of a soak that found something,
	// or of every one where KeepAll is set.
	Keep    string
	KeepAll bool
}

// A soak is one under way.
type soak struct {
	cfg         Config
	lab         *lab.Lab
	effects     Effects
	history     *History
	witness     *Witness
	acked       *Acknowledged
	deployments []*Deployment
	clients     []*client
	operator    *operator
	injector    *injector
	counts      counts

	mu      sync.Mutex
	crashes map[string]int
	report  Report
}

// Run soaks and returns the report. The error is of what kept the soak from being
// one; broken promises are in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	began := time.Now()
	net, err := lab.Isolate()
	if err != nil {
		return nil, err
	}
	s := &soak{cfg: cfg, history: NewHistory(), witness: &Witness{}, acked: NewAcknowledged(), crashes: map[string]int{}}
	s.report.Seed = cfg.Seed
	defer func() {
		if s.lab != nil {
			_ = s.lab.Close()
		}
		if err := net.Close(); err != nil {
			cfg.Log("network: %v", err)
		}
	}()
	if err := s.setUp(ctx, net); err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	if err := s.trouble(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("soak: %w", err), s.keep())
	}
	s.judge(ctx)
	s.report.Elapsed = time.Since(began)
	if len(s.report.Broken) > 0 || cfg.KeepAll {
		return &s.report, s.keep()
	}
	return &s.report, nil
}

// setUp starts the cluster and puts the deployments on record.
func (s *soak) setUp(ctx context.Context, net *lab.Network) error {
	opt := lab.Options{
		Binary: s.cfg.Binary, Network: net, Orchestrators: s.cfg.Orchestrators, Agents: s.cfg.Agents, Relayed: s.cfg.Relayed, Clocks: s.cfg.Clocks,
		SmallDisk: s.cfg.Orchestrators, SmallDiskBytes: smallDisk, Restless: true, ServerFlags: retain,
	}
	var err error
	if s.lab, err = lab.New(ctx, opt); err != nil {
		return err
	}
	s.effects = Effects{filepath.Join(s.lab.Dir, "effects")}
	if err := os.Mkdir(s.effects.dir, 0o777); err != nil {
		return err
	}
	var hosts []string
	for _, a := range s.lab.Agents() {
		hosts = append(hosts, a.Name())
	}
	if s.deployments, err = Deployments(filepath.Join(s.lab.Dir, "input"), hosts, s.effects); err != nil {
		return err
	}
	first, err := s.lab.Servers()[0].Local()
	if err != nil {
		return err
	}
	for _, d := range s.deployments {
		if err := d.Record(ctx, first); err != nil {
			return err
		}
	}
	s.injector = &injector{lab: s.lab, log: s.cfg.Log, struck: map[string]bool{}, done: map[string]int{}}
	for i := range s.cfg.Clients {
		c, err := s.newClient(i + 1)
		if err != nil {
			return err
		}
		s.clients = append(s.clients, c)
		s.injector.clients = append(s.injector.clients, c.host)
	}
	s.operator = &operator{lab: s.lab, effects: s.effects, acked: s.acked, counts: &s.counts, rand: rand.New(rand.NewPCG(s.cfg.Seed, 999))}
	return nil
}

// retain lets every other orchestrator move old records to segment files: where they
// lie is to make no difference.
func retain(number int) []string {
	if number%2 == 0 {
		return nil
	}
	return []string{"--retain-records", strconv.Itoa(keptRecords)}
}

// trouble lets clients work while faults strike, and then waits until everything
// has ended.
func (s *soak) trouble(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching, working sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() { s.supervise(ctx) })
	watching.Go(func() { s.witness.Watch(ctx, s.lab) })
	watching.Go(func() { s.operator.work(ctx) })
	stop := make(chan struct{})
	failed := make([]error, len(s.clients))
	for i, c := range s.clients {
		working.Go(func() { failed[i] = c.work(ctx, stop) })
	}
	faults := Schedule(s.cfg.Seed, s.cfg.Length, s.cfg.Clocks)
	var replacing sync.WaitGroup
	if s.cfg.Replace {
		replacing.Go(func() { s.replaceOne(ctx, s.cfg.Length/2) })
	}
	s.injector.run(ctx, faults)
	replacing.Wait()
	if err := ctx.Err(); err != nil {
		close(stop)
		working.Wait()
		return err
	}
	s.cfg.Log("calm")
	calm := time.Now()
	close(stop)
	settled := make(chan struct{})
	go func() { working.Wait(); close(settled) }()
	select {
	case <-settled:
	case <-time.After(calmMax):
		cancel()
		<-settled
		s.broken("clients had no answer %s after the last fault", calmMax)
	}
	for _, err := range failed {
		if err != nil {
			s.broken("%v", err)
		}
	}
	if err := lab.UntilWithin(ctx, calmMax, "the end of all runs", func() bool { return s.ended(ctx) }); err != nil {
		s.broken("%v: %s", err, s.pending(ctx))
	}
	s.report.Calm = time.Since(calm)
	return ctx.Err()
}

// broken notes a promise that was not kept.
func (s *soak) broken(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.cfg.Log("BROKEN %s", text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Broken = append(s.report.Broken, text)
}

// ended reports whether every run has ended and every replica knows so.
func (s *soak) ended(ctx context.Context) bool {
	leader := s.lab.Leader(ctx)
	if leader == nil {
		return false
	}
	client, err := leader.Local()
	if err != nil {
		return false
	}
	defer client.Close()
	runs, err := client.Runs(ctx, 0)
	if err != nil || slices.ContainsFunc(runs, func(r api.Run) bool { return !r.Done() }) {
		return false
	}
	heads := map[string]bool{}
	for _, server := range s.lab.Servers() { // which have seen that by then, where they agree
		status, err := server.Status(ctx)
		if err != nil {
			return false
		}
		heads[status.Head] = true
	}
	return len(heads) == 1
}

// pending says what is left of a soak that does not end.
func (s *soak) pending(ctx context.Context) string {
	text := ""
	for _, server := range s.lab.Servers() {
		status, err := server.Status(ctx)
		if err != nil {
			text += fmt.Sprintf("%s: %v; ", server.Name(), err)
			continue
		}
		text += fmt.Sprintf("%s: leader %t at %d %.8s, %d agents connected; ", server.Name(), status.Leader, status.Seq, status.Head, status.Connected)
		client, err := server.Local()
		if err != nil {
			continue
		}
		runs, _ := client.Runs(ctx, 0)
		for _, r := range runs {
			if !r.Done() {
				text += fmt.Sprintf("run %d %s %v; ", r.ID, r.Status, r.WaitingFor)
			}
		}
		_ = client.Close()
	}
	return text
}

// supervise starts processes again that ended by themselves, as a service manager
// does.
func (s *soak) supervise(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(restartAfter):
		}
		for _, o := range s.lab.Servers() {
			s.revive(o.Process)
		}
		for _, a := range s.lab.Agents() {
			s.revive(a.Process)
		}
		if r := s.lab.Relay(); r != nil {
			s.revive(r.Process)
		}
	}
}

func (s *soak) revive(p *lab.Process) {
	if !p.Crashed() {
		return
	}
	s.cfg.Log("%s ended by itself:\n%s", p.Name, p.LogTail(4))
	s.mu.Lock()
	s.crashes[p.Name]++
	s.mu.Unlock()
	if err := p.Start(); err != nil {
		s.broken("%s: %v", p.Name, err)
	}
}

// keep copies what a finding can be understood by out of the lab.
func (s *soak) keep() error {
	if s.cfg.Keep == "" || s.lab == nil {
		return nil
	}
	if err := os.RemoveAll(s.cfg.Keep); err != nil {
		return err
	}
	for _, o := range s.lab.Servers() {
		o.Kill()
	}
	if out, err := exec.Command("cp", "-a", s.lab.Dir, s.cfg.Keep).CombinedOutput(); err != nil {
		return fmt.Errorf("keeping %s: %w: %s", s.lab.Dir, err, out)
	}
	s.cfg.Log("logs and data are in %s", s.cfg.Keep)
	return nil
}
