// Package soak makes the promises of docs/reliability.md refutable: it lets a
// cluster of real processes deploy without end, does to it what a seed says
// (kills, pauses, cuts, full disks, wrong clocks), and then compares what the
// cluster says with what happened on the hosts.
//
// [Run] is the whole; the checkers are values of their own, tested alone:
// [History] (what clients were told is linearizable), [Witness] (what was read of
// a log stays so), [Effects] and [Judge] (each effect happened as often as the log
// says). Trouble and processes come from package lab.
package soak
