// Package nodeagent is the agent: it keeps one connection to an orchestrator,
// journals what it is told to do, does it, and reports what became of it.
//
// The journal (package nodeagent/journal) decides; this package carries out. A
// command is answered, a job started and a result sent only after the journal
// holds what that rests on, so that an agent killed at any instant goes on
// without repeating or guessing anything. Jobs run in processes of their own
// session (package nodeagent/runner) and outlive the agent.
package nodeagent
