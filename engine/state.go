// Package engine is the workflow engine as pure functions: State is the fold of
// the log's records, and Decide says which events a leader proposes next.
//
// Nothing in this package does I/O, reads a clock or starts a goroutine; the
// packages below it are its edges: engine/orchestrator drives a log with it,
// engine/gateway talks to agents, engine/api to clients.
package engine

import "quorate/eventlog"

// State is what the records of the log amount to. Only Fold changes it. Readers
// hold the lock of whoever owns it.
type State struct {
	// Index and Time (unix nanoseconds) are of the last record folded.
	Index uint64
	Time  int64
	// Head is the log's chain hash there.
	Head eventlog.Hash

	ClusterID string
	// Generation is of the newest recovery of the cluster, see [State.Serial], and
	// RecoveredAt its index; 0 where there was none.
	Generation  uint64
	RecoveredAt uint64
	// Recoveries are all that began a generation, oldest first.
	Recoveries []Recovery
	// Checkpoint is the newest on record; its Size is 0 where there is none.
	Checkpoint Checkpoint
	// Epoch is the serial of the newest LeaderEstablished, Leader its replica.
	Epoch  uint64
	Leader uint64

	Tokens    map[string]*Token    // by hash
	Operators map[string]*Operator // by name
	Agents    map[uint64]*Agent    // by id
	Plans     map[string]*Graph    // by plan id
	Runs      []*Run               // Runs[i].ID is i+1
	Attempts  map[uint64]*Attempt  // by id

	names       map[string]uint64  // agents that are not revoked, by name
	keys        map[string]uint64  // the same, by digest of their key
	controllers []uint64           // agents with the label of a controller, ascending
	requests    map[string]uint64  // client request id -> index of the event that it led to
	active      []uint64           // runs under way, ascending
	members     map[uint64]*Member // by replica, also those that were
	voided      eventlog.Hash      // over the indexes of all records that were void
	changes     []valueChange      // of values that hosts published, by index
	trimAt      int                // how many changes are too many
	damping     Damping            // as far as it was ever set
	relays      int                // that ever enrolled: without one there are no sites
}

// NewState returns the state of an empty log.
func NewState() *State {
	return &State{
		Tokens:    map[string]*Token{},
		Operators: map[string]*Operator{},
		Agents:    map[uint64]*Agent{},
		Plans:     map[string]*Graph{},
		Attempts:  map[uint64]*Attempt{},
		names:     map[string]uint64{},
		keys:      map[string]uint64{},
		requests:  map[string]uint64{},
		members:   map[uint64]*Member{},
	}
}

// A Token is a join token on record.
type Token struct {
	eventlog.TokenCreated
	Index uint64
	// SpentBy is the agent that used it, or the index of the event that made an
	// orchestrator a member with it, or 0.
	SpentBy uint64
}

// Expired reports whether the token is refused at a time, unix nanoseconds, by the
// clock of who is asked to take it.
func (t *Token) Expired(now int64) bool {
	until := t.Until
	if until == 0 {
		until = t.ExpiresAt
	}
	return now >= until
}

// An Agent is an enrolled agent.
type Agent struct {
	ID         uint64
	Name       string
	Labels     []string
	KeyDigest  string
	JournalID  string
	JournalSeq uint64 // the newest report committed
	EnrolledAt int64
	Hostname   string

	Pending     bool // enrolled, not yet approved
	Revoked     bool
	Quarantined string // the reason; empty where it is not

	Connected bool
	Session   string
	// Connection is the serial of its newest AgentConnected, also when that is over.
	Connection uint64
	Gateway    uint64
	Version    string
	BootID     string
	Address    string
	SeenAt     int64 // of the newest connect or disconnect, unix nanoseconds
	Steadiness
	// Drain is in force where its Index is not 0: see [Agent.Drained].
	Drain Drain

	// Relay is true for the relay of a site: it is given no work. Via is the relay
	// that an agent's newest connection came through, or 0.
	Relay bool
	Via   uint64
	// Transport is what its newest connection goes over: quic, tcp or relay.
	Transport string

	// Open are the agent's attempts that are not settled, ascending.
	Open []uint64
	// Last is the newest attempt that it was ever given.
	Last uint64
	// Lapse is the index of the recovery that lost something which the agent had
	// reported, or 0. Of what it did in runs from before that nobody can be sure.
	Lapse uint64
	// Beyond is the index of the connection that showed its journal to tell of more than
	// is on record, where no recovery says why, or 0: records are lost.
	Beyond uint64
	// Judged is the index of the connection that settled attempts of it because their
	// ends are lost, or 0.
	Judged uint64

	// begun are those of Open that its journal is known to hold, ascending.
	begun []uint64
	// elsewhere counts the attempts of other agents that those of Open wait for.
	elsewhere uint32
	// openBytes is what the steps of Open take, see [State.bytesOf].
	openBytes uint64
	// values are what its host has published, by name; nil where that is nothing.
	values map[string]*Published
}

// Floor is the attempt up to which everything of the agent is settled.
func (a *Agent) Floor() uint64 {
	if len(a.Open) > 0 {
		return a.Open[0] - 1
	}
	return a.Last
}

// NoHost stands for the host of a step that has none: an engine task's only
// step, or a local task's, which runs on the controller agent.
const NoHost = ^uint32(0)

// A Graph is a plan on record, with what scheduling derives from it.
type Graph struct {
	eventlog.PlanRecorded
	Index uint64
	// Dependents are the positions of the tasks that require each task, ascending.
	Dependents [][]uint32

	needs []taskNeeds
	out   [][]edge // parallel to Dependents
	steps int      // over all tasks
	used  []uint32 // hosts that have a step, ascending
	local bool     // has a task for the controller
	tells []bool   // by task: what it led to is told to others, see outputs
	// barren are tasks of the engine that follow from nothing that anybody does.
	barren []bool
	fault  string // why no run of it can be created
}

// TaskStatus is where a task or a step is. A task's status is derived from its
// steps: see the table in docs/states.md.
type TaskStatus uint8

// The statuses of tasks and steps.
const (
	Pending TaskStatus = iota // waits for what it requires
	Ready                     // may be scheduled
	Running                   // an attempt is under way
	Waiting                   // the outcome is unknown, an operator decides
	Done                      // succeeded
	TaskFailed
	TaskSkipped
	TaskCancelled

	statuses = iota // how many there are
)

var statusNames = [statuses]string{
	"pending", "ready", "running", "waiting", "succeeded", "failed", "skipped", "cancelled",
}

// String returns the name that the API and the command line use.
func (s TaskStatus) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "invalid"
}

// Settled reports whether the status is final unless an operator says otherwise.
func (s TaskStatus) Settled() bool { return s >= Done }

// A Run is one execution of a plan.
type Run struct {
	eventlog.RunCreated
	ID    uint64
	Graph *Graph

	CreatedAt, EndedAt int64 // unix nanoseconds
	// Cancelled is set from the cancel on.
	Cancelled *eventlog.RunCancelled
	// Outcome is 0 while the run is under way.
	Outcome eventlog.Outcome

	Tasks []Task
	// Counts over steps, kept by the fold.
	Counts Counts

	// Index is of the record that created the run.
	Index uint64

	queue runQueue
	// dooms are the steps that can never become ready, in the order in which that
	// became known; those before doomed are settled.
	dooms  []doom
	doomed int
	// swept: the tasks before it have no step left to skip in a run that stops.
	swept int
}

// Counts of a run's steps and jobs. An engine task counts as one step.
type Counts struct {
	Steps, Pending, Ready, Running, Waiting   int
	Succeeded, Failed, Skipped, Cancelled     int
	JobsSucceeded, JobsFailed, JobsUnchanged  int
	TasksSettled, TasksSucceeded, TasksFailed int
	TasksSkipped, TasksCancelled              int
}

// A Task of a run. There are so many of them, of steps and of attempts that their
// fields are in an order without gaps.
type Task struct {
	// Steps are parallel to the task's host set; one without host for an engine
	// task. They are nil until the first of them can change: see [Run.Step].
	Steps  []Step
	Status TaskStatus
	// Cause and Reason say why a task was skipped.
	Cause  uint32
	Reason string
	// Messages are what an engine task recorded.
	Messages             []string
	StartedAt, SettledAt int64

	tally [statuses]uint32 // steps by status, also of steps not yet allocated
	unmet uint32           // tasks it waits for as a whole
	doom  uint32           // 1 + the task whose failure keeps it from starting, or 0
	rest  []uint32         // see Run.remaining; nil where that is not known

	outputs *outputs // nil where nothing of it is known, or of use any more
}

// A Step is a task on one host.
type Step struct {
	Host     uint32 // position in the plan's hosts, or NoHost
	Attempts uint32 // how many there were
	// Attempt is the newest attempt, or 0.
	Attempt uint64
	Reason  string

	unmet     uint32 // steps on the same host that it waits for
	doom      uint32 // as Task.doom
	Status    TaskStatus
	retries   uint8 // successors of unknown attempts that nobody was asked for
	unstarted uint8 // attempts that were given back unasked
	parked    bool  // it runs, waits for other hosts, steps or a place, and takes no room in the run
	inLine    bool  // it waits for a place on its host, and for nothing else
}

// An Attempt is one try of a step.
type Attempt struct {
	ID         uint64
	Run        uint64
	Task, Host uint32
	Agent      uint64
	FromJob    uint32
	// NextJob is the least job for a successor to start with, by an operator's word.
	NextJob    uint32
	Supersedes uint64
	Successor  uint64
	Epoch      uint64
	Reason     string
	By         string
	// Outcome is 0 until the attempt is settled.
	Outcome eventlog.Outcome
	// Began is true once the agent's journal is known to hold it.
	Began bool
	// Cancel is true where the agent is to be told to cancel it, and Recall where it
	// is to give it back unless it has started.
	Cancel, Recall bool
	// Late is a definite outcome that came when it could no longer count, or 0.
	Late eventlog.Outcome
	// JobFailed is true where a job of it, or of an attempt that it continues, failed.
	JobFailed bool
	// Reached counts the jobs that it has come to for certain by what it has published:
	// those before the job that published, and that one too where it waits for others.
	Reached uint32
	// Resolved is an operator's word on it: succeeded, failed, retry or empty.
	Resolved, ResolvedBy string
	// Jobs are the results so far.
	Jobs                 JobResults
	ScheduledAt, EndedAt int64
	// After are the attempts that it waits for at its agent, where it was sent ahead: of
	// the same agent, or of others of its site.
	After []Predecessor

	heir  uint64 // the attempt that takes its place in the run when it ends, or 0
	place uint64 // the attempt whose place it waits for, or 0
}
