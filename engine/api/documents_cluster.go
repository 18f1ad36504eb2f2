package api

import "time"

// Cluster is GET /v1/cluster: the orchestrators, as one of them sees it.
type Cluster struct {
	Schema    string `json:"schema"`
	ClusterID string `json:"cluster_id"`
	// Replica is the number of the orchestrator that answers.
	Replica uint64 `json:"replica"`
	// Leader is the number of the one that leads, 0 where none is known.
	Leader uint64 `json:"leader"`
	Epoch  uint64 `json:"epoch"`
	// Seq and Head are of the newest record that is folded by who answers.
	Seq  uint64 `json:"seq"`
	Head string `json:"head"`
	// Stale: no majority could be asked, so that all of this may be out of date.
	Stale bool `json:"stale"`
	// Voters counts the members whose votes count, Majority how many of them are needed.
	Voters   int `json:"voters"`
	Majority int `json:"majority"`
	// Members are the orchestrators by number, those that were removed as well.
	Members []Member `json:"members"`
	// Alarms are those of the orchestrator that answers.
	Alarms []string `json:"alarms,omitempty"`
	// Log is what the log takes on the disk of the orchestrator that answers; absent
	// where that is not known.
	Log *LogSizes `json:"log,omitempty"`
}

// LogSizes is what the log takes on an orchestrator's disk.
type LogSizes struct {
	// LiveRecords are in log.db, which has LiveBytes; of these FreeBytes are used again
	// before it grows.
	LiveRecords uint64 `json:"live_records"`
	LiveBytes   int64  `json:"live_bytes"`
	FreeBytes   int64  `json:"free_bytes"`
	// Segments counts the segment files, which have SegmentBytes and hold the records
	// up to Sealed.
	Segments     int    `json:"segments"`
	SegmentBytes int64  `json:"segment_bytes"`
	Sealed       uint64 `json:"sealed"`
	// HeldBy is the run under way that keeps records in log.db which the bounds would
	// move, or absent.
	HeldBy uint64 `json:"held_by,omitempty"`
}

// Member is one orchestrator in GET /v1/cluster.
type Member struct {
	Replica uint64 `json:"replica"`
	Name    string `json:"name"`
	// Role is voter, learner (it catches up), joining (on record, and not
	// replicating yet), removed, or unknown where no majority could be asked.
	Role string `json:"role"`
	// Leader is true for the one that leads, Self for the one that answers.
	Leader bool `json:"leader,omitempty"`
	Self   bool `json:"self,omitempty"`
	// Reachable says whether who answers has it on the line; absent where that was
	// not asked.
	Reachable *bool `json:"reachable,omitempty"`
	// Seq is the newest record that it holds, Lag by how many it is behind who
	// answers; absent where it could not be asked.
	Seq *uint64 `json:"seq,omitempty"`
	Lag *uint64 `json:"lag,omitempty"`
	// LogVersion says which records its program reads: each release that adds to the log
	// has one more. 0 is from before that was told; absent where it could not be asked.
	LogVersion *uint32 `json:"log_version,omitempty"`
	// The addresses under which it is reached, by orchestrators, agents and
	// operators; empty where it does not serve them.
	RaftAddress  string    `json:"raft_address"`
	AgentAddress string    `json:"agent_address,omitempty"`
	APIAddress   string    `json:"api_address,omitempty"`
	JoinedAt     time.Time `json:"joined_at"`
	// Agents counts the agents that are connected to it.
	Agents int `json:"agents"`
	// Reason is why it is no member any more.
	Reason string `json:"reason,omitempty"`
	// Alarms are what is wrong with it, as far as who answers knows: a code, a colon
	// and what helps.
	Alarms []string `json:"alarms,omitempty"`
}

// MemberRemove is the body of POST /v1/cluster/remove.
type MemberRemove struct {
	Schema    string `json:"schema"`
	RequestID string `json:"request_id"`
	Replica   uint64 `json:"replica"`
	Reason    string `json:"reason,omitempty"`
	// Force removes it also where too few of the others seem to be there.
	Force bool `json:"force,omitempty"`
}

// LeadTransfer is the body of POST /v1/cluster/transfer.
type LeadTransfer struct {
	Schema  string `json:"schema"`
	Replica uint64 `json:"replica"`
}
