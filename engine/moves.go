package engine

import "quorate/eventlog"

// A move is one legal change of a status. The tables below are what the reducer
// asks before it judges further, what the tests hold every observed change
// against, and what docs/states.md prints.
type move struct {
	from, to TaskStatus
	by       eventlog.Kind
	when     string
}

// stepMoves are the legal moves of a step that an event is about. Pending to
// Ready follows from the end of another step, or the creation of the run.
var stepMoves = []move{
	{Ready, Running, eventlog.KindStepScheduled, "its agent may work, the epoch is current, the run is under way and has room"},
	{Ready, Running, eventlog.KindStepScheduled, "sent ahead: it waits at its agent for one of the places that its run has on the host"},
	{Pending, Running, eventlog.KindStepScheduled, "sent ahead: all that it waits for is under way on its host or its site"},
	{Ready, Done, eventlog.KindTaskRecorded, "the task is one of the engine's own"},
	{Ready, TaskFailed, eventlog.KindTaskRecorded, "the task stands for hosts that nobody knows"},

	{Running, Done, eventlog.KindAttemptEnded, "succeeded or skipped; or the jobs' results say so"},
	{Running, TaskFailed, eventlog.KindAttemptEnded, "failed, or cancelled without a cancel; or unknown where the run fails fast"},
	{Running, TaskCancelled, eventlog.KindAttemptEnded, "cancelled, not started or unknown in a cancelled run"},
	{Running, TaskSkipped, eventlog.KindAttemptEnded, "not started in a run that fails fast, or a task that it depends on failed"},
	{Running, Pending, eventlog.KindAttemptEnded, "sent ahead and given back: what it waits for is done once more"},
	{Running, Ready, eventlog.KindAttemptEnded, "not started; or unknown, and idempotent or a check: bounded"},
	{Running, Waiting, eventlog.KindAttemptEnded, "unknown otherwise"},

	{Waiting, Done, eventlog.KindAttemptEnded, "late evidence: succeeded"},
	{Waiting, TaskFailed, eventlog.KindAttemptEnded, "late evidence: failed or cancelled"},
	{Waiting, Ready, eventlog.KindAttemptEnded, "late evidence: not started"},
	{Ready, Done, eventlog.KindAttemptEnded, "late evidence: succeeded, and no successor yet"},
	{Ready, TaskFailed, eventlog.KindAttemptEnded, "late evidence: failed or cancelled, and no successor yet"},

	{Waiting, TaskCancelled, eventlog.KindAttemptEnded, "late evidence: cancelled or not started, in a cancelled run"},
	{Ready, TaskCancelled, eventlog.KindAttemptEnded, "late evidence: cancelled or not started, in a cancelled run"},
	{Waiting, TaskSkipped, eventlog.KindAttemptEnded, "late evidence: not started, in a run that fails fast, or a task that it depends on failed"},
	{Waiting, Pending, eventlog.KindAttemptEnded, "late evidence: not started, sent ahead"},
	{Ready, TaskSkipped, eventlog.KindAttemptEnded, "late evidence: not started, in a run that fails fast"},

	{Ready, Waiting, eventlog.KindAgentQuarantined, "disproved: it was not started, and an older journal may have let it start since"},
	{Pending, Waiting, eventlog.KindAgentQuarantined, "disproved, sent ahead"},

	{Waiting, Ready, eventlog.KindStepResolved, "as retry; as succeeded with jobs left"},
	{Waiting, Done, eventlog.KindStepResolved, "as succeeded, and no job is left"},
	{Waiting, TaskFailed, eventlog.KindStepResolved, "as failed"},
	{Waiting, Pending, eventlog.KindStepResolved, "as retry or succeeded, sent ahead, while what it waits for is to be done once more"},
	{Waiting, TaskSkipped, eventlog.KindStepResolved, "as retry or succeeded, sent ahead, and a task that it depends on failed"},

	{Pending, TaskSkipped, eventlog.KindTaskSkipped, "a task that it depends on failed, or the run fails fast"},
	{Ready, TaskSkipped, eventlog.KindTaskSkipped, "the run fails fast"},
	{Waiting, TaskFailed, eventlog.KindTaskSkipped, "the run fails fast"},
	{Pending, TaskCancelled, eventlog.KindTaskSkipped, "the run is cancelled"},
	{Ready, TaskCancelled, eventlog.KindTaskSkipped, "the run is cancelled"},
	{Waiting, TaskCancelled, eventlog.KindTaskSkipped, "the run is cancelled"},
}

// mayMove reports whether an event of the kind can move a step from the status.
func mayMove(from TaskStatus, by eventlog.Kind) bool {
	for i := range stepMoves {
		if stepMoves[i].from == from && stepMoves[i].by == by {
			return true
		}
	}
	return false
}
