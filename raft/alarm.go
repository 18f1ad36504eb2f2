package raft

// An Alarm is a condition of this replica that somebody should see to. It goes
// away by itself when its cause does.
type Alarm struct {
	// Code is one of the Alarm constants.
	Code string
	// Text says what is wrong and what helps.
	Text string
}

// Codes of alarms.
const (
	// AlarmLowSpace: the disk is filling up; appends go on.
	AlarmLowSpace = "low-space"
	// AlarmReadOnly: appends are refused here until there is room again.
	AlarmReadOnly = "read-only"
	// AlarmSlowDisk: syncs of Raft's log take longer than its heartbeats allow.
	AlarmSlowDisk = "slow-disk"
)
