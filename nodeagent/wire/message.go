// Package wire is what orchestrator and agent say to each other: the messages,
// their canonical msgpack encoding and their framing on a QUIC stream.
//
// The control stream, opened by the agent, carries frames both ways: a 4-byte
// big-endian length, then a 1-byte message type, then the message as a msgpack
// array. Blobs travel on streams of their own, one per blob, see [BlobRequest].
// A peer is never believed: lengths are capped before anything is allocated and
// decoding never panics.
package wire

import "quorate/internal/job"

// Type numbers the messages. Numbers are appended and never reused.
type Type uint8

// The messages.
const (
	TypeHello    Type = 1  // agent: first on the control stream
	TypeWelcome  Type = 2  // orchestrator: the answer
	TypeDispatch Type = 3  // orchestrator
	TypeCancel   Type = 4  // orchestrator
	TypeResults  Type = 5  // agent
	TypeAck      Type = 6  // orchestrator
	TypeReply    Type = 7  // agent: what became of a dispatch or cancel, where no report says it
	TypeRefuse   Type = 8  // orchestrator: the connection is over, and why
	TypeEnrol    Type = 9  // agent, on an enrolment connection
	TypeEnrolled Type = 10 // orchestrator: the answer
	TypeBlob     Type = 11 // agent: first and only on a stream of its own
	TypePing     Type = 12 // agent: is the orchestrator there?
	TypePong     Type = 13 // orchestrator: it is
	TypeMove     Type = 14 // orchestrator: connect elsewhere

	TypeChallenge Type = 15 // orchestrator: say hello once more
	TypeServers   Type = 16 // orchestrator: where the gateways are now

	TypeLearn      Type = 17 // orchestrator: values that hosts have published
	TypeAsk        Type = 18 // agent: tell me when something is there
	TypeAnswer     Type = 19 // orchestrator: the answer
	TypeFactsAsk   Type = 20 // orchestrator: what do you remember of your host?
	TypeFactsReply Type = 21 // agent: the answer

	TypeCheckpoint Type = 22 // orchestrator: how far the log is signed now
	TypeDistrust   Type = 23 // agent: the log contradicts what was seen before; the connection is over

	TypePackedAgent        Type = 24 // agent: several frames at once, see Reader
	TypePackedOrchestrator Type = 25 // orchestrator: likewise

	TypeTunnel    Type = 26 // agent to relay, and relay to orchestrator: first on a stream of its own
	TypeTunnelled Type = 27 // the answer

	TypeEnded    Type = 28 // orchestrator: an attempt of another agent has ended
	TypeWatch    Type = 29 // agent to relay: first on a stream of its own, and again
	TypeAnnounce Type = 30 // agent to relay, on that stream
	TypeNoticed  Type = 31 // relay to agent, on that stream
)

// A Message is one of the messages above.
type Message interface {
	Type() Type
}

// Hello introduces a connection. The agent's identity is in its certificate.
type Hello struct {
	_msgpack struct{} `msgpack:",as_array"`

	Version    string // of the program
	JournalID  string
	JournalSeq uint64 // of the newest report in the journal
	BootID     string
	Floor      uint64
	EpochMax   uint64
	// Attempts are those that the journal holds, ascending. Of these, Forbidden have not
	// started and never will, and Unstarted have not and may.
	Attempts, Forbidden, Unstarted []uint64
	// Acked is the newest report that a cluster has acknowledged: the journal need
	// not hold it, or any before it, any more.
	Acked uint64
	// Seen are the checkpoints of the cluster's log that the agent remembers.
	Seen []Seen
	// Asked is true where the gateway that the agent is connected to has asked it to go.
	Asked bool
}

// Welcome accepts a connection.
type Welcome struct {
	_msgpack struct{} `msgpack:",as_array"`

	ClusterID string
	Agent     uint64
	Name      string
	Session   string
	Epoch     uint64
	// Acked is the newest report that the cluster has committed.
	Acked uint64
	Floor uint64
	// Servers are the addresses (host:port) of the cluster's gateways, in the order
	// in which this agent is to try them when it connects next.
	Servers []string
	// HeartbeatMillis is how often the agent asks whether the gateway is there.
	HeartbeatMillis uint32
	// LogKey verifies checkpoints, see internal/pki. The agent takes the first that it is told.
	LogKey string
	// Checkpoint is the newest; without a note where there is none.
	Checkpoint Checkpoint
}

// Ping asks for a Pong. An agent that hears nothing from its gateway for a few
// heartbeats connects to another one.
type Ping struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Padding is ignored. A gateway that was killed and started again knows nothing of
	// the connection, and says so at once, by QUIC's stateless reset, but only in answer
	// to a packet that is larger than the reset.
	Padding []byte
}

// pingPaddingBytes makes the smallest packet that a ping travels in one of 56 bytes:
// quic-go answers those of more than 42.
const pingPaddingBytes = 24

// NewPing returns a Ping that is large enough to be answered by whoever has forgotten
// the connection.
func NewPing() *Ping { return &Ping{Padding: make([]byte, pingPaddingBytes)} }

// Pong answers a Ping.
type Pong struct {
	_msgpack struct{} `msgpack:",as_array"`
}

// Move asks the agent to connect to one of these addresses, the first that answers.
// The connection is closed when the agent has done so, or by the gateway soon after.
type Move struct {
	_msgpack struct{} `msgpack:",as_array"`

	Servers []string
	Reason  string
}

// Servers tells a connected agent where the cluster's gateways are, when that has
// changed since it was told. It stays where it is.
type Servers struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Servers are as in Welcome.
	Servers []string
}

// Challenge answers a Hello that does not fit what the cluster has on record. A
// Hello that waited on its way may be older than the record is, so the agent says
// another one now that it has heard of it; only a journal that still does not fit
// is an older copy, or another agent's.
type Challenge struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Acked is the newest report that the cluster has committed.
	Acked uint64
	// Reason says what does not fit.
	Reason string
}

// A Fence is in every command; the agent checks all of it before anything else.
type Fence struct {
	_msgpack struct{} `msgpack:",as_array"`

	ClusterID string
	Session   string
	JournalID string
	Epoch     uint64
}

// Dispatch hands over a committed attempt.
type Dispatch struct {
	_msgpack struct{} `msgpack:",as_array"`

	Fence      Fence
	Attempt    uint64
	Supersedes uint64 // or 0
	// Spec is an encoded [Step]; its SHA-256 is what the journal keeps of it.
	Spec []byte
	// After are the attempts that it waits for: it starts when each of them has ended
	// as it has to, and is given back, not started, when one of them has not.
	After []Predecessor
	// Places is how many attempts of its run may be under way on the host, this one
	// included, once it starts: until then it waits, beside After. 0 is no bound.
	Places uint32
	// Inputs are what became of the tasks that the step's requires and that have no step
	// on its host, as far as all of it is known once After has ended: see [Input].
	Inputs []Input
}

// A Predecessor is an attempt that another one waits for.
type Predecessor struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
	// Any is true where it may also fail or be cancelled.
	Any bool
	// Elsewhere is set where it is an attempt of another agent.
	Elsewhere Elsewhere
}

// Step is what an attempt does: the jobs of one task on one host, in order.
type Step struct {
	_msgpack struct{} `msgpack:",as_array"`

	Run  uint64
	Task string
	Host string
	Jobs []job.Job
	// Vars override the agent's own arguments in templates.
	Vars []job.Option
	// KeepGoing runs the jobs after a failed one all the same.
	KeepGoing   bool
	IgnoreCache bool
	// Publish are the arguments that the plan asks other hosts for, sorted: a job
	// that leaves one with another value publishes it.
	Publish []string
	// Check asks what the jobs would do; nothing of it is done.
	Check bool
	// Service is true for a task of a service, whose jobs the agent leaves alone by the
	// record that it keeps of the step. Those of orchestrations are left alone, as
	// Directord does it, where any job of the same text has succeeded. Where the task
	// runs always its jobs say so, each by SkipCache.
	Service bool
	// Requires are the tasks that the step's requires and that have a step on the host
	// in the same plan, sorted: the agent knows itself what became of them.
	Requires []string
	// FailFast is true where the run starts nothing behind a failure: when one of its
	// attempts on the host fails, what has not started is given back.
	FailFast bool
}

// Cancel ends an attempt, or forbids its start for ever.
type Cancel struct {
	_msgpack struct{} `msgpack:",as_array"`

	Fence   Fence
	Attempt uint64
	Reason  string
	// Unstarted leaves an attempt alone that has started.
	Unstarted bool
}

// Results carries reports in the order of their numbers.
type Results struct {
	_msgpack struct{} `msgpack:",as_array"`

	Reports []Report
}

// A Report is one entry of the agent's journal that the cluster has to commit:
// the end of a job, or, where End is set, of the whole attempt, or, where Began is
// set, that the journal holds the attempt, or, where Published is set, values that
// the job publishes before its end.
type Report struct {
	_msgpack struct{} `msgpack:",as_array"`

	Seq     uint64 // counts from 1 per journal, without holes
	Attempt uint64
	Began   bool
	End     bool
	// Outcome is numbered as eventlog.Outcome.
	Outcome uint8
	// Job, Changed, Exit, StartedAt, Duration, Info and the outputs are those of
	// a job; Reason, OutputDigest and Output of an attempt.
	Job                 uint32
	Changed             bool
	Exit                int32
	StartedAt, Duration int64 // nanoseconds
	Info                string
	Stdout, Stderr      Output
	Reason              string
	OutputDigest        string
	// Published is true for a report of Values; Waits where the job does nothing
	// from here on but wait for other hosts.
	Published, Waits bool
	Values           []Value
	// Output stands for what the step has made of its host, [OutputBytes] long; it is
	// another one where anything has changed that steps which require it have to follow.
	// It is empty where there is nothing to compare: the step has not succeeded, or is of
	// no service.
	Output []byte
}

// Output is a job's output, head and tail.
type Output struct {
	_msgpack struct{} `msgpack:",as_array"`

	Head, Tail []byte
	Size       int64
}

// Ack says what the cluster has committed.
type Ack struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Seq: every report up to it is committed; the agent forgets them.
	Seq uint64
	// Floor: every attempt of this agent up to it is settled; the agent forgets
	// them and answers a dispatch of one with Gone.
	Floor uint64
}

// Status of a Reply.
type Status uint8

// The statuses.
const (
	StatusRunning  Status = 1 // the attempt is known and has not ended
	StatusBusy     Status = 2 // the attempt it supersedes has not ended
	StatusGone     Status = 3 // at or below the floor
	StatusRejected Status = 4 // the fence does not fit, or another spec under the same number
)

// Reply answers a Dispatch that is under way, or a Dispatch or Cancel that led to
// no report.
type Reply struct {
	_msgpack struct{} `msgpack:",as_array"`

	Attempt uint64
	Status  Status
	Reason  string
}

// Refuse ends a connection and says why.
type Refuse struct {
	_msgpack struct{} `msgpack:",as_array"`

	Code   string // revoked, pending, unknown-agent, version, quarantined, busy, forked, flapping
	Reason string
	// AfterMillis is when the agent may come again, in milliseconds from now; 0 does
	// not say.
	AfterMillis uint32
}

// Tunnel asks for a way to an orchestrator: what follows the answer on the stream is
// carried as it is. Within it the agent speaks TLS with the orchestrator, as it would
// without a relay.
type Tunnel struct {
	_msgpack struct{} `msgpack:",as_array"`

	// Address is where the agent has connected to the relay from, as the relay sees
	// it; the agent leaves it empty.
	Address string
}

// Tunnelled answers a Tunnel.
type Tunnelled struct {
	_msgpack struct{} `msgpack:",as_array"`

	Error string // why there is no way; empty where there is one
}

// Enrol asks for an identity. Nothing in it is trusted but the key.
type Enrol struct {
	_msgpack struct{} `msgpack:",as_array"`

	Token     string // the secret part
	PublicKey []byte // PKIX
	Name      string // proposed; counts only where the token has none
	JournalID string
	Hostname  string
	Relay     bool // it is a relay that asks, which shows a relay's token
}

// Enrolled answers Enrol.
type Enrolled struct {
	_msgpack struct{} `msgpack:",as_array"`

	Error string // empty on success
	// Pending is true where an operator has to approve the agent first.
	Pending     bool
	Agent       uint64
	Name        string
	ClusterID   string
	Certificate []byte // DER
	CA          []byte // DER
}

// BlobRequest is the first frame of a blob stream, opened by the agent. The
// orchestrator answers with the blob's 8-byte big-endian size (all ones, that is
// [BlobUnknown]: not known here) and the content from Offset on, see
// [WriteBlobSize].
type BlobRequest struct {
	_msgpack struct{} `msgpack:",as_array"`

	Digest string
	Offset int64
}

// Type implements Message.
func (*Checkpoint) Type() Type { return TypeCheckpoint }

// Type implements Message.
func (*Distrust) Type() Type { return TypeDistrust }

// Type implements Message.
func (*Learn) Type() Type { return TypeLearn }

// Type implements Message.
func (*Ask) Type() Type { return TypeAsk }

// Type implements Message.
func (*Answer) Type() Type { return TypeAnswer }

// Type implements Message.
func (*FactsAsk) Type() Type { return TypeFactsAsk }

// Type implements Message.
func (*FactsReply) Type() Type { return TypeFactsReply }

// Type implements Message.
func (*Hello) Type() Type    { return TypeHello }
func (*Welcome) Type() Type  { return TypeWelcome }
func (*Dispatch) Type() Type { return TypeDispatch }
func (*Cancel) Type() Type   { return TypeCancel }
func (*Results) Type() Type  { return TypeResults }
func (*Ack) Type() Type      { return TypeAck }
func (*Reply) Type() Type    { return TypeReply }
func (*Refuse) Type() Type   { return TypeRefuse }
func (*Enrol) Type() Type    { return TypeEnrol }
func (*Enrolled) Type() Type { return TypeEnrolled }
func (*Ping) Type() Type     { return TypePing }
func (*Pong) Type() Type     { return TypePong }
func (*Move) Type() Type     { return TypeMove }

// Type implements Message.
func (*Challenge) Type() Type { return TypeChallenge }

// Type implements Message.
func (*Servers) Type() Type { return TypeServers }

// Type implements Message.
func (*Tunnel) Type() Type { return TypeTunnel }

// Type implements Message.
func (*Tunnelled) Type() Type { return TypeTunnelled }

// Type implements Message.
func (*BlobRequest) Type() Type { return TypeBlob }
