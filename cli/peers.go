package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/engine/peer"
	"quorate/eventlog"
	"quorate/internal/pki"
	"quorate/nodeagent/wire"
	"quorate/raft"
	"quorate/raft/port"
)

// peers are the other orchestrators, as this one reaches them and they it.
type peers struct {
	book  *port.Book
	port  *port.Port
	log   *raft.Node
	blobs *peer.Blobs
	up    atomic.Bool // the log and the orchestrator are there
}

// raftDir holds Raft's own files, and bookFile the addresses of the others, which
// a restart needs before anybody can be asked.
const (
	raftDir  = "raft"
	bookFile = "peers.json"
)

// openRaft opens the replicated log, and the port over which it is replicated. A
// directory that holds no member becomes one first.
func (n *node) openRaft(starting, ctx context.Context) (engine.Log, error) {
	p := &peers{}
	n.peers = p
	var err error
	if err := mkdir(filepath.Join(n.cfg.dir, raftDir)); err != nil {
		return nil, err
	}
	if p.book, err = port.OpenBook(filepath.Join(n.cfg.dir, raftDir, bookFile)); err != nil {
		return nil, fmt.Errorf("address book: %w", err)
	}
	if n.member, err = n.becomeMember(starting, p.book); err != nil {
		return nil, err
	}
	n.warnOfLoopback(p.book)
	if err := n.openPort(p); err != nil {
		return nil, err
	}
	if n.member.Started {
		if err := p.askAll(starting, n, startAsk, p.elsewhere(n)); err != nil {
			return nil, err
		}
	}
	n.group.Go(func() error { return p.port.Serve(ctx) })
	p.log, err = raft.Start(starting, raft.Config{
		DataDir: n.cfg.dir, Replica: n.member.Replica, RaftAddress: n.at.raft,
		Bootstrap: !n.member.Started && !n.member.Joined, Join: !n.member.Started && n.member.Joined,
		Port: p.port, Logger: n.cfg.logger,
	})
	if err != nil {
		return nil, n.explainRaft(err)
	}
	n.closed = append(n.closed, p.log)
	if n.member.Started && n.member.At != nil && *n.member.At == n.cfg.addresses {
		return p.log, nil
	}
	n.member.Started, n.member.At = true, &n.cfg.addresses
	return p.log, n.member.write(n.cfg.dir)
}

// openPort opens the port to the others. What comes in is served once the rest of
// the orchestrator is there.
func (n *node) openPort(p *peers) error {
	ca, err := n.authority()
	if err != nil {
		return err
	}
	raftCA, err := pki.LoadOrCreateRaft(n.pkiDir(), ca.ClusterID())
	if err != nil {
		return n.explainAuthority(err)
	}
	server, client, err := pki.PeerTLS(ca, raftCA, n.member.Replica, n.hosts(n.cfg.Raft))
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	server = n.observed(server, entryOrchestrators, raftCA.Certificate(), ca.Certificate())
	p.port = port.New(port.Config{
		Listener: n.sockets.takeRaft(), Server: server, Client: client, PeerOf: pki.ReplicaOf, Admit: func(protocol string, replica uint64, remote net.Addr) error {
			return p.admit(n, protocol, replica, remote)
		},
		Book: p.book, Logger: n.cfg.logger,
	})
	n.closed = append(n.closed, p.port)
	return nil
}

// explainRaft adds what to do about a log that does not open, or a member that
// ended by itself.
func (n *node) explainRaft(err error) error {
	if err == nil {
		return nil
	}
	again := fmt.Sprintf("on another machine, or in an empty directory, replace this one: \"quorate cluster add --replace %d\" prints the command", n.member.Replica)
	left := fmt.Sprintf("look at what is left with \"quorate replay --verify --data-dir %s\"", n.cfg.dir)
	compare := fmt.Sprintf("if its history is not that of the others, compare both first: \"quorate replay --verify --data-dir %s\" tells how far it goes, and \"quorate cluster status\" how far they do; which of them holds more acknowledged work is not known here", n.cfg.dir)
	switch {
	case errors.Is(err, raft.ErrNotBootstrapped):
		return fail(exitError, fmt.Errorf("%w, though it is of member %d: its log is gone", err, n.member.Replica), again)
	case errors.Is(err, raft.ErrHalted):
		return fail(exitError, err, compare, again, left, fmt.Sprintf("if it was the only one, put a damaged file back from a copy of the directory and take the log over with \"quorate cluster recover --data-dir %s\", or restore a backup", n.cfg.dir))
	case errors.Is(err, orchestrator.ErrDiffers):
		return fail(exitError, err, compare, again, left)
	case errors.Is(err, raft.ErrDamaged), errors.Is(err, raft.ErrBehind), errors.Is(err, raft.ErrStoreBehind):
		return fail(exitError, err, again, left)
	case errors.Is(err, raft.ErrRemoved), errors.Is(err, peer.ErrRemoved), errors.Is(err, orchestrator.ErrRemoved):
		return hinted(err, "it stays out for ever: start with an empty --data-dir, and what \"quorate cluster add\" prints on another member")
	}
	return err
}

// warnOfLoopback speaks up where others could not reach this orchestrator.
func (n *node) warnOfLoopback(book *port.Book) {
	if !loopback(n.cfg.Raft) {
		return
	}
	if !n.member.Started && !n.member.Joined {
		n.cfg.logger.Warn("orchestrators on other machines cannot join this one: its address is for this machine alone; for a cluster of several, stop it and start it with --raft :7442",
			"raft", n.cfg.Raft)
	}
	for replica, address := range book.All() {
		if replica != n.member.Replica && !loopback(address) {
			n.cfg.logger.Warn("orchestrators elsewhere cannot reach an address that is for this machine alone: give one with --raft",
				"raft", n.cfg.Raft, "replica", replica, "address", address)
			return
		}
	}
}

// configure tells an orchestrator of its peers.
func (p *peers) configure(n *node, c *orchestrator.Config) {
	p.blobs = peer.NewBlobs(peer.BlobsConfig{
		Blobs: c.Blobs, Self: n.member.Replica, Logger: n.cfg.logger,
		Members: func() []uint64 { return p.voters(n) },
		Head: func() uint64 {
			head, _ := p.log.Head()
			return head
		},
		Alarms: func() []string { return alarmTexts(n.orch.Alarms()) },
		Removed: func(replica uint64) (why string) {
			if why = n.dismissed(replica); why != "" {
				n.deniedPeer(replica, nil)
			}
			return why
		},
		AgentFacts: func(ctx context.Context, agent uint64) (*wire.FactsReply, error) {
			return n.orch.OwnAgentFacts(ctx, agent)
		},
		Moved: func(ctx context.Context, now eventlog.OrchestratorMoved) error { return n.orch.Moved(ctx, now) },
		Dial: func(ctx context.Context, replica uint64) (net.Conn, error) {
			return p.port.Dial(ctx, replica, port.Blob)
		},
	})
	c.Cluster, c.Peers, c.Book = replicas{p.log}, p.blobs, p.book.Set
	c.Secrets = func() (map[string][]byte, error) { return pki.Secrets(n.pkiDir()) }
	c.Room = n.room
	c.Self = n.here()
	if r := n.member.Recovered; r != nil {
		c.Recovered = &eventlog.ClusterRecovered{At: r.At, Source: r.Source, By: r.By, Lost: r.Lost}
	}
}

// votersMax bounds the question who votes; what was known last is good enough.
const votersMax = 500 * time.Millisecond

// voters are those whose votes count, or, where nobody knows them yet, all who
// are on record.
func (p *peers) voters(n *node) []uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), votersMax)
	defer cancel()
	members, _ := p.log.Members(ctx) // on an error as of the last time
	voters := members.Voters
	if len(voters) == 0 {
		n.orch.View(func(s *engine.State) { voters = s.Members() })
	}
	return voters
}

// serve answers what the others ask, now that there is an orchestrator to answer,
// and ends the node where Raft has ended.
func (p *peers) serve(ctx context.Context, n *node) {
	p.up.Store(true)
	p.port.Handle(port.Blob, p.blobs.Serve)
	p.port.Handle(port.Join, func(ctx context.Context, conn net.Conn, _ uint64) {
		if err := peer.ServeJoin(ctx, conn, n.orch); err != nil {
			n.deniedJoin(conn, err)
			n.cfg.logger.Debug("request to join", "address", conn.RemoteAddr().String(), "error", err)
		}
	})
	n.group.Go(func() error { return p.watch(ctx, n) })
	n.group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-p.log.Done():
			return n.explainRaft(p.log.Err())
		}
	})
}

// handOverMax bounds how long a leader that stops tries to hand over.
const handOverMax = 1500 * time.Millisecond

// handOver lets another orchestrator lead before this one stops: that is quicker
// than an election.
func (n *node) handOver(ctx context.Context) {
	if n.peers == nil || !n.orch.Leading() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverMax)
	defer cancel()
	members, err := n.peers.log.Members(ctx)
	if err != nil {
		return // there is no majority to lead
	}
	for _, replica := range members.Voters {
		if replica == n.member.Replica {
			continue
		}
		if err := n.peers.log.Transfer(ctx, replica); err == nil {
			n.cfg.logger.Info("handed over", "to", replica)
			return
		}
	}
}

// replicas are a Raft node as the engine knows it, which knows no Raft.
type replicas struct{ *raft.Node }

// Members implements [orchestrator.Cluster].
func (r replicas) Members(ctx context.Context) (orchestrator.Membership, error) {
	m, err := r.Node.Members(ctx)
	return orchestrator.Membership{Voters: m.Voters, Learners: m.Learners, Removed: m.Removed}, err
}

// Alarms implements [orchestrator.Cluster].
func (r replicas) Alarms() []orchestrator.Alarm {
	var out []orchestrator.Alarm
	for _, a := range r.Node.Alarms() {
		out = append(out, orchestrator.Alarm{Code: a.Code, Text: a.Text})
	}
	return out
}

// alarmTexts are alarms as other orchestrators pass them on.
func alarmTexts(alarms []orchestrator.Alarm) (texts []string) {
	for _, a := range alarms {
		texts = append(texts, a.String())
	}
	return texts
}
