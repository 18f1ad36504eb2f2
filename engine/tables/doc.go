// Package tables loads a log into a SQLite database, for questions that no command
// answers: what is an event there, and what events amount to (runs, tasks, steps,
// attempts, jobs, agents, facts) as the fold judges it, each in a table of its own. A
// second load goes on where the first one ended.
//
// It reads a log through package replay, folds it once, and holds no more of it than the
// state: rows are written as their records pass, those of a run when it ends.
package tables

import "errors"

// Version is of the tables: it is raised where one of them changes otherwise than by
// growing.
const Version = 1

// applicationID marks the files, so that no other database is written into: "QRTE".
const applicationID = 0x51525445

var (
	// ErrNotOurs: the file is a database, and not one that Load has made.
	ErrNotOurs = errors.New("this is not a database made of a log")
	// ErrVersion: the file was made by a newer version, or by one too old to go on.
	ErrVersion = errors.New("the tables are of another version")
	// ErrOther: the file was made of another log, or of records that this one has lost.
	ErrOther = errors.New("the database was made of another log")
	// ErrRange: the file holds another part of the log than is asked for.
	ErrRange = errors.New("the database holds another part of the log")
)
