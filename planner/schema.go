package planner

// This file is the one declaration of what the input files may hold. The loader
// validates against it, the JSON Schemas under docs/schema are generated from
// it, so that an editor and a compile agree.

// The patterns of names, anchored, in the common subset of RE2 and ECMA-262.
const (
	// PatternName is for service and task ids and for symbols.
	PatternName = `^[a-zA-Z0-9.\-_]+$`
	// PatternHost is for the keys of an inventory.
	PatternHost = `^[a-z0-9.\-]+$`
	// PatternRole is for the keys of a roles file and the role of a host.
	PatternRole = `^[a-zA-Z0-9][a-zA-Z0-9_\- .]*$`
	// PatternServiceRef is for the services that a role lists.
	PatternServiceRef = `^[a-zA-Z0-9.\-_ ]+$`
	// PatternVersion is digits in dot-separated parts.
	PatternVersion = `^[0-9]+(\.[0-9]+)*$`
)

// FieldKind is the shape that a field's value must have.
type FieldKind uint8

// The shapes of values.
const (
	FieldText     FieldKind = iota // a string, held against Pattern and Enum
	FieldVersion                   // text, or a number as it stands in the file
	FieldBool                      // a boolean
	FieldTruth                     // a boolean or one of the truth words as text
	FieldTexts                     // a list of strings, each held against Pattern
	FieldNames                     // the same, or one string alone
	FieldInts                      // a list of integers
	FieldMapping                   // a mapping of anything
	FieldJobs                      // a list of jobs
	FieldMessages                  // a list of mappings, of which the key echo counts
	FieldTasks                     // a list of tasks
	FieldHosts                     // a mapping of host names to hosts
)

// A Field declares one key of a mapping in an input file. Keys that no Field
// declares are allowed everywhere and mean nothing.
type Field struct {
	Key  string
	Kind FieldKind
	// Required is about the tasks of Drivers only, where that is set.
	Required bool
	// Drivers are the drivers of tasks that read the key; empty is all of them.
	Drivers []Driver
	// Pattern is held against the text, or against each text of a list.
	Pattern string
	// Enum are the texts allowed; empty is any.
	Enum []string
	// Suggest are texts with a meaning where others are allowed and mean nothing.
	Suggest []string
	// ItemsMin is the least number of elements of a list or entries of a mapping.
	ItemsMin int
	// Unique refuses equal elements of a list.
	Unique bool
	// Default is what an absent key means, as JSON; empty where that is nothing.
	Default string
	// Help is for people: one or two sentences, shown by editors.
	Help string
}

// Drivers returns every driver that a task may name.
func Drivers() []Driver {
	return []Driver{DriverDirectord, DriverLocal, DriverPrint, DriverService, DriverNoop, DriverAnsible}
}

func driverNames() []string {
	var names []string
	for _, d := range Drivers() {
		names = append(names, string(d))
	}
	return names
}

// ServiceFields declares a service file.
func ServiceFields() []Field {
	return []Field{
		{Key: "id", Kind: FieldText, Required: true, Pattern: PatternName,
			Help: "The name that roles list. Unique among all services."},
		{Key: "version", Kind: FieldVersion, Required: true, Pattern: PatternVersion,
			Help: "Version of this file's content: digits and dots, quoted or not."},
		{Key: "type", Kind: FieldText, Required: true, Enum: []string{"service"},
			Help: "Always `service`."},
		{Key: "tasks", Kind: FieldTasks, Required: true, ItemsMin: 1,
			Help: "The tasks. Their order in the file means nothing: symbols order them."},
	}
}

// TaskFields declares a task of a service, for all drivers.
func TaskFields() []Field {
	return append([]Field{
		{Key: "id", Kind: FieldText, Required: true, Pattern: PatternName,
			Help: "The task's name, unique in its service. In a plan it is called `<service>-<task>`."},
		{Key: "driver", Kind: FieldText, Required: true, Enum: driverNames(),
			Help: "Who does the task: `directord` runs jobs on the service's hosts, `local` a command on the controller; `print`, `service` and `noop` are recorded only; `ansible_runner` is planned but not executed."},
		{Key: "action", Kind: FieldText,
			Help: "A free label, shown in plans."},
		{Key: "provides", Kind: FieldTexts, Pattern: PatternName,
			Help: "Symbols that this task provides once it has succeeded on all its hosts. Global; by custom `<service>.<step>`."},
		{Key: "requires", Kind: FieldTexts, Pattern: PatternName,
			Help: "Symbols whose providers must have succeeded before."},
		{Key: "needed-by", Kind: FieldTexts, Pattern: PatternName,
			Help: "Symbols whose providers have to wait for everything that this task provides."},
		{Key: "idempotent", Kind: FieldBool, Default: "false",
			Help: "A second execution does no harm: a step whose outcome is unknown is repeated without asking."},
		{Key: "always", Kind: FieldBool, Default: "false",
			Help: "Run at every apply, also where nothing changed."},
		{Key: "keep-going", Kind: FieldBool, Default: "false", Drivers: []Driver{DriverDirectord},
			Help: "Run the jobs after a failed one all the same; the task still ends as failed."},
	}, driverFields()...)
}

// driverFields are the keys that one or two drivers read.
func driverFields() []Field {
	local, ansible := []Driver{DriverLocal}, []Driver{DriverAnsible}
	return []Field{
		{Key: "jobs", Kind: FieldJobs, Required: true, Drivers: []Driver{DriverDirectord},
			Help: "The jobs, run in order on each host of the service."},
		{Key: "jobs", Kind: FieldMessages, Required: true, Drivers: []Driver{DriverService},
			Help: "A list of mappings; the text under `echo` is recorded."},
		{Key: "message", Kind: FieldText, Required: true, Drivers: []Driver{DriverPrint},
			Help: "The message to record."},
		{Key: "command", Kind: FieldText, Required: true, Drivers: local,
			Help: "A shell command, run once on the controller."},
		{Key: "quiet", Kind: FieldBool, Default: "false", Drivers: local,
			Help: "Keep the output out of the progress lines."},
		{Key: "returncodes", Kind: FieldInts, Default: "[0]", Drivers: local,
			Help: "Exit codes that count as success."},
		{Key: "playbook", Kind: FieldText, Required: true, Drivers: ansible,
			Help: "The playbook, relative to working_dir."},
		{Key: "inventory", Kind: FieldText, Drivers: ansible,
			Help: "An Ansible inventory, relative to working_dir."},
		{Key: "working_dir", Kind: FieldText, Drivers: ansible,
			Help: "Where the playbook and its folders lie."},
		{Key: "runner_options", Kind: FieldMapping, Default: "{}", Drivers: ansible,
			Help: "Options for ansible-runner."},
		{Key: "task_options", Kind: FieldMapping, Default: "{}", Drivers: ansible,
			Help: "Options such as ANSIBLE_STDOUT_CALLBACK."},
		{Key: "global_fact_cache", Kind: FieldBool, Default: "true", Drivers: ansible,
			Help: "Share the fact cache between playbooks."},
	}
}

// JobFields declares the keys of a job that are not its verb. The verb is the
// first key that is none of these.
func JobFields() []Field {
	return []Field{
		{Key: "name", Kind: FieldText,
			Help: "What to call the job in progress lines and reports."},
		{Key: "vars", Kind: FieldMapping,
			Help: "Options of the verb by name, with underscores: `vars: {skip_cache: true}` is `--skip-cache`. They win over the text."},
		{Key: "assign", Kind: FieldTexts,
			Help: "Run this job on these hosts in place of the task's or orchestration's."},
	}
}

// InventoryFields declares an inventory file.
func InventoryFields() []Field {
	return []Field{
		{Key: "hosts", Kind: FieldHosts, Required: true, ItemsMin: 1, Pattern: PatternHost,
			Help: "The hosts by name. An agent serves the host that has its name. The order of the file is the order of hosts: the first host of a service does its `--run-once` jobs."},
	}
}

// HostFields declares a host of an inventory.
func HostFields() []Field {
	return []Field{
		{Key: "role", Kind: FieldText, Required: true, Pattern: PatternRole,
			Help: "The host's role, a key of the roles file."},
	}
}

// RoleFields declares a role of a roles file, whose keys match PatternRole.
func RoleFields() []Field {
	return []Field{
		{Key: "services", Kind: FieldTexts, Required: true, Pattern: PatternServiceRef, Unique: true,
			Help: "Ids of the services that the hosts of this role run; may be empty."},
	}
}

// OrchestrationFields declares one element of an orchestration file.
func OrchestrationFields() []Field {
	return []Field{
		{Key: "name", Kind: FieldText,
			Help: "What to call this group of jobs."},
		{Key: "targets", Kind: FieldNames,
			Help: "The hosts; absent or empty is every known host."},
		{Key: "assign", Kind: FieldNames,
			Help: "Like targets, and wins over it."},
		{Key: "async", Kind: FieldTruth, Default: "false",
			Help: "Run beside the other orchestrations of the file. Without it a host does them one after another."},
		{Key: "on_failure", Kind: FieldText, Default: "\"stop\"", Suggest: []string{"stop", "continue"},
			Help: "What a host does with the jobs after a failed one: `stop` leaves them out, `continue` runs them."},
		{Key: "jobs", Kind: FieldJobs, Required: true,
			Help: "The jobs, run in order on each host."},
	}
}
