// Package api is the HTTP API of an orchestrator, version 1: JSON over a unix
// socket for local administrators and over mutual TLS for others. It holds the
// server, the client that the command line uses, and the types of both.
package api

import "time"

// Schema versions the JSON documents. Fields are only ever added.
const Schema = "quorate/v1"

// An Error is the body of every answer that is not 2xx.
type Error struct {
	Schema string `json:"schema"`
	// Code is stable: invalid, not-found, conflict, unauthorized, unavailable, internal.
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Unrecorded: the command was turned away, and nothing can come of it. Without
	// it an answer that is unavailable leaves open whether it was recorded.
	Unrecorded bool `json:"unrecorded,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// PlanSubmit is the body of POST /v1/plans. The blobs that it names must have
// been uploaded with PUT /v1/blobs/{digest}.
type PlanSubmit struct {
	Schema string `json:"schema"`
	PlanID string `json:"plan_id"`
}

// BlobsMissing answers POST /v1/blobs/missing with the digests, of those in the
// request's list, that the orchestrator does not have.
type BlobsMissing struct {
	Schema  string   `json:"schema"`
	Digests []string `json:"digests"`
}

// Plan is a recorded plan: the answer to POST /v1/plans and GET /v1/plans/{id}.
// Its bytes are the blob of the same digest.
type Plan struct {
	Schema         string `json:"schema"`
	ID             string `json:"id"`
	PlannerVersion string `json:"planner_version"`
	// Seq is the log index of its record.
	Seq    uint64      `json:"seq"`
	By     string      `json:"by"`
	Hosts  int         `json:"hosts"`
	Tasks  int         `json:"tasks"`
	Inputs []PlanInput `json:"inputs,omitempty"`
}

// PlanInput names a file that a plan was compiled from.
type PlanInput struct {
	Role   string `json:"role"`
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// Runs is the answer to GET /v1/runs, newest first.
type Runs struct {
	Schema string `json:"schema"`
	Runs   []Run  `json:"runs"`
}

// Agents is the answer to GET /v1/agents, by name, and with kind=relay of relays.
type Agents struct {
	Schema string  `json:"schema"`
	Agents []Agent `json:"agents"`
}

// RunSubmit is the body of POST /v1/runs.
type RunSubmit struct {
	Schema    string `json:"schema"`
	PlanID    string `json:"plan_id"`
	RequestID string `json:"request_id"`
	// Parallel bounds the steps under way, ParallelPerHost those on one host; 0
	// is the engine's default.
	Parallel        uint32 `json:"parallel,omitempty"`
	ParallelPerHost uint32 `json:"parallel_per_host,omitempty"`
	// Ahead bounds what each agent is sent ahead of what it waits for on the same
	// host: 0 sends nothing ahead, absent is the default of 1024.
	Ahead       *uint32 `json:"ahead,omitempty"`
	FailFast    bool    `json:"fail_fast,omitempty"`
	IgnoreCache bool    `json:"ignore_cache,omitempty"`
	// Controller names the agent that local tasks run on; empty picks one by label.
	Controller string `json:"controller,omitempty"`
	// Check asks what the jobs would do; nothing of it is done.
	Check bool `json:"check,omitempty"`
}

// Run is a run in GET /v1/runs and GET /v1/runs/{id}.
type Run struct {
	Schema string `json:"schema"`
	ID     uint64 `json:"id"`
	PlanID string `json:"plan_id"`
	By     string `json:"by"`
	// Check is true of a run that only says what it would do: its jobs have changed
	// nothing, and "changed" is what they would have.
	Check bool `json:"check,omitempty"`
	// RetryOf is the run whose rest this one does, RetryReason why.
	RetryOf     uint64 `json:"retry_of,omitempty"`
	RetryReason string `json:"retry_reason,omitempty"`
	// Status is running, waiting (for an operator), cancelling, succeeded, failed or cancelled.
	Status    string     `json:"status"`
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	ElapsedMS int64      `json:"elapsed_ms"`
	Summary   Summary    `json:"summary"`
	// Tasks is only in GET /v1/runs/{id}.
	Tasks []Task `json:"tasks,omitempty"`
	// WaitingFor says what the run cannot go on without: unknown outcomes, agents
	// that are absent or drained.
	WaitingFor []string `json:"waiting_for,omitempty"`
}

// Done reports whether the run has ended.
func (r *Run) Done() bool {
	return r.Status == "succeeded" || r.Status == "failed" || r.Status == "cancelled"
}

// Summary counts a run's tasks, steps (tasks × hosts) and jobs.
type Summary struct {
	Tasks     int `json:"tasks"`
	TasksDone int `json:"tasks_done"`
	Steps     int `json:"steps"`
	Jobs      int `json:"jobs"`
	// Of steps:
	Succeeded int `json:"succeeded"`
	Skipped   int `json:"skipped"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
	Unknown   int `json:"unknown"`
	// Unchanged counts the jobs that found nothing to do, Changed the others that succeeded.
	Unchanged int `json:"unchanged"`
	Changed   int `json:"changed"`
}

// Task is a task of a run.
type Task struct {
	ID string `json:"id"`
	// Status is pending, ready, running, waiting, succeeded, failed, skipped or cancelled.
	Status   string   `json:"status"`
	Driver   string   `json:"driver"`
	Reason   string   `json:"reason,omitempty"`
	Messages []string `json:"messages,omitempty"`
	Steps    []Step   `json:"steps,omitempty"`
}

// Step is a task on one host.
type Step struct {
	// ID is "<task>@<host>", what run resolve takes.
	ID     string `json:"id"`
	Host   string `json:"host"`
	Status string `json:"status"`
	// Attempt is the newest attempt; 0 is none yet. In a cluster that was never
	// recovered it is the log index of its record.
	Attempt  uint64 `json:"attempt"`
	Attempts uint32 `json:"attempts"`
	Reason   string `json:"reason,omitempty"`
	Jobs     []Job  `json:"jobs,omitempty"`
}

// Job is the result of one job of a step's newest attempt.
type Job struct {
	Job        uint32 `json:"job"`
	Outcome    string `json:"outcome"`
	Changed    bool   `json:"changed"`
	Exit       int32  `json:"exit"`
	DurationMS int64  `json:"duration_ms"`
	// Seq is the log index of the record that holds the output.
	Seq uint64 `json:"seq"`
}

// RunEvent is one line of GET /v1/runs/{id}/watch (NDJSON) and of apply -o ndjson.
type RunEvent struct {
	Schema string    `json:"schema"`
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	// Type is run-started, step-started, job-ended, step-ended, task-ended,
	// run-waiting, run-resumed, run-cancelling or run-ended.
	Type string `json:"type"`
	Run  uint64 `json:"run"`
	// Check is true where the run only says what it would do.
	Check   bool   `json:"check,omitempty"`
	Task    string `json:"task,omitempty"`
	Host    string `json:"host,omitempty"`
	Attempt uint64 `json:"attempt,omitempty"`
	Job     *Job   `json:"job,omitempty"`
	// Outcome is of the step, task or run that ended.
	Outcome  string   `json:"outcome,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Messages []string `json:"messages,omitempty"`
	// Summary comes with run-started, task-ended, run-waiting and run-ended.
	Summary *Summary `json:"summary,omitempty"`
}

// Output is one job's output in GET /v1/runs/{id}/output (NDJSON).
type Output struct {
	Schema  string `json:"schema"`
	Task    string `json:"task"`
	Host    string `json:"host"`
	Attempt uint64 `json:"attempt"`
	Job     uint32 `json:"job"`
	Verb    string `json:"verb,omitempty"`
	Name    string `json:"name,omitempty"`
	Outcome string `json:"outcome"`
	Changed bool   `json:"changed"`
	Exit    int32  `json:"exit"`
	Info    string `json:"info,omitempty"`
	// Stdout and Stderr are UTF-8 with other bytes replaced; Truncated bytes were
	// dropped from the middle of the two together.
	Stdout     string `json:"stdout"`
	Stderr     string `json:"stderr"`
	Truncated  int64  `json:"truncated,omitempty"`
	DurationMS int64  `json:"duration_ms"`
}

// LogEvent is one record in GET /v1/log (NDJSON; ?since=SEQ&follow=1&kind=K&run=R).
type LogEvent struct {
	Schema string    `json:"schema"`
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"` // e.g. step_scheduled
	Hash   string    `json:"hash"`
	// Void is true where the event's precondition did not hold.
	Void bool `json:"void,omitempty"`
	// VoidReason says which precondition that was.
	VoidReason string `json:"void_reason,omitempty"`
	Run        uint64 `json:"run,omitempty"`
	// Event holds the event's fields by their names in snake_case; bytes are text.
	Event any `json:"event"`
}

// Agent is an agent in GET /v1/agents and GET /v1/agents/{name}.
type Agent struct {
	Schema string   `json:"schema"`
	ID     uint64   `json:"id"`
	Name   string   `json:"name"`
	Labels []string `json:"labels,omitempty"`
	// Status is connected, disconnected, pending, revoked or quarantined.
	Status   string `json:"status"`
	Reason   string `json:"reason,omitempty"`
	Hostname string `json:"hostname,omitempty"`
	Version  string `json:"version,omitempty"`
	// Protocol is what it spoke with its gateway when it connected last, 0 where that is
	// not on record, and Behind is true where the orchestrator that answers knows a newer one.
	Protocol   uint8     `json:"protocol,omitempty"`
	Behind     bool      `json:"behind"`
	Address    string    `json:"address,omitempty"`
	EnrolledAt time.Time `json:"enrolled_at"`
	// SeenAt is when its connection last began or ended on record. An end is on record
	// when it is noticed, up to a minute after the last sign of life.
	SeenAt time.Time `json:"seen_at"`
	// Open counts the attempts that the agent has not settled.
	Open int `json:"open"`
	// Kind is agent or relay; Relay is the name of the relay that an agent came through.
	Kind  string `json:"kind"`
	Relay string `json:"relay,omitempty"`
	// Transport is what its newest connection goes over: quic, tcp, or relay.
	Transport string `json:"transport,omitempty"`
	// Flapping is true where the connection comes and goes; Steadiness, which is told of
	// a single agent, says more.
	Flapping   bool        `json:"flapping"`
	Steadiness *Steadiness `json:"steadiness,omitempty"`
	// Drain is there where the agent is given no new steps.
	Drain *Drain `json:"drain,omitempty"`
}

// Resolve is the body of POST /v1/runs/{id}/resolve.
type Resolve struct {
	Schema    string `json:"schema"`
	RequestID string `json:"request_id"`
	Step      string `json:"step"` // "<task>@<host>"
	As        string `json:"as"`   // succeeded, failed or retry
	Reason    string `json:"reason"`
}

// Cancel is the body of POST /v1/runs/{id}/cancel.
type Cancel struct {
	Schema    string `json:"schema"`
	RequestID string `json:"request_id"`
	Reason    string `json:"reason"`
}

// AgentChange is the body of POST /v1/agents/{name}/approve and .../revoke.
type AgentChange struct {
	Schema    string `json:"schema"`
	RequestID string `json:"request_id"`
	// Reason is for revoke.
	Reason string `json:"reason,omitempty"`
}

// TokenCreate is the body of POST /v1/tokens.
type TokenCreate struct {
	Schema      string   `json:"schema"`
	Name        string   `json:"name,omitempty"`
	Role        string   `json:"role"` // agent, or orchestrator (local administrators only)
	Labels      []string `json:"labels,omitempty"`
	TTLSeconds  int64    `json:"ttl_seconds"`
	AutoApprove bool     `json:"auto_approve,omitempty"`
}

// Token answers it. The secret is shown once and not kept.
type Token struct {
	Schema    string    `json:"schema"`
	Token     string    `json:"token"`
	Name      string    `json:"name,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Status is GET /v1/status.
type Status struct {
	Schema    string `json:"schema"`
	ClusterID string `json:"cluster_id"`
	Version   string `json:"version"`
	Replica   uint64 `json:"replica"`
	Leader    bool   `json:"leader"`
	Epoch     uint64 `json:"epoch"`
	Seq       uint64 `json:"seq"`
	Head      string `json:"head"`
	Agents    int    `json:"agents"`
	Connected int    `json:"connected"`
	Runs      int    `json:"runs"`
}
