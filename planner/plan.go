// Package planner turns files into a plan.
//
// Its inputs are Task-Core's services, inventory and roles, and Directord's
// orchestrations, unchanged; its output is a [Plan]: one dependency graph of
// tasks over sets of hosts. Compiling is a pure function of the inputs: it reads
// no clock, no environment and no directory order, so the same inputs always
// give the same bytes and the plan's id is their SHA-256. Nothing here knows of
// logs, agents or networks.
package planner

import "quorate/internal/job"

// FormatVersion is the version of the plan's encoding.
const FormatVersion = 1

// A Plan is a compiled graph. It stays at the level of tasks and host sets and
// is never multiplied out to task × host, so that its size grows with
// hosts + tasks.
type Plan struct {
	_msgpack struct{} `msgpack:",as_array"`

	Format         uint32
	PlannerVersion string
	// Hosts in inventory order. Host sets refer to them by position.
	Hosts []string
	// HostSets are ascending positions in Hosts; equal sets are stored once.
	HostSets [][]uint32
	// Tasks in canonical topological order: by level, then by ID. A task
	// requires only tasks before it.
	Tasks []Task
	// Vars are extra arguments for all templates, sorted by name; they override
	// an agent's own arguments for the length of the run.
	Vars []job.Option
	// Inputs are the files that the plan was made of, sorted by role and name.
	Inputs []Input
}

// Driver says who does a task.
type Driver string

// The drivers of tasks.
const (
	DriverDirectord Driver = "directord"      // jobs on the task's hosts
	DriverLocal     Driver = "local"          // a command on the agent labelled controller
	DriverPrint     Driver = "print"          // recorded by the engine
	DriverService   Driver = "service"        // recorded by the engine
	DriverNoop      Driver = "noop"           // recorded by the engine
	DriverMissing   Driver = "missing"        // recorded by the engine as a failure: hosts that nobody knows
	DriverAnsible   Driver = "ansible_runner" // planned, not executable
)

// A Task is one node of the graph.
type Task struct {
	_msgpack struct{} `msgpack:",as_array"`

	// ID is "<service>-<task>", unique in the plan.
	ID      string
	Service string
	Name    string
	Action  string
	Driver  Driver
	// HostSet is a position in Plan.HostSets. It may be empty only for tasks of
	// the engine itself.
	HostSet uint32
	// Requires is sorted by task.
	Requires []Dep
	Provides []string
	// Symbols are the symbols behind Requires, sorted: the task's own and those
	// that a needed-by of another task added. Empty in an orchestration.
	Symbols []string
	// Jobs run in order on each host. A local task has one RUN job.
	Jobs []Job
	// Messages are what print and service tasks record.
	Messages []string
	// Idempotent allows a step whose outcome is unknown to be repeated by itself.
	Idempotent bool
	// Always runs the task even where nothing changed.
	Always bool
	// KeepGoing runs the jobs after a failed one all the same.
	KeepGoing bool
	// Source is where the task is written.
	Source Pos
	// Narrowed is true where --limit leaves out hosts of the task, and, of a task of the
	// engine, where something that it follows from is left out or narrowed. Partial is true
	// where --restrict leaves out jobs.
	Narrowed, Partial bool
}

// Scope says which of the provider's hosts a dependency waits for.
type Scope uint8

// The scopes of dependencies.
const (
	ScopeAll      Scope = iota // every host of the provider
	ScopeSameHost              // the same host only, and nothing where the provider lacks it
	// ScopeAfterSameHost is an order only: the provider's step on the same host has
	// to be settled, whatever became of it. It is nothing where the provider lacks
	// the host.
	ScopeAfterSameHost
)

// A Dep is an edge to a task that must have succeeded before, or, by its scope,
// only come before.
type Dep struct {
	_msgpack struct{} `msgpack:",as_array"`

	Task  uint32 // position in Plan.Tasks
	Scope Scope
}

// A Job of a task, with the hosts it is for.
type Job struct {
	_msgpack struct{} `msgpack:",as_array"`

	Spec job.Job
	// HostSet is a position in Plan.HostSets: the task's own unless the job is
	// assigned elsewhere or runs once.
	HostSet uint32
	Source  Pos
}

// Pos is a place in an input file, by the file's name in the inputs. Line and
// Column are counted from 1; 0 is unknown.
type Pos struct {
	_msgpack struct{} `msgpack:",as_array"`

	File         string
	Line, Column uint32
}

// Role says what an input file is.
type Role string

// The roles of input files.
const (
	RoleService       Role = "service"
	RoleInventory     Role = "inventory"
	RoleRoles         Role = "roles"
	RoleOrchestration Role = "orchestration"
	RoleFile          Role = "file" // shipped by ADD or COPY
)

// An Input is one file that a plan was made of.
type Input struct {
	_msgpack struct{} `msgpack:",as_array"`

	Role Role
	// Name is relative to the folder that the role was loaded from, with forward slashes.
	Name   string
	Digest string // SHA-256, lower-case hex
	Size   int64
}
