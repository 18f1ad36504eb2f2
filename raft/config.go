package raft

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"

	"quorate/eventlog"
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
	// Logger gets what Raft has to say; nil discards it. The Raft library logs
	// per process: the logger of the first Start in a process gets it.
	Logger *slog.Logger
}

// Errors of [Start].
var (
	// ErrNotBootstrapped is wrapped where DataDir holds no replica and Bootstrap is not set.
	ErrNotBootstrapped = errors.New("no cluster in this data directory")
	// ErrBehind is wrapped where Raft's log ends before what the store has
	// applied: entries that were acknowledged are missing from it.
	ErrBehind = errors.New("raft log ends before what was applied")
	// ErrStoreBehind is wrapped where the store ends before Raft's log begins: it
	// was lost or is an old copy, and what is between is not on this replica.
	ErrStoreBehind = errors.New("store ends before the raft log begins")
	// ErrHostname is wrapped where the data directory is of another host name.
	ErrHostname = errors.New("data directory belongs to another host name")
	// ErrDamaged is wrapped where Raft's files cannot be read.
	ErrDamaged = errors.New("raft files are damaged")
)

const (
	controlShard = 1
	raftDir      = "raft"
	dirMode      = 0o700

	rttMillis            = 10
	electionRTTs         = 10
	heartbeatRTTs        = 1
	snapshotEntries      = 10000
	compactionOverhead   = 5000
	inMemoryLogBytesMax  = 256 << 20
	logWriteBufferBytes  = 1 << 20 // tan allocates 16 of them
	incomingSnapshotFile = "log.db.incoming"
)

func (c *Config) normalize() error {
	if c.DataDir == "" {
		return errors.New("raft: no data directory")
	}
	if c.Replica == 0 {
		c.Replica = 1
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func (c *Config) storePath() string { return filepath.Join(c.DataDir, eventlog.StoreFile) }

// address is the replica's name towards the Raft library, which never allows it
// to change: so it is a symbol, which a transport resolves.
func (c *Config) address() string { return fmt.Sprintf("replica-%d", c.Replica) }

// prepare creates the directories. The Raft library keeps its files below the
// host's name, so that under another one it would see an empty directory and
// start anew.
func (c *Config) prepare() error {
	dir := filepath.Join(c.DataDir, raftDir)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("raft directory: %w", err)
	}
	if err := os.Remove(filepath.Join(c.DataDir, incomingSnapshotFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("raft directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("raft directory: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	var hosts []string
	for _, e := range entries {
		if e.IsDir() {
			hosts = append(hosts, e.Name())
		}
	}
	if len(hosts) > 0 && !slices.Contains(hosts, host) {
		return fmt.Errorf("%w: %s is of %s and this host is %s", ErrHostname, dir, strings.Join(hosts, ", "), host)
	}
	return nil
}

func (c *Config) nodeHost(g *guard, events raftio.IRaftEventListener) config.NodeHostConfig {
	logdb := config.GetTinyMemLogDBConfig()
	logdb.KVWriteBufferSize = logWriteBufferBytes
	return config.NodeHostConfig{
		NodeHostDir:       filepath.Join(c.DataDir, raftDir),
		RTTMillisecond:    rttMillis,
		RaftAddress:       c.address(),
		RaftEventListener: events,
		Expert: config.ExpertConfig{
			LogDBFactory:     g,
			TransportFactory: closedTransport{},
			LogDB:            logdb,
			// Fixed for the life of a data directory.
			Engine: config.EngineConfig{ExecShards: 1, CommitShards: 1, ApplyShards: 1, SnapshotShards: 2, CloseShards: 1},
		},
	}
}

func (c *Config) replica() config.Config {
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
		WaitReady:           true,
	}
}
