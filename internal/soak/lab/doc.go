// Package lab runs real quorate processes for tests that do to them what
// happens to machines: orchestrators, agents and clients, each in a network
// namespace of its own behind one bridge, that can be killed, paused, cut off
// and given a full disk or a wrong clock.
//
// It knows how to make trouble and how to look at what came of it, and nothing of
// what ought to come: that is for the tests. It needs root, except for networks
// on the loopback interface ([Loopback]), which cannot be cut.
package lab
