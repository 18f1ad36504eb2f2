// Package audit knows which records a bundle of a run, or of a whole log, consists of,
// what they stand on, and what vouches for a state. Package eventlog/bundle writes and
// checks the file, and knows nothing of runs.
package audit
