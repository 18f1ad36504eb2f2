//go:build race

package raft

// underRace: the race detector makes what copies megabytes 50 times slower.
const underRace = true
