package raft

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"

	"quorate/eventlog"
	"quorate/raft/port"
)

// Config of a replica.
type Config struct {
	// DataDir holds the store (log.db) and Raft's own files (raft/).
	DataDir string
	// Replica is this orchestrator's number in the cluster, from 1; 0 is 1. A
	// number is never used again for another data directory.
	Replica uint64
	// RaftAddress is where other replicas reach this one, as host:port. A cluster
	// of one replica neither listens nor dials, whatever it is.
	RaftAddress string
	// Bootstrap creates a cluster where DataDir holds none. Without it a
	// directory that holds none is refused, so that a lost disk is not taken for
	// a new cluster.
	Bootstrap bool
	// Join starts a replica that others add to their cluster, in a directory that
	// holds none. A directory that does starts again, whatever it says.
	Join bool
	// Port is how this replica speaks to others, and they to it; its owner serves
	// and closes it. Nil is a cluster of one.
	Port *port.Port
	// Space is when a filling disk is acted upon.
	Space SpaceLimits
	// Logger gets what Raft has to say; nil discards it. The Raft library logs
	// per process: the logger of the first Start in a process gets it.
	Logger *slog.Logger

	// haste hurries where nobody leads.
	haste *haste
	// leader is to hear that it is asked to lead.
	leader *leadership
	// witness halts a replica that lacks what it acknowledged.
	witness *witness
	// signs keep others from an election while a large save is under way.
	signs *signs
	// rebased starts a new Raft log behind records that the store has.
	rebased bool
	// transport replaces Port in tests.
	transport config.TransportFactory
	// space tells how much room there is, in tests.
	space space
	// files are the library's, in tests; nil is the system's.
	files config.IFS
	// wrapLog stands between the library and its log in tests.
	wrapLog func(raftio.ILogDB) raftio.ILogDB
}

// Errors of [Start].
var (
	// ErrNotBootstrapped is wrapped where DataDir holds no replica and Bootstrap is not set.
	ErrNotBootstrapped = errors.New("no cluster in this data directory")
	// ErrBehind is wrapped where Raft's log ends before what it held, or the store has
	// applied: entries that were acknowledged are missing from it.
	ErrBehind = errors.New("raft log lacks what it held")
	// ErrStoreBehind is wrapped where the store ends before Raft's log begins: it
	// was lost or is an old copy, and what is between is not on this replica.
	ErrStoreBehind = errors.New("store ends before the raft log begins")
	// ErrDiverged is wrapped where a replica's records are not those of the others.
	ErrDiverged = errors.New("this replica's log is not the cluster's")
	// ErrHostname is wrapped where the data directory is of another host name.
	ErrHostname = errors.New("data directory belongs to another host name")
	// ErrDamaged is wrapped where Raft's files cannot be read.
	ErrDamaged = errors.New("raft files are damaged")
)

const (
	controlShard = 1
	raftDir      = "raft"
	dirMode      = 0o700

	// tan allocates 16 of them, of which it uses one, and more for a larger save.
	logWriteBufferBytes  = 256 << 10
	incomingSnapshotFile = "log.db.incoming"
)

// The clock of Raft. Every tick, and every heartbeat above all, wakes replicas that
// have nothing to do, so they are as few as a failover of a second allows: the death
// of a process alone is noticed without the clock ([haste]). A follower calls for an
// election 300 to 900 ms behind when the next heartbeat was due, and a heartbeat waits
// for a sync of the leader's log: while syncs take less than 300 ms, nobody calls for
// one without need.
const (
	rttMillis     = 100
	electionRTTs  = 5
	heartbeatRTTs = 2
)

// Bounds of Raft's log. Its entries behind the last snapshot, which is of the
// store's head only, are in memory while a replica starts: 40 MB where each is of
// 64 events of 300 bytes. Another compactionOverhead of them are kept for a follower that
// was away for a while, which else gets all records anew. The newest are held in
// memory: at most so many bytes, behind which proposals are held back.
const (
	snapshotEntries     = 2000
	compactionOverhead  = 5000
	inMemoryLogBytesMax = 64 << 20
)

func (c *Config) normalize() error {
	if c.DataDir == "" {
		return errors.New("raft: no data directory")
	}
	if c.Replica == 0 {
		c.Replica = 1
	}
	if c.Port != nil {
		c.signs = &signs{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func (c *Config) storePath() string { return filepath.Join(c.DataDir, eventlog.StoreFile) }

// address is the replica's name towards the Raft library, which never allows it
// to change: so it is a symbol, which a transport resolves.
func (c *Config) address() string { return addressOf(c.Replica) }

func addressOf(replica uint64) string { return fmt.Sprintf("replica-%d", replica) }

// alone reports that there is nobody to speak to.
func (c *Config) alone() bool { return c.Port == nil && c.transport == nil }

func (c *Config) transportFactory() config.TransportFactory {
	transports := c.plainTransports()
	if c.witness != nil {
		transports = witnessed{transports, c.witness}
	}
	if c.leader != nil {
		transports = handedOver{transports, c.leader}
	}
	if c.haste != nil {
		transports = hastened{transports, c.haste}
	}
	return transports
}

func (c *Config) plainTransports() config.TransportFactory {
	switch {
	case c.transport != nil:
		return c.transport
	case c.Port != nil:
		return &portTransports{port: c.Port, signs: c.signs, haste: c.haste}
	}
	return closedTransport{}
}

// prepare refuses a directory that is not to be started, and creates what is
// missing.
func (c *Config) prepare() error {
	b, err := os.ReadFile(filepath.Join(c.DataDir, unfinishedFile))
	switch {
	case err == nil:
		return fmt.Errorf("%w (%s): run it again", ErrUnfinished, strings.TrimSpace(string(b)))
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("data directory: %w", err)
	}
	if err := checkHalted(c.DataDir, c.Replica); err != nil {
		return err
	}
	return c.prepareDirectory()
}

// prepareDirectory creates the directories.
func (c *Config) prepareDirectory() error {
	dir := filepath.Join(c.DataDir, raftDir)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("raft directory: %w", err)
	}
	if err := os.Remove(filepath.Join(c.DataDir, incomingSnapshotFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("raft directory: %w", err)
	}
	return c.adopt()
}

func (c *Config) nodeHost(logs config.LogDBFactory, leader raftio.IRaftEventListener, life raftio.ISystemEventListener) config.NodeHostConfig {
	if c.wrapLog != nil {
		logs = wrappedLogs{logs, c.wrapLog}
	}
	logdb := config.GetTinyMemLogDBConfig()
	logdb.KVWriteBufferSize = logWriteBufferBytes
	return config.NodeHostConfig{
		NodeHostDir:         filepath.Join(c.DataDir, raftDir),
		RTTMillisecond:      rttMillis,
		RaftAddress:         c.address(),
		RaftEventListener:   leader,
		SystemEventListener: life,
		Expert: config.ExpertConfig{
			LogDBFactory:     logs,
			TransportFactory: c.transportFactory(),
			LogDB:            logdb,
			// Fixed for the life of a data directory.
			Engine: config.EngineConfig{ExecShards: 1, CommitShards: 1, ApplyShards: 1, SnapshotShards: 2, CloseShards: 1},
		},
	}
}

// replica are the settings of Raft itself. One that joined starts without a vote:
// its log then gives it one where it has it.
func (c *Config) replica(joined bool) config.Config {
	return config.Config{
		ReplicaID:           c.Replica,
		ShardID:             controlShard,
		ElectionRTT:         electionRTTs,
		HeartbeatRTT:        heartbeatRTTs,
		CheckQuorum:         true,
		PreVote:             true,
		OrderedConfigChange: true,
		MaxInMemLogSize:     inMemoryLogBytesMax,
		SnapshotEntries:     snapshotEntries,
		CompactionOverhead:  compactionOverhead,
		IsNonVoting:         joined,
		WaitReady:           true,
	}
}
