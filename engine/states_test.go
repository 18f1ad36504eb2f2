package engine

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"quorate/eventlog"
)

var updateFlag = flag.Bool("update", false, "write docs/states.md")

const statesFile = "../docs/states.md"

// TestStatesDoc keeps the documented tables equal to those the reducer uses.
func TestStatesDoc(t *testing.T) {
	t.Parallel()
	want := statesDoc()
	if *updateFlag {
		if err := os.WriteFile(statesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(statesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/states.md is stale: run go test ./engine -run TestStatesDoc -update")
	}
}

func statesDoc() string {
	var b strings.Builder
	b.WriteString(`# The legal moves of runs, tasks, steps and attempts

Printed by ` + "`go test ./engine -run TestStatesDoc -update`" + ` from the tables that the reducer uses.
An event that asks for any other move is void: it stays in the log and changes nothing.

## Steps

A step is a task on one host. It begins as pending, and becomes ready when the
run has begun and all that it requires has succeeded, and all that it only comes
after is settled.

| from | to | by | when |
|---|---|---|---|
| pending | ready | the event that meets its last dependency | nothing stops the run |
`)
	for _, m := range stepMoves {
		by := kindNames[m.by]
		if m.from == Running {
			by += ", AgentQuarantined, AgentRevoked"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.from, m.to, by, m.when)
	}
	b.WriteString(`
Succeeded, failed, skipped and cancelled are final.

## Tasks

A task's status follows from its steps: the first line that holds.

| status | when |
|---|---|
| running | a step is running |
| waiting | a step waits for an operator |
| running | a step has run, and another is ready or pending |
| ready | a step is ready |
| pending | a step is pending |
| failed | a step has failed |
| cancelled | a step was cancelled |
| skipped | a step was skipped |
| succeeded | all steps have succeeded |

## Attempts

| from | to | by | when |
|---|---|---|---|
`)
	for _, m := range attemptMoves {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.from, m.to, m.by, m.when)
	}
	b.WriteString("\n## Runs\n\n| from | to | by | when |\n|---|---|---|---|\n")
	for _, m := range runMoves {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.from, m.to, m.by, m.when)
	}
	return b.String()
}

var kindNames = map[eventlog.Kind]string{
	eventlog.KindStepScheduled: "StepScheduled",
	eventlog.KindTaskRecorded:  "TaskRecorded",
	eventlog.KindAttemptEnded:  "AttemptEnded",
	eventlog.KindStepResolved:  "StepResolved",
	eventlog.KindTaskSkipped:   "TaskSkipped",

	eventlog.KindAgentQuarantined: "AgentQuarantined",
}

// A textMove is a row of a table that is small enough to be checked by hand.
type textMove struct{ from, to, by, when string }

var attemptMoves = []textMove{
	{"none", "under way", "StepScheduled", "its index is the attempt's id"},
	{"under way", "succeeded, skipped, failed, cancelled, not started, unknown", "AttemptEnded", "the agent's report"},
	{"under way", "unknown", "AttemptEnded", "somebody gives up on the agent, by name"},
	{"under way", "unknown", "AgentQuarantined, AgentRevoked", "the agent will not be heard of again"},
	{"unknown", "succeeded, skipped, failed, cancelled, not started", "AttemptEnded", "late evidence, while the step waits or has no successor yet"},
	{"not started", "unknown", "AgentQuarantined", "its agent has come with an older journal, which may have let it start since"},
	{"unknown", "unknown", "AttemptEnded", "later evidence is kept with the attempt and changes nothing else"},
}

var runMoves = []textMove{
	{"none", "running", "RunCreated", "the plan is on record and can be executed"},
	{"running", "waiting", "any", "a step waits for an operator, and no other is ready or running"},
	{"waiting", "running", "StepResolved, AttemptEnded", "the operator's word, or late evidence"},
	{"running, waiting", "cancelling", "RunCancelled", "once"},
	{"running", "succeeded", "RunEnded", "all steps succeeded"},
	{"running", "failed", "RunEnded", "all tasks are settled, and a step failed or was skipped"},
	{"cancelling", "cancelled", "RunEnded", "all tasks are settled, and a step was cancelled"},
	{"cancelling", "succeeded, failed", "RunEnded", "the cancel came when nothing was left to stop"},
}

// TestMovesBegin holds the table against what cannot be: settled steps do not
// move, and nothing runs that was not ready.
func TestMovesBegin(t *testing.T) {
	t.Parallel()
	for _, m := range stepMoves {
		if m.from.Settled() {
			t.Errorf("%s moves to %s", m.from, m.to)
		}
		if m.to == Running && (m.from != Ready && m.from != Pending || m.by != eventlog.KindStepScheduled) {
			t.Errorf("%s runs by %s", m.from, m.by)
		}
	}
}
