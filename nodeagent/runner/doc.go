// Package runner runs the scripts of jobs as processes that outlive the agent.
//
// A script runs in a session and process group of its own and writes to files,
// not pipes: nothing breaks when the agent goes away. The shell that runs the
// script also writes its exit status beside the output, in an EXIT trap, which
// costs no process. So a restarted agent finds either the process, or its status,
// or neither, and only then the outcome is unknown.
//
// The EXIT trap alone would lie: bash runs it also when a signal ends the shell,
// with the status of whatever command came before. The prelude therefore catches
// the signals that end a shell, takes the EXIT trap back, and dies of the same
// signal, so that a killed script leaves no status. A script that uses trap or
// exec itself runs in a shell below, where it cannot reach the prelude.
package runner
