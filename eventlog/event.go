// Package eventlog is the log: the catalogue of events, their canonical
// encoding, the bbolt store with its hash chain, the embedded log of a single
// process, and blobs named by their SHA-256.
//
// It knows what an event looks like and never what one means: folding is the
// engine's business.
package eventlog

// Kind numbers the kinds of events. Numbers are appended and never reused; a
// kind's fields are only ever added to at its end, and a field that was added
// later carries the tag `added:"true"`, so that records from before it decode.
type Kind uint16

// The catalogue. Every event is a fact in the past tense. An event whose
// precondition does not hold at its index is folded as void by the reducer, on
// every replica alike.
const (
	KindLeaderEstablished   Kind = 1
	KindTokenCreated        Kind = 2
	KindAgentEnrolled       Kind = 3
	KindAgentApproved       Kind = 4
	KindAgentRevoked        Kind = 5
	KindAgentConnected      Kind = 6
	KindAgentDisconnected   Kind = 7
	KindAgentQuarantined    Kind = 8
	KindPlanRecorded        Kind = 9
	KindRunCreated          Kind = 10
	KindRunCancelled        Kind = 11
	KindStepScheduled       Kind = 12
	KindJobEnded            Kind = 13
	KindAttemptEnded        Kind = 14
	KindTaskRecorded        Kind = 15
	KindTaskSkipped         Kind = 16
	KindStepResolved        Kind = 17
	KindRunEnded            Kind = 18
	KindClusterCreated      Kind = 19
	KindOperatorIssued      Kind = 20
	KindOrchestratorJoined  Kind = 21
	KindOrchestratorMoved   Kind = 22
	KindOrchestratorRemoved Kind = 23
	KindStateHashed         Kind = 24
	KindClusterRecovered    Kind = 25
	KindAttemptBegan        Kind = 26
	KindValuesPublished     Kind = 27
	KindCheckpointSigned    Kind = 28
	KindGatewayLost         Kind = 29
	KindAgentsSent          Kind = 30
	KindDampingSet          Kind = 31
	KindAgentDrained        Kind = 32
	KindAgentCalmed         Kind = 33
	KindAgentUndrained      Kind = 34
	KindAccessDenied        Kind = 35
	KindOperatorRevoked     Kind = 36
)

// An Event is one entry of the catalogue. The set is closed: encoding and
// decoding know every kind.
type Event interface {
	Kind() Kind
}

// ClusterCreated is the first event of every log.
type ClusterCreated struct {
	_msgpack struct{} `msgpack:",as_array"`

	ClusterID string `json:"cluster_id"` // 16 random bytes, lower-case hex
}

// LeaderEstablished is what a new leader commits before it decides anything. Its
// index is the epoch that fences everything sent by earlier leaders.
type LeaderEstablished struct {
	_msgpack struct{} `msgpack:",as_array"`

	Replica uint64 `json:"replica"`
	Version string `json:"version"` // of the program
}

// TokenCreated records a join token: its hash, never the token.
type TokenCreated struct {
	_msgpack struct{} `msgpack:",as_array"`

	TokenHash string   `json:"token_hash"` // SHA-256 of the secret part, lower-case hex
	Name      string   `json:"name"`       // the agent's name; empty lets the agent propose one
	Role      string   `json:"role"`       // agent, relay, orchestrator or operator
	Labels    []string `json:"labels"`
	// AutoApprove lets the agent work at once although Name is empty.
	AutoApprove bool `json:"auto_approve"`
	// ExpiresAt is by the log's clock, which does not go back after it was set
	// ahead: unix nanoseconds.
	ExpiresAt int64  `json:"expires_at"`
	By        string `json:"by"`
	// Until is by the clock of who is asked to take it, unix nanoseconds; 0 is ExpiresAt.
	Until int64 `json:"until" added:"true"`
}

// AgentEnrolled spends a token. The serial of the record (engine.State.Serial:
// its index, where the cluster was never recovered) is the agent's id.
type AgentEnrolled struct {
	_msgpack struct{} `msgpack:",as_array"`

	TokenHash string `json:"token_hash"`
	// Name is the token's, or what the agent proposed where the token has none.
	Name      string `json:"name"`
	KeyDigest string `json:"key_digest"` // SHA-256 of the public key in PKIX form, lower-case hex
	JournalID string `json:"journal_id"`
	Hostname  string `json:"hostname"` // for display only; claimed by the agent
}

// AgentApproved lets an agent work that enrolled without a name of the cluster's choosing.
type AgentApproved struct {
	_msgpack struct{} `msgpack:",as_array"`

	Agent     uint64 `json:"agent"`
	By        string `json:"by"`
	RequestID string `json:"request_id"`
}

// AgentRevoked ends an agent's right to connect, for ever.
type AgentRevoked struct {
	_msgpack struct{} `msgpack:",as_array"`

	Agent     uint64 `json:"agent"`
	By        string `json:"by"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

// AgentConnected says that a gateway has an agent's connection.
type AgentConnected struct {
	_msgpack struct{} `msgpack:",as_array"`

	Agent      uint64 `json:"agent"`
	Gateway    uint64 `json:"gateway"` // replica
	Session    string `json:"session"` // nonce of the connection
	Version    string `json:"version"` // of the program, and the protocol that it speaks
	BootID     string `json:"boot_id"`
	JournalID  string `json:"journal_id"`
	JournalSeq uint64 `json:"journal_seq"`
	Address    string `json:"address"`
	// Acked is the newest report that a cluster has acknowledged to the journal, Floor
	// the attempt up to which it said that all are settled, and Attempts are those that
	// the journal holds. Where the log has lost records they tell of more than is on
	// record.
	Acked    uint64   `json:"acked" added:"true"`
	Floor    uint64   `json:"floor" added:"true"`
	Attempts []uint64 `json:"attempts" added:"true"`
	// Held is true where an attempt that the journal is known to hold has to be among
	// them: the connection is void otherwise, since the agent has begun it meanwhile,
	// or shows another journal than it had.
	Held bool `json:"held" added:"true"`
	// Relay is the number of the relay that the connection came through, or 0.
	Relay uint64 `json:"relay" added:"true"`
	// Came says why the agent connects; 0 in records from before that was told.
	Came Arrival `json:"came" added:"true"`
	// Transport is what the connection goes over: quic, tcp, or relay for one that is
	// passed on; empty in records from before that was told.
	Transport string `json:"transport" added:"true"`
}

// AgentDisconnected says that the connection of this session is gone.
type AgentDisconnected struct {
	_msgpack struct{} `msgpack:",as_array"`

	Agent   uint64 `json:"agent"`
	Session string `json:"session"`
	Reason  string `json:"reason"`
	// Blameless is true where it was the orchestrator's doing.
	Blameless bool `json:"blameless" added:"true"`
}

// AgentQuarantined says that an agent's journal was lost, cloned or rolled back.
// Its attempts under way become unknown. It counts again for an agent in quarantine
// where it names attempts that are disproved.
type AgentQuarantined struct {
	_msgpack struct{} `msgpack:",as_array"`

	Agent      uint64 `json:"agent"`
	Reason     string `json:"reason"`
	JournalID  string `json:"journal_id"` // what the agent showed
	JournalSeq uint64 `json:"journal_seq"`
	// Disproved are the attempts on record as not started that may have started all the
	// same, by a journal which does not know that they never shall.
	Disproved []uint64 `json:"disproved" added:"true"`
}

// PlanRecorded puts a plan's graph on record. The plan itself and its inputs are
// blobs; the graph is here so that the log can be folded and read without them.
type PlanRecorded struct {
	_msgpack struct{} `msgpack:",as_array"`

	PlanID         string      `json:"plan_id"` // SHA-256 of the plan's bytes, lower-case hex
	PlannerVersion string      `json:"planner_version"`
	Hosts          []string    `json:"hosts"`
	HostSets       [][]uint32  `json:"host_sets"`
	Tasks          []PlanTask  `json:"tasks"`
	Inputs         []PlanInput `json:"inputs"`
	By             string      `json:"by"`
}

// PlanTask is the part of a task that scheduling needs.
type PlanTask struct {
	_msgpack struct{} `msgpack:",as_array"`

	ID         string    `json:"id"`
	Driver     string    `json:"driver"`
	HostSet    uint32    `json:"host_set"` // the hosts that have a step: of the task and of its jobs
	Requires   []PlanDep `json:"requires"`
	Jobs       uint32    `json:"jobs"` // number of jobs over all hosts' lists
	Idempotent bool      `json:"idempotent"`
	KeepGoing  bool      `json:"keep_going"`
	// Messages are what a task of the engine records.
	Messages []string `json:"messages"`
	// JobHostSets holds the host set of each job, in order; empty where every job
	// is for all hosts of HostSet.
	JobHostSets []uint32 `json:"job_host_sets"`
	// Bytes is what the task's step takes when it is sent to the host that it takes most
	// for; 0 in records from before that was told.
	Bytes uint32 `json:"bytes" added:"true"`
	// Narrowed is true where the task has hosts, or the engine's task follows from tasks,
	// that the operator left out: what it led to here does not stand for all of it.
	Narrowed bool `json:"narrowed" added:"true"`
}

// PlanDep is an edge of the graph. Scope is planner.Scope.
type PlanDep struct {
	_msgpack struct{} `msgpack:",as_array"`

	Task  uint32 `json:"task"`
	Scope uint8  `json:"scope"`
}

// PlanInput names a file that the plan was compiled from.
type PlanInput struct {
	_msgpack struct{} `msgpack:",as_array"`

	Role   string `json:"role"`
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// RunCreated starts an execution of a plan. Runs are numbered from 1 in the
// order of these events.
type RunCreated struct {
	_msgpack struct{} `msgpack:",as_array"`

	PlanID    string `json:"plan_id"`
	RequestID string `json:"request_id"`
	By        string `json:"by"`
	// StepsMax bounds the steps under way in the run, StepsPerHostMax those on
	// one host. 0 is the engine's default.
	StepsMax        uint32 `json:"steps_max"`
	StepsPerHostMax uint32 `json:"steps_per_host_max"`
	FailFast        bool   `json:"fail_fast"`
	IgnoreCache     bool   `json:"ignore_cache"`
	// ControllerAgent names the agent that local tasks run on; empty picks one by label.
	ControllerAgent string `json:"controller_agent"`
	// Check asks the agents what their jobs would do, and has them do nothing of it.
	Check bool `json:"check" added:"true"`
	// AheadMax bounds the attempts that one agent holds when steps are sent ahead of
	// what they wait for on the same host, or its site; 0 sends none ahead.
	AheadMax uint32 `json:"ahead_max" added:"true"`
	// RetryOf is the run whose rest this one does: what has succeeded there counts as
	// done here. It is 0 for a run of its own.
	RetryOf uint64 `json:"retry_of" added:"true"`
	// RetryUnknown is an operator's word that steps are done once more of which nobody
	// knows whether they had their effect, and RetryReason why.
	RetryUnknown bool   `json:"retry_unknown" added:"true"`
	RetryReason  string `json:"retry_reason" added:"true"`
	// Lines is true where steps may wait for places at their agents also where the run
	// fails fast or may have less under way than its hosts together; false in records from
	// before they might. Asks is true where jobs of the plan ask other hosts for values.
	Lines bool `json:"lines" added:"true"`
	Asks  bool `json:"asks" added:"true"`
}

// RunCancelled asks for a run's end: nothing new starts, and what is under way is cancelled.
type RunCancelled struct {
	_msgpack struct{} `msgpack:",as_array"`

	Run       uint64 `json:"run"`
	By        string `json:"by"`
	Reason    string `json:"reason"`
	RequestID string `json:"request_id"`
}

// StepScheduled starts an attempt of a step. The serial of the record is the
// attempt's id, as with agents.
type StepScheduled struct {
	_msgpack struct{} `msgpack:",as_array"`

	Run   uint64 `json:"run"`
	Task  uint32 `json:"task"`
	Host  uint32 `json:"host"` // position in the plan's hosts
	Agent uint64 `json:"agent"`
	// Supersedes is the attempt before, or 0.
	Supersedes uint64 `json:"supersedes"`
	Epoch      uint64 `json:"epoch"`
	// FromJob is the index of the first job to run: 0 for a first attempt, behind
	// what is known to be done for a successor.
	FromJob uint32 `json:"from_job"`
	// Ahead is true where the step still waits for others that are under way on the
	// same host, or on hosts of its site: the agents keep their order.
	Ahead bool `json:"ahead" added:"true"`
	// Queues is true where the step may wait at its agent for one of the places that
	// its run has on the host, since they were all taken.
	Queues bool `json:"queues" added:"true"`
	// Places is how many of the run's places the host has from here on, where it is dealt
	// some with this step, and 0 where it has what it had.
	Places uint32 `json:"places" added:"true"`
}

// Outcome of a job, an attempt or a run.
type Outcome uint8

// The outcomes. Numbers are part of the log's format.
const (
	Succeeded  Outcome = 1
	Failed     Outcome = 2
	Skipped    Outcome = 3
	Cancelled  Outcome = 4
	NotStarted Outcome = 5
	Unknown    Outcome = 6
)

// JobEnded is the result of one job of an attempt.
type JobEnded struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64  `json:"attempt"`
	Job     uint32  `json:"job"`
	Outcome Outcome `json:"outcome"`
	// Changed is false where the job found nothing to do, or its cached success held.
	Changed bool  `json:"changed"`
	Exit    int32 `json:"exit"` // of a command; -1 where there is none
	// StartedAt and Duration are by the agent's clock, in nanoseconds.
	StartedAt int64  `json:"started_at"`
	Duration  int64  `json:"duration"`
	Info      string `json:"info"`
	Stdout    Output `json:"stdout"`
	Stderr    Output `json:"stderr"`
	Seq       uint64 `json:"seq"` // of the agent's report; 0 where there was none
	// Connection is the serial of the AgentConnected of the connection that the report
	// came by, 0 where there was none. A report that a gateway still had in hand when
	// the agent connected elsewhere does not count any more.
	Connection uint64 `json:"connection" added:"true"`
}

// Output is what a job printed, capped: the head and the tail are kept.
type Output struct {
	_msgpack struct{} `msgpack:",as_array"`

	Head []byte `json:"head"`
	Tail []byte `json:"tail"`
	// Size is of the whole output in bytes; Size > len(Head)+len(Tail) means that
	// the middle was dropped.
	Size int64 `json:"size"`
}

// AttemptEnded settles an attempt. Evidence for an attempt that is already
// settled is kept, and changes nothing where it has a successor.
type AttemptEnded struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64  `json:"attempt"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"`
	// By is empty for the agent's own word, otherwise who gave up on it.
	By string `json:"by"`
	// OutputDigest is the SHA-256 over the outputs of the attempt's jobs.
	OutputDigest string `json:"output_digest"`
	Seq          uint64 `json:"seq"` // of the agent's report; 0 where there was none
	// Connection is as in JobEnded.
	Connection uint64 `json:"connection" added:"true"`
	// Output stands for what the step left behind, as its host's record of it says: 16
	// bytes that change when what depends on the step has to run again. It is empty where
	// there is no record, and in those from before there were any.
	Output []byte `json:"output" added:"true"`
}

// TaskRecorded settles a task that the engine does itself (print, service, noop).
type TaskRecorded struct {
	_msgpack struct{} `msgpack:",as_array"`

	Run      uint64   `json:"run"`
	Task     uint32   `json:"task"`
	Messages []string `json:"messages"`
}

// TaskSkipped settles the steps of a task that will not run. Hosts is empty for all of them.
type TaskSkipped struct {
	_msgpack struct{} `msgpack:",as_array"`

	Run   uint64   `json:"run"`
	Task  uint32   `json:"task"`
	Hosts []uint32 `json:"hosts"`
	// Cause is the task whose failure is the reason, or the task itself where
	// the run was cancelled or fails fast.
	Cause  uint32 `json:"cause"`
	Reason string `json:"reason"`
}

// StepResolved is an operator's word on an attempt whose outcome is unknown.
type StepResolved struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt   uint64 `json:"attempt"`
	As        string `json:"as"` // succeeded, failed or retry
	Reason    string `json:"reason"`
	By        string `json:"by"`
	RequestID string `json:"request_id"`
}

// RunEnded closes a run.
type RunEnded struct {
	_msgpack struct{} `msgpack:",as_array"`

	Run     uint64  `json:"run"`
	Outcome Outcome `json:"outcome"` // Succeeded, Failed or Cancelled
}

// OperatorIssued says that an operator was given a certificate for the HTTPS API.
// The key is the operator's alone: the log has its digest.
type OperatorIssued struct {
	_msgpack struct{} `msgpack:",as_array"`

	Name      string `json:"name"`
	KeyDigest string `json:"key_digest"` // SHA-256 of the public key in PKIX form, lower-case hex
	By        string `json:"by"`
	ExpiresAt int64  `json:"expires_at"` // of the certificate, unix nanoseconds
	// Renews is the digest of the key by whose certificate the operator asked for this
	// one, empty where somebody else issued it. It is void where that one is revoked.
	Renews string `json:"renews" added:"true"`
}

// Kind implements Event.
func (*ClusterCreated) Kind() Kind    { return KindClusterCreated }
func (*LeaderEstablished) Kind() Kind { return KindLeaderEstablished }
func (*TokenCreated) Kind() Kind      { return KindTokenCreated }
func (*AgentEnrolled) Kind() Kind     { return KindAgentEnrolled }
func (*AgentApproved) Kind() Kind     { return KindAgentApproved }
func (*AgentRevoked) Kind() Kind      { return KindAgentRevoked }
func (*AgentConnected) Kind() Kind    { return KindAgentConnected }
func (*AgentDisconnected) Kind() Kind { return KindAgentDisconnected }
func (*AgentQuarantined) Kind() Kind  { return KindAgentQuarantined }
func (*PlanRecorded) Kind() Kind      { return KindPlanRecorded }
func (*RunCreated) Kind() Kind        { return KindRunCreated }
func (*RunCancelled) Kind() Kind      { return KindRunCancelled }
func (*StepScheduled) Kind() Kind     { return KindStepScheduled }
func (*JobEnded) Kind() Kind          { return KindJobEnded }
func (*AttemptEnded) Kind() Kind      { return KindAttemptEnded }
func (*TaskRecorded) Kind() Kind      { return KindTaskRecorded }
func (*TaskSkipped) Kind() Kind       { return KindTaskSkipped }
func (*StepResolved) Kind() Kind      { return KindStepResolved }
func (*RunEnded) Kind() Kind          { return KindRunEnded }
func (*OperatorIssued) Kind() Kind    { return KindOperatorIssued }
