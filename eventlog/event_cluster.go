package eventlog

// OrchestratorJoined makes an orchestrator part of the cluster under a number that
// none had before. The founder's has no token.
type OrchestratorJoined struct {
	_msgpack struct{} `msgpack:",as_array"`

	Replica   uint64 `json:"replica"`
	TokenHash string `json:"token_hash"`
	// Replaces is the number of the member that leaves for it, or 0.
	Replaces uint64 `json:"replaces"`
	Name     string `json:"name"` // its host's, for display
	// RaftAddress is where other orchestrators reach it, AgentAddress (UDP) agents,
	// APIAddress (HTTPS) operators; empty where it does not serve them.
	RaftAddress  string `json:"raft_address"`
	AgentAddress string `json:"agent_address"`
	APIAddress   string `json:"api_address"`
	By           string `json:"by"`
	// RequestID is the joiner's: it asks again with the same one.
	RequestID string `json:"request_id"`
}

// OrchestratorMoved says under which addresses a member is reached from now on.
type OrchestratorMoved struct {
	_msgpack struct{} `msgpack:",as_array"`

	Replica      uint64 `json:"replica"`
	Name         string `json:"name"`
	RaftAddress  string `json:"raft_address"`
	AgentAddress string `json:"agent_address"`
	APIAddress   string `json:"api_address"`
}

// OrchestratorRemoved ends a member's part in the cluster, for ever.
type OrchestratorRemoved struct {
	_msgpack struct{} `msgpack:",as_array"`

	Replica   uint64 `json:"replica"`
	By        string `json:"by"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

// StateHashed is what a replica says of itself at an index: the chain's hash and
// the state's. A replica that differs from two that agree stops.
type StateHashed struct {
	_msgpack struct{} `msgpack:",as_array"`

	Replica uint64 `json:"replica"`
	At      uint64 `json:"at"`
	Chain   string `json:"chain"` // lower-case hex
	State   string `json:"state"` // lower-case hex
}

// ClusterRecovered says that the cluster was built anew from one member's files or
// from a backup. What other members had acknowledged behind At may be lost. All
// members before are removed; Replica is the only one.
type ClusterRecovered struct {
	_msgpack struct{} `msgpack:",as_array"`

	Replica      uint64 `json:"replica"`
	At           uint64 `json:"at"`
	Source       string `json:"source"` // "member" or "backup"
	By           string `json:"by"`
	Name         string `json:"name"`
	RaftAddress  string `json:"raft_address"`
	AgentAddress string `json:"agent_address"`
	APIAddress   string `json:"api_address"`
	// Generation keeps numbers that come from indexes apart from those that the lost
	// log gave away behind At: when the cluster was recovered, in unix milliseconds. 0 in
	// records from before there were any.
	Generation uint64 `json:"generation" added:"true"`
	// Lost says what may be lost as far as that was known: behind which record, of which
	// other members, and what could not be read. Empty in records from before it was said.
	Lost string `json:"lost" added:"true"`
}

// AttemptBegan says that the agent's journal holds the attempt. From here on an
// agent that comes back without it shows an older copy of its journal.
type AttemptBegan struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64 `json:"attempt"`
	Seq     uint64 `json:"seq"` // of the agent's report
	// Connection is as in JobEnded.
	Connection uint64 `json:"connection" added:"true"`
}

// Kind implements Event.
func (*OrchestratorJoined) Kind() Kind  { return KindOrchestratorJoined }
func (*OrchestratorMoved) Kind() Kind   { return KindOrchestratorMoved }
func (*OrchestratorRemoved) Kind() Kind { return KindOrchestratorRemoved }
func (*StateHashed) Kind() Kind         { return KindStateHashed }
func (*ClusterRecovered) Kind() Kind    { return KindClusterRecovered }
func (*AttemptBegan) Kind() Kind        { return KindAttemptBegan }
